#include "daemon/process/handover_give.h"

#include "daemon/log/errno_text.h"
#include "daemon/log/log.h"
#include "daemon/process/door.h"
#include "daemon/process/worker.h"
#include "proto/endian.h"
#include "proto/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The conversation with a successor. */
struct successor {
    struct handover_give *give;
    struct engine_socket *socket;
    struct engine_timer timer;

    /* What is being said: the door, and then the listeners. */
    uint32_t item;                                         /* 0: the door */
    uint8_t said[FRAME_HEADER_SIZE + HANDOVER_TOKEN_SIZE]; /* a token, or the id of a file, which is as long */
    size_t said_size;
    size_t said_sent;
    int descriptors[2];
    int descriptor_count;

    /* The answer. */
    uint8_t heard[FRAME_HEADER_SIZE];
    size_t heard_size;
};

static void answered(struct handover_give *give, int error);

/* ---- saying ---- */

static void say_door(struct successor *successor)
{
    const struct rendezvous *rendezvous = successor->give->giver.rendezvous;
    struct file_id file = rendezvous->own.socket;
    struct frame frame = {
        .opcode = FRAME_HANDOVER,
        .flags = FRAME_REPLY,
        .request_id = file.inode != 0,
        .handle = successor->give->items.count,
        .value = HANDOVER_DOOR,
        .payload_length = HANDOVER_TOKEN_SIZE,
    };
    frame_encode(&frame, successor->said);
    put_u64(successor->said + FRAME_HEADER_SIZE, file.device);
    put_u64(successor->said + FRAME_HEADER_SIZE + 8, file.inode);
    successor->said_size = sizeof successor->said;
    successor->descriptors[0] = door_fd(successor->give->giver.door);
    successor->descriptors[1] = rendezvous->lock_fd;
    successor->descriptor_count = rendezvous->lock_fd >= 0 ? 2 : 1;
}

static void say_listener(struct successor *successor, const struct handover_item *item)
{
    struct frame frame = {
        .opcode = FRAME_HANDOVER,
        .flags = FRAME_REPLY,
        .handle = item->handle,
        .value = HANDOVER_LISTENER,
        .payload_length = HANDOVER_TOKEN_SIZE,
    };
    frame_encode(&frame, successor->said);
    memcpy(successor->said + FRAME_HEADER_SIZE, item->token, HANDOVER_TOKEN_SIZE);
    successor->said_size = sizeof successor->said;
    successor->descriptors[0] = item->fd;
    successor->descriptor_count = 1;
}

static void say_item(struct successor *successor)
{
    if (successor->item == 0)
        say_door(successor);
    else
        say_listener(successor, &successor->give->items.items[successor->item - 1]);
    successor->said_sent = 0;
    engine_send(successor->socket);
}

static int on_send_vectors(void *owner, struct iovec *vectors, int max)
{
    struct successor *successor = owner;
    (void)max;
    vectors[0].iov_base = successor->said + successor->said_sent;
    vectors[0].iov_len = successor->said_size - successor->said_sent;
    return 1;
}

static int on_send_descriptors(void *owner, const int **descriptors)
{
    struct successor *successor = owner;
    *descriptors = successor->descriptors;
    return successor->said_sent == 0 ? successor->descriptor_count : 0;
}

static void on_sent(void *owner, ssize_t result)
{
    struct successor *successor = owner;
    if (result < 0) {
        answered(successor->give, (int)result);
        return;
    }
    successor->said_sent += (size_t)result;
    if (successor->said_sent < successor->said_size) {
        engine_send(successor->socket);
    } else if (successor->item < successor->give->items.count) {
        successor->item++;
        say_item(successor);
    } else {
        engine_recv(successor->socket);
    }
}

/* ---- hearing ---- */

static uint8_t *on_receive_buffer(void *owner, size_t *size)
{
    struct successor *successor = owner;
    *size = sizeof successor->heard - successor->heard_size;
    return successor->heard + successor->heard_size;
}

static bool is_taken(const uint8_t heard[FRAME_HEADER_SIZE])
{
    struct frame frame;
    return frame_decode(&frame, heard) == 0 && frame.opcode == FRAME_HANDOVER && frame.flags == 0 &&
           frame.value == HANDOVER_TAKE && frame.body_length == 0 && frame.payload_length == 0;
}

static void on_received(void *owner, ssize_t result)
{
    struct successor *successor = owner;
    if (result <= 0) {
        answered(successor->give, result == 0 ? -ECONNRESET : (int)result);
        return;
    }
    successor->heard_size += (size_t)result;
    if (successor->heard_size < sizeof successor->heard) {
        engine_recv(successor->socket);
        return;
    }
    engine_timer_cancel(&successor->timer);
    answered(successor->give, is_taken(successor->heard) ? 0 : -EPROTO);
}

static void on_timeout(void *owner)
{
    struct successor *successor = owner;
    answered(successor->give, -ETIMEDOUT);
}

static void on_closed(void *owner)
{
    free(owner);
}

static const struct engine_handlers handlers = {
    .receive_buffer = on_receive_buffer,
    .received = on_received,
    .send_vectors = on_send_vectors,
    .send_descriptors = on_send_descriptors,
    .sent = on_sent,
    .closed = on_closed,
};

/* ---- the conversation begins and ends ---- */

