/*
 * The backend on io_uring(7).
 *
 * What sockets and bells wait for, receives and sends go through one ring. They are collected, and given to the system
 * when a time slice has done its round, or when the loop waits: so one io_uring_enter(2) stands for the calls of many
 * sockets.
 *
 * A receive needs room, and a socket that waits shall have none. So a socket is polled first, and the receive is
 * submitted when bytes are there. Receives and sends have MSG_DONTWAIT: the system finishes them in the call that takes
 * them, with -EAGAIN if they would have to wait. Those that it has not taken yet become no-ops when their socket is
 * closed. So the system has no memory of a socket that is closed: what is still in flight then is its polls, which are
 * cancelled.
 *
 * Listeners are not polled by the ring, for a poll keeps the socket open: a port would stay taken for a moment after
 * its listener was closed. They are in an epoll set, which a poll of the ring watches. And they accept by accept4(2):
 * before Linux 6.10 an accept in the ring would wait there, and a connection that it takes in the moment in which its
 * listener is closed would be lost to others who listen with the same socket.
 *
 * The owner of a bell is told in the wait only, and not when the ring is asked for results meanwhile: it expects to run
 * between time slices.
 */
#include "daemon/engine/backend_io_uring.h"

#include "daemon/engine/backend.h"
#include "daemon/engine/engine_bell.h"
#include "daemon/engine/epoll_set.h"
#include "daemon/engine/list.h"
#include "daemon/engine/restricted_ring.h"
#include "daemon/engine/socket_calls.h"
#include "daemon/engine/socket_progress.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What a completion is of: the low bits of its user_data, which is the address of a socket or a bell otherwise. */
enum what { WATCH_READ, WATCH_WRITE, INWARD, OUTWARD, BELL, CANCEL, WHAT_MASK = 7 };

/* A thing that the ring has, or will have. */
struct submission {
    unsigned index; /* in the order of all submissions of the ring, which begins again after the last number */
    bool is_out;    /* its completion has not come */
};

/* What a send of several pieces needs until it is done. */
struct message {
    struct msghdr header;
    struct iovec vectors[ENGINE_VECTORS_PER_SEND];
};

struct uring_engine {
    struct engine engine;
    struct io_uring ring;
    bool has_ring;
    bool is_enabled;
    struct list rung_bells;   /* whose owners have not been told */
    struct list ending_bells; /* that are freed when their polls have ended */
    int epoll_set;
    int set_error; /* of asking it: 0 or a negative errno, which ends the loop, for the ring will not tell again */
    struct engine_bell *set_bell; /* owns epoll_set, once there is one */
};

struct uring_socket {
    struct engine_socket socket;
    struct submission submissions[OUTWARD + 1]; /* by enum what */
    struct message *message;                    /* of the send that is out; NULL: it has one piece */
};

struct uring_bell {
    struct engine_bell bell;
    struct submission submission;
    struct list node; /* in rung_bells or ending_bells */
};

/* Each is the first member of ours. */
static struct uring_engine *engine_of(struct engine *engine)
{
    return (struct uring_engine *)engine;
}

static struct uring_socket *socket_of(struct engine_socket *socket)
{
    return (struct uring_socket *)socket;
}

static uint64_t data_of(const void *object, enum what what)
{
    return (uint64_t)(uintptr_t)object | what;
}

/* ---- submitting ---- */

/* NULL: no more can be collected before the ring is enabled; or it has failed, as the next wait will say. */
static struct io_uring_sqe *next_sqe(struct uring_engine *engine, struct submission *submission)
{
    struct io_uring_sqe *sqe;
    int r = 0;
    /* The system takes all of it, but for moments in which it has no memory (EAGAIN). */
    while (!(sqe = io_uring_get_sqe(&engine->ring)) && engine->is_enabled && (r >= 0 || r == -EAGAIN))
        r = io_uring_submit(&engine->ring);
    if (sqe && submission)
        *submission = (struct submission){.index = engine->ring.sq.sqe_tail - 1, .is_out = true};
    return sqe;
}

