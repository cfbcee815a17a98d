/*
 * The key to a daemon's items: whoever asks it to hand over must show these random bytes, see proto/handover.h.
 *
 * There are two ways to have the key. A successor that the daemon itself has started finds it in its environment. And
 * the file SOCKET.key, 32 hexadecimal digits and a newline, mode 0600, is there for an operator who runs oched
 * --replace. A program that was given nothing but the socket, a confined one say, has neither. The file belongs to the
 * holder of the lock (daemon/process/lock_file.h).
 */
#ifndef OCHE_DAEMON_HANDOVER_HANDOVER_KEY_H
#define OCHE_DAEMON_HANDOVER_HANDOVER_KEY_H

#include "proto/handover.h"

#include <stdbool.h>
#include <stdint.h>

struct handover_key {
    bool exists; /* false: there is none, and nobody can show it */
    uint8_t bytes[HANDOVER_KEY_SIZE];
};

/* A new one; none if the system has no random bytes. */
struct handover_key handover_key_make(void);

/* True if these are its bytes. It takes the same time wherever the first difference is. */
bool handover_key_opens(const struct handover_key *key, const uint8_t bytes[HANDOVER_KEY_SIZE]);

/* The file. Writing makes it anew; when that fails, standard error says why, and an operator has no key. */
void handover_key_write(const struct handover_key *key, const char *socket_path);
struct handover_key handover_key_read(const char *socket_path);
bool handover_key_is_written(const char *socket_path);
void handover_key_remove(const char *socket_path);

/* The environment, for a program that is about to be run; and the key that is there, which is taken out of it. */
void handover_key_put(const struct handover_key *key);
struct handover_key handover_key_take(void);

#endif
