#include "daemon/tls/tls_identity.h"

#include "daemon/tls/tls_library.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>

static const char no_memory[] = "no memory";
static const char unusable[] = "the certificate cannot be used: its key is too small, or its signature too weak";
static const char unusable_chain[] = "a certificate of the chain cannot be used";
static const char foreign_key[] = "the key does not belong to the certificate";

static const char too_large[] = "the key is too large";
static const char too_slow[] = "the key takes too long to decrypt: there are more than a million iterations";

enum {
    KEY_BITS_MAX = 8192, /* of RSA: its handshakes take long, and nobody else of the worker is served meanwhile */
    ITERATIONS_MAX = 1000 * 1000, /* of deriving a key from a passphrase, for the same reason */
};

static BIO *open_bytes(const struct tls_bytes *bytes)
{
    return bytes->size <= INT_MAX ? BIO_new_mem_buf(bytes->data, (int)bytes->size) : NULL;
}

/* ---- what takes too long ---- */

static bool is_few(const ASN1_INTEGER *iterations)
{
    int64_t count = ITERATIONS_MAX;
    return !iterations || (ASN1_INTEGER_get_int64(&count, iterations) == 1 && count <= ITERATIONS_MAX);
}

/* PBES2 with PBKDF2. What it cannot read OpenSSL cannot either. */
static bool is_quick_pbes2(const X509_ALGOR *algorithm)
{
    PBE2PARAM *outer = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM), algorithm->parameter);
    PBKDF2PARAM *inner = NULL;
    if (outer && OBJ_obj2nid(outer->keyfunc->algorithm) == NID_id_pbkdf2)
        inner = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBKDF2PARAM), outer->keyfunc->parameter);
    bool is_quick = !inner || is_few(inner->iter);
    PBKDF2PARAM_free(inner);
    PBE2PARAM_free(outer);
    return is_quick;
}

static bool is_quick(const X509_ALGOR *algorithm)
{
    if (OBJ_obj2nid(algorithm->algorithm) == NID_pbes2)
        return is_quick_pbes2(algorithm);
    PBEPARAM *older = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBEPARAM), algorithm->parameter);
    bool is_quick = !older || is_few(older->iter);
    PBEPARAM_free(older);
    return is_quick;
}

static bool is_quick_key(const X509_SIG *key)
{
    const X509_ALGOR *algorithm = NULL;
    const ASN1_OCTET_STRING *bytes = NULL;
    X509_SIG_get0(key, &algorithm, &bytes);
    return is_quick(algorithm);
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

static const char *use_private_key(SSL_CTX *ssl, EVP_PKEY *key)
{
    if (EVP_PKEY_get_bits(key) > KEY_BITS_MAX)
        return too_large;
    bool belongs = SSL_CTX_use_PrivateKey(ssl, key) == 1 && SSL_CTX_check_private_key(ssl) == 1;
    return belongs ? NULL : foreign_key;
}

static const char *use_key(SSL_CTX *ssl, const struct tls_library *library, BIO *text, const char *passphrase)
{
    X509_SIG *encrypted = PEM_read_bio_PKCS8(text, NULL, NULL, NULL);
    bool takes_long = encrypted && !is_quick_key(encrypted);
    X509_SIG_free(encrypted);
    ERR_clear_error();
    if (takes_long)
        return too_slow;
    (void)BIO_reset(text);
    EVP_PKEY *key =
        PEM_read_bio_PrivateKey_ex(text, NULL, give_passphrase, (void *)(uintptr_t)passphrase, library->context, NULL);
    if (!key)
        return passphrase ? "the key cannot be read, or the passphrase is not the right one"
                          : "the key cannot be read, or it takes a passphrase";
    const char *why = use_private_key(ssl, key);
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
    return use_private_key(ssl, key);
}

/* The keys of the archive that are encrypted by themselves. NULL bags: the archive cannot be read. */
static bool are_quick_bags(const STACK_OF(PKCS12_SAFEBAG) * bags)
{
    bool are_quick = true;
    for (int i = 0; are_quick && i < sk_PKCS12_SAFEBAG_num(bags); i++) {
        const PKCS12_SAFEBAG *bag = sk_PKCS12_SAFEBAG_value(bags, i);
        if (PKCS12_SAFEBAG_get_nid(bag) == NID_pkcs8ShroudedKeyBag)
            are_quick = is_quick_key(PKCS12_SAFEBAG_get0_pkcs8(bag));
        else if (PKCS12_SAFEBAG_get_nid(bag) == NID_safeContentsBag)
            are_quick = false; /* bags in bags, which nobody makes */
    }
    return are_quick;
}

static bool is_quick_part(PKCS7 *part, const char *passphrase)
{
    bool is_encrypted = PKCS7_type_is_encrypted(part);
    if (is_encrypted && !is_quick(part->d.encrypted->enc_data->algorithm))
        return false;
    STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
    if (is_encrypted)
        bags = PKCS12_unpack_p7encdata(part, passphrase, passphrase ? (int)strlen(passphrase) : 0);
    else if (PKCS7_type_is_data(part))
        bags = PKCS12_unpack_p7data(part);
    bool are_quick = are_quick_bags(bags);
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
    return are_quick;
}

static bool is_quick_archive(const PKCS12 *archive, const char *passphrase)
{
    const ASN1_INTEGER *iterations = NULL;
    PKCS12_get0_mac(NULL, NULL, NULL, &iterations, archive);
    if (!is_few(iterations))
        return false;
    STACK_OF(PKCS7) *parts = PKCS12_unpack_authsafes(archive);
    bool are_quick = true;
    for (int i = 0; are_quick && i < sk_PKCS7_num(parts); i++)
        are_quick = is_quick_part(sk_PKCS7_value(parts, i), passphrase);
    sk_PKCS7_pop_free(parts, PKCS7_free);
    ERR_clear_error();
    return are_quick;
}

static const char *use_archive(SSL_CTX *ssl, PKCS12 *archive, const char *passphrase)
{
    EVP_PKEY *key = NULL;
    X509 *certificate = NULL;
    STACK_OF(X509) *others = NULL;
    if (!is_quick_archive(archive, passphrase))
        return too_slow;
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