/* Of a submission that the system has not taken yet makes a no-op. False: it has taken it. */
static bool take_back(struct uring_engine *engine, const struct submission *submission, uint64_t data)
{
    struct io_uring_sq *sq = &engine->ring.sq;
    struct io_uring_sqe *sqe = &sq->sqes[submission->index & *sq->kring_mask];
    unsigned head = io_uring_smp_load_acquire(sq->khead);
    /* A poll may be so old that the numbers have come round to its own: then another has its place. */
    if (submission->index - head >= sq->sqe_tail - head || sqe->user_data != data)
        return false;
    io_uring_prep_nop(sqe);
    io_uring_sqe_set_data64(sqe, data);
    return true;
}

/* Ends a poll: its completion comes, or is here already. */
static void end_poll(struct uring_engine *engine, const struct submission *submission, uint64_t data)
{
    if (!submission->is_out || take_back(engine, submission, data))
        return;
    struct io_uring_sqe *sqe = next_sqe(engine, NULL);
    if (!sqe)
        return;
    io_uring_prep_poll_remove(sqe, data);
    io_uring_sqe_set_data64(sqe, data_of(NULL, CANCEL));
}

static bool poll_once(struct engine_socket *socket, enum what what, unsigned events)
{
    struct submission *submission = &socket_of(socket)->submissions[what];
    if (submission->is_out)
        return true;
    struct io_uring_sqe *sqe = next_sqe(engine_of(socket->engine), submission);
    if (!sqe)
        return false;
    io_uring_prep_poll_add(sqe, socket->fd, events);
    io_uring_sqe_set_data64(sqe, data_of(socket, what));
    socket->in_flight++;
    return true;
}

/* A poll that goes on reports each write to an eventfd, which therefore need not be read. */
static bool poll_bell(struct uring_bell *bell)
{
    struct io_uring_sqe *sqe = next_sqe(engine_of(bell->bell.engine), &bell->submission);
    if (!sqe)
        return false;
    io_uring_prep_poll_multishot(sqe, bell->bell.fd, POLLIN);
    io_uring_sqe_set_data64(sqe, data_of(bell, BELL));
    return true;
}

/* ---- completions ---- */

static void complete_bell(struct uring_bell *bell, bool goes_on)
{
    struct uring_engine *engine = engine_of(bell->bell.engine);
    bell->submission.is_out = goes_on;
    if (bell->bell.fd >= 0) {
        if (!goes_on)
            poll_bell(bell);
        if (list_is_empty(&bell->node))
            list_append(&engine->rung_bells, &bell->node);
    } else if (!goes_on) {
        list_remove(&bell->node);
        free(bell);
    }
}

static void complete_watch(struct engine_socket *socket, enum what what)
{
    if (what == WATCH_READ)
        socket->watches_read = false;
    else
        socket->watches_write = false;
    if (socket->fd >= 0 && what == WATCH_READ)
        engine_socket_is_readable(socket);
    else if (socket->fd >= 0)
        engine_socket_is_writable(socket);
    engine_socket_landed(socket);
}

static void complete_socket(struct engine_socket *socket, enum what what, int result)
{
    struct uring_socket *ours = socket_of(socket);
    ours->submissions[what].is_out = false;
    /* Interrupted: as if it had to wait, and the poll that follows says at once that it need not. */
    if (result == -EINTR)
        result = -EAGAIN;
    if (what == INWARD) {
        engine_socket_inward_done(socket, result);
    } else if (what == OUTWARD) {
        free(ours->message);
        ours->message = NULL;
        engine_socket_outward_done(socket, result);
    } else {
        complete_watch(socket, what);
    }
}

static void reap(struct uring_engine *engine)
{
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(&engine->ring, &cqe) == 0) {
        const struct io_uring_cqe completed = *cqe;
        enum what what = completed.user_data & WHAT_MASK;
        void *object = (void *)(uintptr_t)(completed.user_data & ~(uint64_t)WHAT_MASK);
        io_uring_cqe_seen(&engine->ring, cqe);
        if (what == BELL)
            complete_bell(object, completed.flags & IORING_CQE_F_MORE);
        else if (what != CANCEL)
            complete_socket(object, what, completed.res);
    }
}

/* ---- the loop ---- */

int backend_io_uring_probe(void)
{
    struct io_uring ring;
    int r = restricted_ring_open(&ring);
    if (r == 0)
        io_uring_queue_exit(&ring);
    return r;
}

static void on_set(void *owner)
{
    struct uring_engine *engine = owner;
    engine->set_error = epoll_set_report(engine->epoll_set);
}

