#include "daemon/tls/tls_tickets.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

void tls_tickets_init(struct tls_tickets *tickets)
{
    *tickets = (struct tls_tickets){.mutex = PTHREAD_MUTEX_INITIALIZER};
}

void tls_tickets_deinit(struct tls_tickets *tickets)
{
    OPENSSL_cleanse(tickets->keys, sizeof tickets->keys);
    pthread_mutex_destroy(&tickets->mutex);
}

static int64_t now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec + 1; /* never 0 */
}

/* The system's own source: it takes no file and no lock of the process. */
static int fill(void *to, size_t size)
{
    ssize_t got;
    do
        got = getrandom(to, size, 0); /* up to 256 bytes come at once */
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)size ? 0 : -EIO;
}

static int rotate(struct tls_tickets *tickets)
{
    struct tls_ticket_key key;
    int r = fill(&key, sizeof key);
    if (r == 0) {
        key.made_s = now_s();
        memmove(&tickets->keys[1], &tickets->keys[0], sizeof tickets->keys - sizeof tickets->keys[0]);
        tickets->keys[0] = key;
    }
    OPENSSL_cleanse(&key, sizeof key);
    return r;
}

int tls_tickets_rotate(struct tls_tickets *tickets)
{
    pthread_mutex_lock(&tickets->mutex);
    int r = rotate(tickets);
    pthread_mutex_unlock(&tickets->mutex);
    return r;
}

static bool is_within(const struct tls_ticket_key *key, int64_t seconds)
{
    return key->made_s != 0 && now_s() - key->made_s < seconds;
}

int tls_tickets_current(struct tls_tickets *tickets, struct tls_ticket_key *key)
{
    int r = 0;
    pthread_mutex_lock(&tickets->mutex);
    if (!is_within(&tickets->keys[0], TLS_TICKET_KEY_S))
        r = rotate(tickets);
    if (r == 0)
        *key = tickets->keys[0];
    pthread_mutex_unlock(&tickets->mutex);
    return r;
}

int tls_tickets_find(struct tls_tickets *tickets, const uint8_t name[TLS_TICKET_NAME_SIZE], struct tls_ticket_key *key)
{
    int found = -1;
    pthread_mutex_lock(&tickets->mutex);
    for (int i = 0; i < TLS_TICKET_KEYS && found < 0; i++) {
        const struct tls_ticket_key *candidate = &tickets->keys[i];
        if (is_within(candidate, (int64_t)TLS_TICKET_KEYS * TLS_TICKET_KEY_S) &&
            memcmp(candidate->name, name, TLS_TICKET_NAME_SIZE) == 0) {
            *key = *candidate;
            found = i;
        }
    }
    pthread_mutex_unlock(&tickets->mutex);
    return found;
}
