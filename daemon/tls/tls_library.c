#include "daemon/tls/tls_library.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <unistd.h>

/* A file with all roots, as the distributions have it: Debian and its kin, Fedora and its kin, Alpine and the BSDs,
 * openSUSE. */
static const char *const bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
};

/* OpenSSL's own variable and its own place come first. A directory of roots is of no use: it is read bit by bit, when
 * there are no files any more. */
static const char *find_roots(void)
{
    const char *own = getenv(X509_get_default_cert_file_env());
    if (own)
        return own;
    if (access(X509_get_default_cert_file(), R_OK) == 0)
        return X509_get_default_cert_file();
    for (size_t i = 0; i < sizeof bundles / sizeof bundles[0]; i++) {
        if (access(bundles[i], R_OK) == 0)
            return bundles[i];
    }
    return NULL;
}

/* What is fetched from a provider first is looked for there: now, and not in the first handshake. */
static void fetch(OSSL_LIB_CTX *context)
{
    EVP_MD_free(EVP_MD_fetch(context, "SHA2-256", NULL));
    EVP_CIPHER_free(EVP_CIPHER_fetch(context, "AES-128-GCM", NULL));
    EVP_KEYMGMT_free(EVP_KEYMGMT_fetch(context, "EC", NULL));
}

int tls_library_init(struct tls_library *library)
{
    *library = (struct tls_library){.context = OSSL_LIB_CTX_new(), .roots = X509_STORE_new()};
    if (!library->context || !library->roots || !OSSL_PROVIDER_load(library->context, "default")) {
        tls_library_deinit(library);
        return -ENOMEM;
    }
    fetch(library->context);
    const char *path = find_roots();
    if (path && X509_STORE_load_file_ex(library->roots, path, library->context, NULL) == 1)
        library->roots_path = path;
    return 0;
}

void tls_library_deinit(struct tls_library *library)
{
    X509_STORE_free(library->roots);
    OSSL_LIB_CTX_free(library->context);
    *library = (struct tls_library){0};
}
