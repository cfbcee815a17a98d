#include "tests/fuzz/client_stage.h"

#include "client/session/dispatch.h"
#include "client/session/lifecycle.h"
#include "client/session/public_handle.h"
#include "client/session/session.h"
#include "client/session/sessions.h"
#include "client/session/timekeeping.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/played_application.h"
#include "tests/fuzz/played_daemon.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACTS_MAX = 1000, /* in one input */
    DAEMONS_MAX = 4, /* one after the other */
};

struct stage {
    struct input input;
    bool on_memory;
    struct oche_session *session;
    struct played_application application;
    struct played_daemon daemon;
    unsigned daemons;
};

static struct stage stage;

/* As attachment.c connects a session that is prepared or lost. */
static void start_daemon(void)
{
    struct oche_session *session = stage.session;
    struct lane_memory memory;
    int pair[2];
    stage.daemons++;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    played_daemon_init(&stage.daemon, pair[0], &stage.input, &stage.application);
    if (stage.on_memory) {
        played_daemon_make_memory(&stage.daemon, &memory);
        memory.mutex = &session->mutex;
    }
    session_lock(session);
    CHECK(lane_attach(&session->lane, pair[1], stage.on_memory ? &memory : NULL) == 0);
    session->queued_bytes_max = 4 * 1024 * 1024;
    session->last_batch = 0;
    session->idle = true;
    session->tells_breaks = true; /* of some writes there is a second completion, then */
    session->state = SESSION_OPEN;
    schedule_begin(&session->schedule, session->pending.owed > 0);
    session_unlock(session);
}

/* Until the next thing is due. */
static void let_time_pass(void)
{
    struct oche_session *session = stage.session;
    session_lock(session);
    int64_t due = session->schedule.alarm.at;
    bool lost = due && timekeeping_run(session, due);
    session_unlock(session);
    if (lost)
        played_daemon_hang_up(&stage.daemon);
}

static void dispatch(void)
{
    if (oche_session_dispatch(stage.session) == 0)
        return;
    played_application_take_all(&stage.application);
    /* Requests for the next daemon may be waiting; the others have completed. */
    CHECK(stage.session->state == SESSION_AWAITED || stage.application.pending_count == 0);
    played_daemon_deinit(&stage.daemon);
    if (stage.daemons < DAEMONS_MAX)
        start_daemon();
}

static void act_rarely(uint8_t how)
{
    switch (how % 8) {
    case 0:
        played_daemon_hang_up(&stage.daemon);
        break;
    case 1:
        shutdown(stage.daemon.fd, SHUT_RD);
        break;
    case 2:
        dispatch_take(stage.session, NULL, 0, &(bool){false});
        break;
    case 3:
        let_time_pass();
        break;
    default:
        played_daemon_say_bytes(&stage.daemon);
        break;
    }
}

static void act(void)
{
    uint8_t op = input_byte(&stage.input);
    switch (op & 7) {
    case 0:
    case 1:
        played_application_ask(&stage.application, op >> 3);
        break;
    case 2:
        played_daemon_see_requests(&stage.daemon);
        played_daemon_reply(&stage.daemon, input_byte(&stage.input));
        break;
    case 3:
        played_daemon_bring(&stage.daemon, op >> 3);
        break;
    case 4:
        dispatch();
        break;
    case 5:
        played_application_take(&stage.application, 1 + (op >> 3));
        break;
    case 6:
        played_daemon_misuse_memory(&stage.daemon, op >> 3);
        break;
    default:
        if (op & 0x80)
            played_application_give_back(&stage.application, op >> 3);
        else
            act_rarely(op >> 3);
        break;
    }
    if (op & 0x80 && (op & 7) < 4)
        dispatch();
}

static void open_session(void)
{
    struct oche_session *session = sessions_take();
    CHECK(session);
    stage.session = session;
    session->socket_path = strdup("nowhere");
    session->generation = 1;
    session->tag = public_tag_make(session->index, session->generation);
    CHECK(lane_init(&session->lane) == 0);
    CHECK(schedule_init(&session->schedule, session_fd(session), SESSION_EPOLL_ALARM) == 0);
    played_application_init(&stage.application, &stage.input, session);
}

/* Everything completes, and all is given back. */
static void close_session(void)
{
    lifecycle_end(stage.session);
    played_application_take_all(&stage.application);
    CHECK(stage.application.pending_count == 0);
    CHECK(stage.session->queued_bytes == 0);
    CHECK(stage.session->pending.count == 0);
    lifecycle_free(stage.session);
    /* These outlive their session. */
    played_application_give_all_back(&stage.application);
}

void client_stage_play(const uint8_t *data, size_t size, bool on_memory)
{
    int before = dup(STDERR_FILENO);
    close(before);
    stage = (struct stage){.on_memory = on_memory};
    stage.input = (struct input){.at = data, .left = size};
    open_session();
    start_daemon();
    for (int acts = 0; acts < ACTS_MAX && !input_is_empty(&stage.input); acts++)
        act();
    dispatch();
    close_session();
    played_daemon_deinit(&stage.daemon);
    int after = dup(STDERR_FILENO);
    close(after);
    CHECK(before == after);
}
