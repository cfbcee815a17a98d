/*
 * The roots that the system trusts, read before the daemon gives up its files. Workers share the text, and make of it
 * what they need when TLS is first wanted.
 */
#ifndef OCHE_DAEMON_TLS_TLS_ROOTS_H
#define OCHE_DAEMON_TLS_TLS_ROOTS_H

#include <stddef.h>
#include <stdint.h>

struct tls_roots {
    uint8_t *text; /* PEM; NULL: there are none */
    size_t size;
    const char *path; /* where they come from, or should; NULL: this system has no place for them */
};

/* 0, or a negative errno: they are there and cannot be read, and nothing that they should vouch for will verify. */
int tls_roots_init(struct tls_roots *roots);
void tls_roots_deinit(struct tls_roots *roots);

#endif