static int init(struct engine *core)
{
    struct uring_engine *engine = engine_of(core);
    list_init(&engine->rung_bells);
    list_init(&engine->ending_bells);
    engine->epoll_set = -1;
    int r = restricted_ring_open(&engine->ring);
    engine->has_ring = r == 0;
    if (r == 0)
        r = engine->epoll_set = epoll_set_open();
    if (r < 0)
        return r;
    engine->set_bell = engine_bell_new(core, engine->epoll_set, on_set, engine);
    return engine->set_bell ? 0 : -ENOMEM;
}

static void deinit(struct engine *core)
{
    struct uring_engine *engine = engine_of(core);
    struct list *node;
    if (engine->set_bell)
        engine_bell_free(engine->set_bell);
    else if (engine->epoll_set >= 0)
        close(engine->epoll_set);
    if (engine->has_ring)
        io_uring_queue_exit(&engine->ring);
    while ((node = list_take_first(&engine->ending_bells)))
        free(list_entry(node, struct uring_bell, node));
}

/* It is the loop's thread that enables the ring, and not the one that has made it. */
static int enable(struct uring_engine *engine)
{
    int r = engine->is_enabled ? 0 : restricted_ring_enable(&engine->ring);
    engine->is_enabled = r == 0;
    return r;
}

static void flush(struct engine *core)
{
    struct uring_engine *engine = engine_of(core);
    if ((io_uring_sq_ready(&engine->ring) == 0 && core->closed_but_in_flight == 0) || enable(engine) < 0)
        return;
    /* An error will be the next wait's, too. */
    io_uring_submit_and_get_events(&engine->ring);
    reap(engine);
}

