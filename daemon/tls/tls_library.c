#include "daemon/tls/tls_library.h"

#include "daemon/tls/tls_roots.h"

#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

/* The provider is named, so that nothing is looked for in a configuration file. */
static bool load(struct tls_library *library)
{
    if (!library->context || !library->roots)
        return false;
    library->provider = OSSL_PROVIDER_load(library->context, "default");
    if (!library->provider)
        return false;
    library->ticket_cipher = EVP_CIPHER_fetch(library->context, "AES-256-CBC", NULL);
    return library->ticket_cipher;
}

int tls_library_init(struct tls_library *library, const struct tls_roots *roots, struct tls_tickets *tickets)
{
    /* OpenSSL would read its configuration by itself when something of it is first used. */
    OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    *library = (struct tls_library){.context = OSSL_LIB_CTX_new(), .roots = X509_STORE_new(), .tickets = tickets};
    if (!load(library)) {
        tls_library_deinit(library);
        return -ENOMEM;
    }
    /* What cannot be read is not trusted: a certificate that needs it will say so. */
    (void)tls_library_trust(library, library->roots, roots->text, roots->size);
    return 0;
}

void tls_library_deinit(struct tls_library *library)
{
    EVP_CIPHER_free(library->ticket_cipher);
    X509_STORE_free(library->roots);
    if (library->provider)
        OSSL_PROVIDER_unload(library->provider);
    OSSL_LIB_CTX_free(library->context);
    *library = (struct tls_library){0};
}

X509 *tls_library_read_certificate(const struct tls_library *library, BIO *text)
{
    X509 *certificate = X509_new_ex(library->context, NULL);
    if (certificate && !PEM_read_bio_X509(text, &certificate, NULL, NULL)) {
        X509_free(certificate);
        certificate = NULL;
    }
    return certificate;
}

bool tls_library_is_at_end(void)
{
    unsigned long error = ERR_peek_last_error();
    bool at_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    return at_end;
}

const char *tls_library_trust(const struct tls_library *library, X509_STORE *store, const void *text, size_t size)
{
    BIO *bio = size <= INT_MAX ? BIO_new_mem_buf(text, (int)size) : NULL;
    X509 *certificate;
    int count = 0;
    if (!bio)
        return "no memory";
    while ((certificate = tls_library_read_certificate(library, bio))) {
        X509_STORE_add_cert(store, certificate);
        X509_free(certificate);
        count++;
    }
    BIO_free(bio);
    return tls_library_is_at_end() && count > 0 ? NULL : "the trusted roots are no certificates in PEM";
}

bool tls_library_trust_system(const struct tls_library *library, X509_STORE *store)
{
    STACK_OF(X509_OBJECT) *roots = X509_STORE_get0_objects(library->roots);
    for (int i = 0; i < sk_X509_OBJECT_num(roots); i++) {
        X509 *root = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(roots, i));
        if (root && X509_STORE_add_cert(store, root) != 1)
            return false;
    }
    return true;
}
