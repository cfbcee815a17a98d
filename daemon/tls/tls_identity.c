#include "daemon/tls/tls_identity.h"

#include "daemon/tls/tls_library.h"

#include <limits.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/ssl.h>
#include <stdbool.h>

static const char no_memory[] = "no memory";
static const char unusable[] = "the certificate cannot be used: its key is too small, or its signature too weak";
static const char unusable_chain[] = "a certificate of the chain cannot be used";
static const char foreign_key[] = "the key does not belong to the certificate";

static BIO *open_bytes(const struct tls_bytes *bytes)
{
    return bytes->size <= INT_MAX ? BIO_new_mem_buf(bytes->data, (int)bytes->size) : NULL;
}

/* ---- PEM ---- */

static const char *use_chain(SSL_CTX *ssl, const struct tls_library *library, BIO *chain)
{
    const char *why = NULL;
    X509 *certificate = tls_library_read_certificate(library, chain);
    if (!certificate)
        return "the chain does not begin with a certificate in PEM";
    if (SSL_CTX_use_certificate(ssl, certificate) != 1)
        why = unusable;
    X509_free(certificate);
    while (!why && (certificate = tls_library_read_certificate(library, chain))) {
        if (SSL_CTX_add0_chain_cert(ssl, certificate) != 1) {
            X509_free(certificate);
            why = unusable_chain;
        }
    }
    if (!why && !tls_library_is_at_end())
        why = "a certificate of the chain cannot be read";
    return why;
}

static int give_passphrase(char *to, int size, int writes, void *context)
{
    const char *passphrase = context;
    int length = 0;
    (void)writes;
    while (passphrase && passphrase[length] && length < size) {
        to[length] = passphrase[length];
        length++;
    }
    return passphrase && !passphrase[length] ? length : -1;
}

static const char *use_key(SSL_CTX *ssl, const struct tls_library *library, BIO *text, const char *passphrase)
{
    EVP_PKEY *key =
        PEM_read_bio_PrivateKey_ex(text, NULL, give_passphrase, (void *)(uintptr_t)passphrase, library->context, NULL);
    if (!key)
        return passphrase ? "the key cannot be read, or the passphrase is not the right one"
                          : "the key cannot be read, or it takes a passphrase";
    const char *why = SSL_CTX_use_PrivateKey(ssl, key) == 1 ? NULL : foreign_key;
    EVP_PKEY_free(key);
    return why;
}

static const char *use_pem(const struct tls_identity *identity, const struct tls_library *library, SSL_CTX *ssl)
{
    BIO *chain = open_bytes(&identity->chain);
    BIO *key = open_bytes(&identity->key);
    const char *why = chain && key ? use_chain(ssl, library, chain) : no_memory;
    if (!why)
        why = use_key(ssl, library, key, identity->passphrase);
    BIO_free(chain);
    BIO_free(key);
    return why;
}

/* ---- PKCS#12 ---- */

static const char *use_parsed(SSL_CTX *ssl, EVP_PKEY *key, X509 *certificate, STACK_OF(X509) * others)
{
    if (!key || !certificate)
        return "the PKCS#12 has no key, or no certificate that belongs to it";
    if (SSL_CTX_use_certificate(ssl, certificate) != 1)
        return unusable;
    for (int i = 0; i < sk_X509_num(others); i++) {
        if (SSL_CTX_add1_chain_cert(ssl, sk_X509_value(others, i)) != 1)
            return unusable_chain;
    }
    return SSL_CTX_use_PrivateKey(ssl, key) == 1 ? NULL : foreign_key;
}

static const char *use_archive(SSL_CTX *ssl, PKCS12 *archive, const char *passphrase)
{
    EVP_PKEY *key = NULL;
    X509 *certificate = NULL;
    STACK_OF(X509) *others = NULL;
    if (PKCS12_parse(archive, passphrase, &key, &certificate, &others) != 1)
        return "the PKCS#12 cannot be read: the passphrase is not the right one, or its encryption is one of the old "
               "ones (RC2, 3DES) that are not supported any more";
    const char *why = use_parsed(ssl, key, certificate, others);
    EVP_PKEY_free(key);
    X509_free(certificate);
    sk_X509_pop_free(others, X509_free);
    return why;
}

static const char *use_pkcs12(const struct tls_identity *identity, const struct tls_library *library, SSL_CTX *ssl)
{
    BIO *bio = open_bytes(&identity->key);
    PKCS12 *archive = PKCS12_init_ex(NID_pkcs7_data, library->context, NULL);
    const char *why = no_memory;
    if (bio && archive) {
        bool is_one = d2i_PKCS12_bio(bio, &archive) != NULL; /* else it has freed `archive` */
        why = is_one ? use_archive(ssl, archive, identity->passphrase)
                     : "the key is no PKCS#12, which it has to be if there is no chain";
    }
    PKCS12_free(archive);
    BIO_free(bio);
    return why;
}

const char *tls_identity_use(const struct tls_identity *identity, const struct tls_library *library, SSL_CTX *ssl)
{
    return identity->chain.size > 0 ? use_pem(identity, library, ssl) : use_pkcs12(identity, library, ssl);
}