static int wait_until(struct uring_engine *engine, int64_t due)
{
    struct timespec now;
    struct io_uring_cqe *cqe;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t left = due - ((int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
    if (left < 0)
        left = 0;
    struct __kernel_timespec limit = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    return io_uring_submit_and_wait_timeout(&engine->ring, &cqe, 1, &limit, NULL);
}

static void tell_of_bells(struct uring_engine *engine)
{
    struct list batch;
    struct list *node;
    list_init(&batch);
    list_splice(&batch, &engine->rung_bells);
    while ((node = list_take_first(&batch))) {
        const struct engine_bell *bell = &list_entry(node, struct uring_bell, node)->bell;
        bell->rung(bell->owner);
    }
}

/* Interrupted, out of time, short of memory for the moment, or there are more completions than the system has room for
 * (io_uring_enter(2)): no errors. */
static bool is_error(int result)
{
    return result < 0 && result != -EINTR && result != -ETIME && result != -EAGAIN && result != -EBUSY;
}

static int wait_for_events(struct engine *core, int64_t due)
{
    struct uring_engine *engine = engine_of(core);
    int r = enable(engine);
    if (r < 0)
        return r;
    if (due == 0 || io_uring_cq_ready(&engine->ring) > 0 || !list_is_empty(&engine->rung_bells))
        r = io_uring_submit_and_get_events(&engine->ring);
    else if (due == INT64_MAX)
        r = io_uring_submit_and_wait(&engine->ring, 1);
    else
        r = wait_until(engine, due);
    reap(engine);
    tell_of_bells(engine);
    return is_error(r) ? r : engine->set_error;
}

/* ---- sockets ---- */

static void socket_init(struct engine_socket *socket)
{
    struct uring_socket *ours = socket_of(socket);
    memset(ours->submissions, 0, sizeof ours->submissions);
    ours->message = NULL;
}

static void socket_forget(struct engine_socket *socket)
{
    struct uring_engine *engine = engine_of(socket->engine);
    const struct submission *submissions = socket_of(socket)->submissions;
    /* First what has memory: to end a poll may have the system take what was collected. */
    for (enum what what = INWARD; what <= OUTWARD; what++) {
        if (submissions[what].is_out)
            take_back(engine, &submissions[what], data_of(socket, what));
    }
    for (enum what what = WATCH_READ; what <= WATCH_WRITE; what++)
        end_poll(engine, &submissions[what], data_of(socket, what));
    if (socket->listens)
        epoll_set_forget_listener(engine->epoll_set, socket);
}

static bool watch_read(struct engine_socket *socket)
{
    socket->watches_read = socket->listens ? epoll_set_watch_listener(engine_of(socket->engine)->epoll_set, socket)
                                           : poll_once(socket, WATCH_READ, POLLIN);
    return socket->watches_read;
}

/* What watches reports once, and is not in the way. */
static void unwatch_read(struct engine_socket *socket)
{
    (void)socket;
}

static bool watch_write(struct engine_socket *socket)
{
    socket->watches_write = poll_once(socket, WATCH_WRITE, POLLOUT);
    return socket->watches_write;
}

/* A poll of the ring cannot do this: it reports the end of the stream (POLLRDHUP), too, whatever it is asked for. */
static void watch_break(struct engine_socket *socket)
{
    epoll_set_watch_break(engine_of(socket->engine)->epoll_set, socket);
}

static ssize_t receive(struct engine_socket *socket, uint8_t *room, size_t size)
{
    struct io_uring_sqe *sqe = next_sqe(engine_of(socket->engine), &socket_of(socket)->submissions[INWARD]);
    if (!sqe)
        return socket_calls_receive(socket, room, size);
    io_uring_prep_recv(sqe, socket->fd, room, size, MSG_DONTWAIT);
    io_uring_sqe_set_data64(sqe, data_of(socket, INWARD));
    socket->in_flight++;
    return ENGINE_IN_FLIGHT;
}

static struct message *message_new(const struct engine_send *send_this)
{
    struct message *message = malloc(sizeof *message);
    if (!message)
        return NULL;
    memcpy(message->vectors, send_this->vectors, (size_t)send_this->count * sizeof message->vectors[0]);
    message->header = (struct msghdr){.msg_iov = message->vectors, .msg_iovlen = (size_t)send_this->count};
    return message;
}

static ssize_t send_vectors(struct engine_socket *socket, const struct engine_send *send_this)
{
    struct uring_socket *ours = socket_of(socket);
    struct message *message = NULL;
    /* Descriptors are rare, and would have to be kept as well. */
    if (send_this->descriptor_count > 0)
        return socket_calls_send(socket, send_this);
    if (send_this->count > 1 && !(message = message_new(send_this)))
        return socket_calls_send(socket, send_this);
    struct io_uring_sqe *sqe = next_sqe(engine_of(socket->engine), &ours->submissions[OUTWARD]);
    if (!sqe) {
        free(message);
        return socket_calls_send(socket, send_this);
    }
    if (message)
        io_uring_prep_sendmsg(sqe, socket->fd, &message->header, MSG_NOSIGNAL | MSG_DONTWAIT);
    else
        io_uring_prep_send(sqe, socket->fd, send_this->vectors[0].iov_base, send_this->vectors[0].iov_len,
                           MSG_NOSIGNAL | MSG_DONTWAIT);
    io_uring_sqe_set_data64(sqe, data_of(socket, OUTWARD));
    ours->message = message;
    socket->in_flight++;
    return ENGINE_IN_FLIGHT;
}

/* ---- bells ---- */

static int bell_init(struct engine_bell *bell)
{
    struct uring_bell *ours = (struct uring_bell *)bell;
    list_init(&ours->node);
    return poll_bell(ours) ? 0 : -ENOMEM;
}

static void bell_free(struct engine_bell *bell)
{
    struct uring_bell *ours = (struct uring_bell *)bell;
    struct uring_engine *engine = engine_of(bell->engine);
    end_poll(engine, &ours->submission, data_of(ours, BELL));
    close(bell->fd);
    bell->fd = -1;
    list_remove(&ours->node);
    if (ours->submission.is_out)
        list_append(&engine->ending_bells, &ours->node);
    else
        free(ours);
}

const struct engine_backend backend_io_uring = {
    .name = "io_uring",
    .engine_size = sizeof(struct uring_engine),
    .socket_size = sizeof(struct uring_socket),
    .bell_size = sizeof(struct uring_bell),
    .init = init,
    .deinit = deinit,
    .wait = wait_for_events,
    .flush = flush,
    .socket_init = socket_init,
    .socket_forget = socket_forget,
    .watch_read = watch_read,
    .unwatch_read = unwatch_read,
    .watch_write = watch_write,
    .watch_break = watch_break,
    .receive = receive,
    .send = send_vectors,
    .bell_init = bell_init,
    .bell_free = bell_free,
};