/* Takes over `fd`. NULL: out of memory, and the descriptor stays the caller's. */
static struct successor *successor_new(struct handover_give *give, int fd)
{
    struct time_slice *slice = give->giver.slice;
    struct successor *successor = calloc(1, sizeof *successor);
    if (!successor)
        return NULL;
    successor->give = give;
    engine_timer_init(&successor->timer, slice->engine, on_timeout, successor);
    successor->socket = engine_socket_new(slice, fd, &handlers, successor);
    if (successor->socket)
        return successor;
    free(successor);
    return NULL;
}

/* Says the last word. The successor is freed at the end of the turn, and another one may be served. */
static void dismiss(struct handover_give *give, enum handover_word word)
{
    struct successor *successor = give->successor;
    struct frame frame = {.opcode = FRAME_HANDOVER, .flags = FRAME_REPLY, .value = word};
    /* Who does not hear it is gone, or has not read what it was offered: then the end of the connection says it. */
    uint8_t said[FRAME_HEADER_SIZE];
    frame_encode(&frame, said);
    (void)engine_socket_send_now(successor->socket, said, sizeof said, NULL, 0);
    engine_timer_deinit(&successor->timer);
    engine_socket_close(successor->socket);
    handover_items_close(&give->items);
    give->successor = NULL;
    give->phase = GIVE_IDLE;
}

/* ---- the phases ---- */

static void log_kept(const struct handover_give *give, int error)
{
    log_line(LOG_WARNING, "event=kept listeners=%u error=\"%s\" errno=%d", give->items.count, errno_text(error), error);
}

static void keep(struct handover_give *give, int error)
{
    const struct handover_giver *giver = &give->giver;
    log_kept(give, error);
    for (unsigned i = 0; i < giver->worker_count; i++)
        worker_order(giver->workers[i], WORKER_KEEP);
    dismiss(give, HANDOVER_KEPT);
    engine_wake(giver->slice->engine); /* the next one may be waiting */
}

/* The successor has taken everything, or `error`, a negative errno, says why not. */
static void answered(struct handover_give *give, int error)
{
    const struct handover_giver *giver = &give->giver;
    if (error) {
        keep(give, -error);
        return;
    }
    give->phase = GIVE_TAKEN;
    give->over = true;
    giver->given(giver->context, give->items.count);
    for (unsigned i = 0; i < giver->worker_count; i++)
        worker_order(giver->workers[i], WORKER_GIVE);
}

static bool all_workers_have_offered(const struct handover_give *give)
{
    for (unsigned i = 0; i < give->giver.worker_count; i++) {
        if (atomic_load(&give->giver.workers[i]->phase) != HANDOVER_OFFERED)
            return false;
    }
    return true;
}

static bool all_workers_have_given(const struct handover_give *give)
{
    for (unsigned i = 0; i < give->giver.worker_count; i++) {
        const struct worker *worker = give->giver.workers[i];
        if (atomic_load(&worker->phase) != HANDOVER_GIVEN && !atomic_load(&worker->finished))
            return false;
    }
    return true;
}

static void begin(struct handover_give *give)
{
    const struct handover_giver *giver = &give->giver;
    int fd = atomic_exchange(&give->asking, -1);
    if (fd < 0)
        return;
    if (!give->over) {
        give->successor = successor_new(give, fd);
        if (!give->successor)
            log_kept(give, ENOMEM);
    }
    if (!give->successor) {
        close(fd);
        return;
    }
    give->phase = GIVE_LISTING;
    atomic_store(&give->items.failed, 0);
    for (unsigned i = 0; i < giver->worker_count; i++)
        worker_offer(giver->workers[i], &give->items);
}

static void offer(struct handover_give *give)
{
    int error = give->over ? ECANCELED : atomic_load(&give->items.failed);
    give->phase = GIVE_OFFERED;
    if (error) {
        keep(give, error);
        return;
    }
    engine_timer_set(&give->successor->timer, give->giver.limit);
    say_item(give->successor);
}

void handover_give_init(struct handover_give *give)
{
    *give = (struct handover_give){.phase = GIVE_IDLE};
    handover_items_init(&give->items);
    atomic_init(&give->asking, -1);
}

void handover_give_deinit(struct handover_give *give)
{
    if (give->successor)
        dismiss(give, give->phase == GIVE_TAKEN ? HANDOVER_YOURS : HANDOVER_KEPT);
    int asking = atomic_load(&give->asking);
    if (asking >= 0)
        close(asking);
    handover_items_deinit(&give->items);
}

void handover_give_ask(struct handover_give *give, int fd)
{
    int before = atomic_exchange(&give->asking, fd);
    if (before >= 0)
        close(before);
    engine_wake(give->giver.slice->engine);
}

void handover_give_go_on(struct handover_give *give)
{
    if (give->phase == GIVE_IDLE)
        begin(give);
    else if (give->phase == GIVE_LISTING && all_workers_have_offered(give))
        offer(give);
    else if (give->phase == GIVE_TAKEN && all_workers_have_given(give))
        dismiss(give, HANDOVER_YOURS);
}

bool handover_give_is_under_way(const struct handover_give *give)
{
    return give->phase != GIVE_IDLE;
}

void handover_give_withdraw(struct handover_give *give)
{
    give->over = true;
    if (give->phase == GIVE_OFFERED)
        keep(give, ECANCELED);
}
