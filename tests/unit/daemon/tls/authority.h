// Certificates for tests, made as they are needed.
#pragma once

#include <catch2/catch.hpp>

#include <memory>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <string>

namespace test_support
{
template <auto Free> struct Freer {
    template <typename T> void operator()(T *object) const
    {
        Free(object);
    }
};
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freer<X509_free>>;

struct CertificateOptions {
    std::string names = "DNS:oche.test"; // as in the configuration of OpenSSL
    long from = -60;                     // seconds from now
    long until = 3600;
    bool is_authority = false;
};

// A certificate and its key, both as PEM, too.
class Issued
{
  public:
    // `issuer` NULL: signed by itself.
    explicit Issued(const CertificateOptions &options, const Issued *issuer = nullptr)
        : key_(EVP_EC_gen("P-256")), certificate_(X509_new())
    {
        X509 *certificate = certificate_.get();
        static long serial = 0;
        X509_set_version(certificate, 2);
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
        X509_gmtime_adj(X509_getm_notBefore(certificate), options.from);
        X509_gmtime_adj(X509_getm_notAfter(certificate), options.until);
        X509_set_pubkey(certificate, key_.get());
        const std::string name = (options.is_authority ? "authority " : "somebody ") + std::to_string(serial);
        X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                                   reinterpret_cast<const unsigned char *>(name.c_str()), -1, -1, 0);
        X509_set_issuer_name(certificate, X509_get_subject_name(issuer ? issuer->certificate_.get() : certificate));
        add(NID_basic_constraints, options.is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
        if (!options.is_authority) {
            add(NID_subject_alt_name, options.names);
        }
        REQUIRE(X509_sign(certificate, (issuer ? *issuer : *this).key_.get(), EVP_sha256()) > 0);
    }

    std::string certificate() const
    {
        return pem([&](BIO *bio) { return PEM_write_bio_X509(bio, certificate_.get()); });
    }
    std::string key(const std::string &passphrase = "") const
    {
        return pem([&](BIO *bio) {
            const EVP_CIPHER *cipher = passphrase.empty() ? nullptr : EVP_aes_128_cbc();
            return PEM_write_bio_PKCS8PrivateKey(bio, key_.get(), cipher, passphrase.data(),
                                                 static_cast<int>(passphrase.size()), nullptr, nullptr);
        });
    }

    // The key, encrypted with so many iterations.
    std::string slow_key(const std::string &passphrase, int iterations) const
    {
        PKCS8_PRIV_KEY_INFO *plain = EVP_PKEY2PKCS8(key_.get());
        X509_ALGOR *algorithm = PKCS5_pbe2_set(EVP_aes_128_cbc(), iterations, nullptr, 0);
        X509_SIG *encrypted = PKCS8_set0_pbe(passphrase.data(), static_cast<int>(passphrase.size()), plain, algorithm);
        REQUIRE(encrypted);
        const std::string text = pem([&](BIO *bio) { return PEM_write_bio_PKCS8(bio, encrypted); });
        X509_SIG_free(encrypted);
        PKCS8_PRIV_KEY_INFO_free(plain);
        return text;
    }
    // Both as a PKCS#12, with another certificate.
    std::string archive(const std::string &passphrase, const Issued *other, int iterations = 0) const
    {
        STACK_OF(X509) *others = sk_X509_new_null();
        sk_X509_push(others, other->certificate_.get());
        const std::unique_ptr<PKCS12, Freer<PKCS12_free>> made(PKCS12_create(
            passphrase.c_str(), nullptr, key_.get(), certificate_.get(), others, 0, 0, iterations, iterations, 0));
        sk_X509_free(others);
        return pem([&](BIO *bio) { return i2d_PKCS12_bio(bio, made.get()); });
    }

  private:
    void add(int nid, const std::string &value)
    {
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
        REQUIRE(extension);
        X509_add_ext(certificate_.get(), extension, -1);
        X509_EXTENSION_free(extension);
    }
    template <typename Write> static std::string pem(Write write)
    {
        const std::unique_ptr<BIO, Freer<BIO_free_all>> bio(BIO_new(BIO_s_mem()));
        REQUIRE(write(bio.get()) == 1);
        char *text = nullptr;
        const long size = BIO_get_mem_data(bio.get(), &text);
        return std::string(text, static_cast<size_t>(size));
    }

    Key key_;
    Certificate certificate_;
};
} // namespace test_support
