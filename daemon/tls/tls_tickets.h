/*
 * The keys of session tickets, which all workers share: a client resumes its session with whichever of them it meets.
 *
 * Whoever has a key can read what its tickets have begun, so a key is used for an hour, can be read with for two more,
 * and is wiped. Keys are in no file, and a successor of the daemon has others.
 */
#ifndef OCHE_DAEMON_TLS_TLS_TICKETS_H
#define OCHE_DAEMON_TLS_TLS_TICKETS_H

#include <pthread.h>
#include <stdint.h>

enum {
    TLS_TICKET_KEYS = 3, /* the first one is that of new tickets */
    TLS_TICKET_NAME_SIZE = 16,
    TLS_TICKET_KEY_SIZE = 32, /* bytes, of AES-256 and of HMAC with SHA-256 */
    TLS_TICKET_KEY_S = 60 * 60,
};

struct tls_ticket_key {
    uint8_t name[TLS_TICKET_NAME_SIZE];
    uint8_t cipher[TLS_TICKET_KEY_SIZE];
    uint8_t mac[TLS_TICKET_KEY_SIZE];
    int64_t made_s; /* CLOCK_BOOTTIME, for keys grow old in a machine that sleeps, too; 0: there is no key */
};

struct tls_tickets {
    pthread_mutex_t mutex;
    struct tls_ticket_key keys[TLS_TICKET_KEYS];
};

/* No key is made before it is wanted. */
void tls_tickets_init(struct tls_tickets *tickets);
void tls_tickets_deinit(struct tls_tickets *tickets);

/* The key for a new ticket. 0 or a negative errno: there is no randomness, and no ticket. */
int tls_tickets_current(struct tls_tickets *tickets, struct tls_ticket_key *key);

/* The key of a ticket that came. -1: there is none, or not any more; else its age in keys: 0 is the current one. */
int tls_tickets_find(struct tls_tickets *tickets, const uint8_t name[TLS_TICKET_NAME_SIZE], struct tls_ticket_key *key);

/* The next ticket has a new key, and the oldest is wiped. 0 or a negative errno. Happens by itself once an hour. */
int tls_tickets_rotate(struct tls_tickets *tickets);

#endif
