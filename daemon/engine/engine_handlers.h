/*
 * What the owner of a socket is asked and told by the engine. All of it happens in the loop, when the socket's time
 * slice has its turn, and never inside the call that submits an operation.
 */
#ifndef OCHE_DAEMON_ENGINE_ENGINE_HANDLERS_H
#define OCHE_DAEMON_ENGINE_ENGINE_HANDLERS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

struct engine_handlers {
    /* Room for up to *size bytes, size set by the handler. NULL: there is none now, and the receive waits until
     * engine_recv_retry(). `received` follows at once with the count, 0 at the end of the stream, or -errno. */
    uint8_t *(*receive_buffer)(void *owner, size_t *size);
    void (*received)(void *owner, ssize_t result);

    /* Fills up to `max` vectors with what shall be sent, and says how many. `sent` follows at once with the count of
     * bytes taken, which may be less than offered, or -errno. */
    int (*send_vectors)(void *owner, struct iovec *vectors, int max);
    void (*sent)(void *owner, ssize_t result);

    /* How many descriptors go with the first of these bytes, over a Unix-domain socket, and which; they stay open, and
     * the handler's. At most FD_MESSAGE_DESCRIPTORS_MAX. NULL: never any. */
    int (*send_descriptors)(void *owner, const int **descriptors);

    /* A descriptor, close-on-exec and non-blocking, which is now the handler's; or -errno. */
    void (*accepted)(void *owner, int result, const struct sockaddr_storage *peer);

    /* 0 or -errno. */
    void (*connected)(void *owner, int result);

    /* The connection broke, with this errno, while engine_watch_break() was in force. */
    void (*broke)(void *owner, int os_error);

    /* After engine_socket_close(), when the system is done with the socket: the place to free the owner. */
    void (*closed)(void *owner);
};

#endif
