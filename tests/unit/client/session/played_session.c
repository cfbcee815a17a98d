#include "tests/unit/client/session/played_session.h"

#include "client/os/deadline.h"
#include "client/session/public_handle.h"
#include "client/session/session.h"
#include "client/session/sessions.h"
#include "client/session/timekeeping.h"
#include "proto/frame_reader.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct played_session {
    struct oche_session *session;
    int fd; /* the daemon's */
    struct frame_reader in;
    int64_t now;
};

struct played_session *played_session_new(bool with_heartbeat)
{
    int pair[2];
    struct played_session *played = calloc(1, sizeof *played);
    struct oche_session *session = sessions_take();
    if (!played || !session || frame_reader_init(&played->in) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0 ||
        lane_init(&session->lane) != 0 ||
        schedule_init(&session->schedule, session_fd(session), SESSION_EPOLL_ALARM) != 0 ||
        lane_attach(&session->lane, pair[1], NULL) != 0)
        return NULL; /* a test that fails may leave something */
    session->generation = 1;
    session->tag = public_tag_make(session->index, session->generation);
    session->queued_bytes_max = 16 * 1024 * 1024;
    session->state = SESSION_OPEN;
    if (with_heartbeat)
        schedule_begin(&session->schedule, false);
    played->session = session;
    played->fd = pair[0];
    played->now = deadline_now();
    return played;
}

void played_session_free(struct played_session *played)
{
    oche_session_close(played->session);
    close(played->fd);
    frame_reader_deinit(&played->in);
    free(played);
}

oche_session *played_session_get(struct played_session *played)
{
    return played->session;
}

unsigned played_session_pending(const struct played_session *played)
{
    return played->session->pending.count;
}

bool played_session_take(struct played_session *played, struct frame *frame)
{
    struct frame_message message;
    while (frame_reader_next(&played->in, &message) != FRAME_READER_FRAME) {
        size_t room;
        oche_session_dispatch(played->session); /* what is queued */
        uint8_t *at = frame_reader_room(&played->in, &room);
        ssize_t received = recv(played->fd, at, room, MSG_DONTWAIT);
        if (received <= 0)
            return false;
        frame_reader_filled(&played->in, (size_t)received);
    }
    *frame = message.frame;
    free(message.payload);
    return true;
}

int64_t played_session_say(struct played_session *played, const struct frame *frame, const void *payload)
{
    uint8_t header[FRAME_HEADER_SIZE];
    frame_encode(frame, header);
    send(played->fd, header, sizeof header, MSG_NOSIGNAL);
    if (frame->payload_length > 0)
        send(played->fd, payload, frame->payload_length, MSG_NOSIGNAL);
    return oche_session_dispatch(played->session);
}

bool played_session_tick(struct played_session *played)
{
    session_lock(played->session);
    played->now = played->session->schedule.alarm.at;
    bool lost = timekeeping_run(played->session, played->now);
    session_unlock(played->session);
    return lost;
}

int64_t played_session_due_in(const struct played_session *played)
{
    int64_t at = played->session->schedule.alarm.at;
    return at ? at - played->now : -1;
}
