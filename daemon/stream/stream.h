/*
 * A stream: the bytes of a connection on their way between the system and who owns them.
 *
 * Streams lie on one another. The lowest is a socket of the system's (socket_stream.h). One that lies on another is a
 * filter: it turns what its owner sends into other bytes, which it sends by the stream below, and the other way round.
 * The owner does not know how many there are, and an open stream can get a filter put on it.
 *
 * An owner is asked and told in the loop, when the time slice of the connection has its turn, and never inside the call
 * that submits an operation. A filter that has something to tell by itself has to wait for its turn, too
 * (engine_work_submit()).
 *
 * A stream has at most one receive and one send under way. `sent` tells of bytes that the system has taken, so that
 * nothing is left in a filter when its owner has nothing to send.
 */
#ifndef OCHE_DAEMON_STREAM_STREAM_H
#define OCHE_DAEMON_STREAM_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct stream;

enum { STREAM_ASKS = 1 /* what a filter may say before it is open: it waits for its owner to decide something */ };

/* What the owner of a stream is asked and told. */
struct stream_user {
    /* The stream is there, and bytes can be sent and received: 0. Or -errno. Or STREAM_ASKS, and another call comes. */
    void (*opened)(void *owner, int result);

    /* Room for up to *size bytes, size set by the owner. NULL: there is none now, and the receive waits until
     * stream_receive_retry(). The room is held until `received` comes with the count, 0 at the end of the stream, or
     * -errno; or until `room_unused`, because there was nothing after all. */
    uint8_t *(*room)(void *owner, size_t *size);
    void (*received)(void *owner, ssize_t result);
    void (*room_unused)(void *owner);

    /* Fills up to `max` vectors with what shall be sent, and says how many. They are held until `sent` comes with the
     * count of bytes taken, which may be less than offered, or -errno; or until `bytes_unused`, because the system had
     * no room for any. Then they are asked for again. */
    int (*vectors)(void *owner, struct iovec *vectors, int max);
    void (*sent)(void *owner, ssize_t result);
    void (*bytes_unused)(void *owner);

    /* The connection broke, with this errno, while stream_watch_break() was in force. */
    void (*broke)(void *owner, int os_error);

    /* After stream_close(), when the system is done with the stream: the place to free the owner. */
    void (*closed)(void *owner);
};

enum stream_end {
    STREAM_END_CLOSE, /* the peer sees the end of the stream */
    STREAM_END_RESET, /* the peer sees a reset, never the end of the stream */
};

/* What a kind of stream does for each of the functions below. */
struct stream_kind {
    void (*receive)(struct stream *stream);
    void (*receive_retry)(struct stream *stream);
    bool (*receive_withdraw)(struct stream *stream);
    int (*push_back)(struct stream *stream, const void *bytes, size_t size);
    void (*send)(struct stream *stream);
    void (*send_withdraw)(struct stream *stream);
    int (*shut_down)(struct stream *stream);
    bool (*holds)(const struct stream *stream);
    void (*watch_break)(struct stream *stream);
    void (*close)(struct stream *stream, enum stream_end end);
};

/* Every kind of stream begins with this. */
struct stream {
    const struct stream_kind *kind;
    const struct stream_user *user;
    void *owner;
};

/* Puts the filter between an open stream and its owner, who deals with the filter from now on. `user` is what the
 * stream below tells the filter by. The stream below may have a receive or a send under way, which is the filter's from
 * now on, unless the system has the room or the bytes of it. */
void stream_put_on(struct stream *filter, const struct stream_kind *kind, struct stream *below,
                   const struct stream_user *user);

static inline void stream_receive(struct stream *stream)
{
    stream->kind->receive(stream);
}

/* There is room again for a receive that the owner had none for. Harmless otherwise. */
static inline void stream_receive_retry(struct stream *stream)
{
    stream->kind->receive_retry(stream);
}

/* Nobody wants to receive any more. False: the system has the room, and `received` or `room_unused` will come. */
static inline bool stream_receive_withdraw(struct stream *stream)
{
    return stream->kind->receive_withdraw(stream);
}

/* Gives back bytes that were received: the next receive brings them, before whatever else there is. Nothing may be
 * held for a receive. 0 or -ENOMEM. */
static inline int stream_push_back(struct stream *stream, const void *bytes, size_t size)
{
    return stream->kind->push_back(stream, bytes, size);
}

static inline void stream_send(struct stream *stream)
{
    stream->kind->send(stream);
}

/* There is nothing left of what stream_send() was to send. Between `vectors` and `sent` or `bytes_unused` a send cannot
 * be withdrawn. */
static inline void stream_send_withdraw(struct stream *stream)
{
    stream->kind->send_withdraw(stream);
}

/* Sends the end of the stream; no send is under way. 0 or -errno. */
static inline int stream_shut_down(struct stream *stream)
{
    return stream->kind->shut_down(stream);
}

/* Whether there is something left to send that the owner does not know of: the end of the stream, as a filter says it.
 * `sent` comes, with 0, when that is with the system. */
static inline bool stream_holds(const struct stream *stream)
{
    return stream->kind->holds(stream);
}

/* For a stream that has ended, of which nothing is received any more: the owner is told once if it breaks. */
static inline void stream_watch_break(struct stream *stream)
{
    stream->kind->watch_break(stream);
}

/* Closes the stream and what is below it at once: but for `closed`, its owner is asked and told nothing any more. */
static inline void stream_close(struct stream *stream, enum stream_end end)
{
    stream->kind->close(stream, end);
}

#endif
