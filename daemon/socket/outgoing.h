/*
 * What a connection has to send: writes in their order, and the end of the stream behind them.
 *
 * Each is answered when its last byte has been given to the system; when the connection breaks, all that are left are
 * answered with that, and so are later ones.
 *
 * The peer reads what was written, or the beginning of it and a reset; never a stream with a hole in it, and never an
 * end where bytes are missing. So the first write that is refused is the last one that is looked at: later ones fail
 * alike, and `cut` says that the connection ends with a reset. A write that the client cancels is taken out as long as
 * the system has none of its bytes, and the stream goes on without it; one that has begun fails, and so do all behind
 * it. While the system may be taking bytes of it, what to do is not known, and waits for the outcome.
 */
#ifndef OCHE_DAEMON_SOCKET_OUTGOING_H
#define OCHE_DAEMON_SOCKET_OUTGOING_H

#include "daemon/lane/payload.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct request;
struct socket;
struct stream;
struct write;

/* An outcome that stays: later writes fail the same way. Code 0: no write has failed. */
struct write_failure {
    int16_t code;
    uint16_t os_error;
};

/* All zero but for `socket` and `stream`: nothing to send. */
struct outgoing {
    struct socket *socket;
    struct stream *stream;
    struct write *first; /* in the order of the requests */
    struct write *last;
    size_t sent;      /* bytes of *first */
    unsigned offered; /* to the system, which holds their bytes: so many writes, from *first on */
    unsigned cancels; /* writes that the client has cancelled while the system held them */
    bool shut_down;   /* the client asked for the end of the stream to be sent */
    bool end_stands;  /* a write behind the end was refused: the end is not taken back any more */
    bool lingers;     /* all requests are answered, and what they brought is still sent */
    bool cut;         /* bytes of the stream are missing, or were not taken */
    uint16_t broken;  /* errno that a send met: an end of what is received is not to be trusted after it */
    struct write_failure failure;
};

/* Takes over *payload and holds the request if it returns 0. `total`: the bytes of all parts of the long write that the
 * request belongs to, so far; its last part is answered with that. Negative: a code, with *os_error. */
int outgoing_write(struct outgoing *outgoing, struct request *request, const struct payload *payload, int64_t total,
                   int *os_error);

/* The end of the stream, behind all writes. 0, or a code as above. */
int outgoing_shut_down(struct outgoing *outgoing, struct request *request, int *os_error);

/* For the stream: what to send, and what came of it; or nothing did, and the system holds none of it any more. */
int outgoing_vectors(struct outgoing *outgoing, struct iovec *vectors, int max);
void outgoing_sent(struct outgoing *outgoing, ssize_t result);
void outgoing_unused(struct outgoing *outgoing);

/* The connection broke while nothing was received. Where nothing waits to be sent, which would meet that, the client is
 * told. */
void outgoing_break(struct outgoing *outgoing, int os_error);

/* Answers all that waits with the failure, and drops it. That may end the session, and with it the socket. */
void outgoing_fail(struct outgoing *outgoing, struct write_failure failure);

/* The socket begins to linger: answers all that waits with CLOSED, and keeps it to be sent. From now on it counts for
 * the user only, and not for the session, whose client does not know of it any more. As above, that may end the
 * session. */
void outgoing_linger(struct outgoing *outgoing);

/* Drops all that waits; nothing is answered. */
void outgoing_drop(struct outgoing *outgoing);

#endif
