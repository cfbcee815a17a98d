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

/* A message of a datagram socket, with its address and its ancillary data (cmsg(3)). */
struct engine_message {
    struct sockaddr_storage address; /* of the other side */
    socklen_t address_length;        /* 0: of no one in particular, on a connected socket */
    struct iovec *vectors;
    size_t vector_count;
    void *control;
    size_t control_size; /* room for ancillary data, and then how much there is */
    int flags;           /* of one that was received: MSG_TRUNC and MSG_CTRUNC */
};

enum { ENGINE_MESSAGES_PER_SEND = 32 };

struct engine_handlers {
    /* Room for up to *size bytes, size set by the handler. NULL: there is none now, and the receive waits until
     * engine_recv_retry(). The room is held until `received` comes with the count, 0 at the end of the stream, or
     * -errno; or until `room_unused`, because there was nothing after all. NULL: that is of no interest. */
    uint8_t *(*receive_buffer)(void *owner, size_t *size);
    void (*received)(void *owner, ssize_t result);
    void (*room_unused)(void *owner);

    /* Fills up to `max` vectors with what shall be sent, and says how many. They are held until
     * `sent` comes with the count of bytes taken, which may be less than offered, or -errno; or until `bytes_unused`,
     * because the system could take none: then they are asked for again when it can. NULL: that is of no interest. */
    int (*send_vectors)(void *owner, struct iovec *vectors, int max);
    void (*sent)(void *owner, ssize_t result);
    void (*bytes_unused)(void *owner);

    /* How many descriptors go with the first of these bytes, over a Unix-domain socket, and which; they stay open, and
     * the handler's. At most FD_MESSAGE_DESCRIPTORS_MAX. NULL: never any. */
    int (*send_descriptors)(void *owner, const int **descriptors);

    /* For engine_recv_message(): a message with room for one that has come; or NULL, as above. It is held until
     * `message_received` comes with the count of bytes, or -errno; or until `room_unused`. */
    struct engine_message *(*message_room)(void *owner);
    void (*message_received)(void *owner, ssize_t result);

    /* For engine_send_messages(): fills up to ENGINE_MESSAGES_PER_SEND messages that shall be sent, and says how many.
     * They are held until `messages_sent` comes with the count of those that were taken, or -errno for the first one;
     * or until they are asked for again. */
    int (*messages)(void *owner, struct engine_message **messages);
    void (*messages_sent)(void *owner, int result);

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
