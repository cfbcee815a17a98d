#include "daemon/tls/tls_roots.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Files with all roots, as the distributions have them: Debian and its kin, Fedora and its kin, Alpine and the BSDs,
 * openSUSE. */
static const char *const bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
};

enum { SIZE_MAX_OF_ROOTS = 16 * 1024 * 1024 /* bytes; that of Debian has 220 KiB */ };

/* OpenSSL's own variable and its own place come first. */
static const char *find(void)
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

/* 0 or a negative errno. */
static int read_all(int fd, uint8_t *to, size_t size)
{
    size_t got = 0;
    while (got < size) {
        ssize_t count = read(fd, to + got, size - got);
        if (count < 0 && errno != EINTR)
            return -errno;
        if (count == 0)
            return -EIO;
        got += count > 0 ? (size_t)count : 0;
    }
    return 0;
}

static int read_file(struct tls_roots *roots, int fd)
{
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        return -errno;
    if (!S_ISREG(stat.st_mode) || stat.st_size > SIZE_MAX_OF_ROOTS)
        return -EINVAL;
    size_t size = (size_t)stat.st_size;
    uint8_t *text = malloc(size + 1);
    int r = text ? read_all(fd, text, size) : -ENOMEM;
    if (r < 0) {
        free(text);
        return r;
    }
    roots->text = text;
    roots->size = size;
    return 0;
}

int tls_roots_init(struct tls_roots *roots)
{
    *roots = (struct tls_roots){.path = find()};
    if (!roots->path)
        return 0;
    int fd = open(roots->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = read_file(roots, fd);
    close(fd);
    return r;
}

void tls_roots_deinit(struct tls_roots *roots)
{
    free(roots->text);
    *roots = (struct tls_roots){0};
}
