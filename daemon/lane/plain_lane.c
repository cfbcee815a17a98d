/*
 * The plain lane: frames and payloads are bytes in the socket.
 *
 * What is to be sent queues up in `output`. Where the engine's backend holds memory, the output does not move from the
 * moment in which a send asks for it to the send's end: what is put meanwhile queues up in `behind`, which takes the
 * place of the output when that is empty.
 */
#include "daemon/lane/plain_lane.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum {
    READ_SIZE = 64 * 1024,           /* bytes: the most that one read returns */
    CONGESTED = 1024 * 1024,         /* bytes of output: no more reads */
    RELIEVED = CONGESTED / 2,        /* … until so much is left */
    DEAF = 4 * 1024 * 1024,          /* bytes of output: no more requests */
    SENDS_AT_MOST = 4 * 1024 * 1024, /* bytes offered to one send */
    MEMORY_RETRY_MS = 100,
};

/* Bytes that wait to be sent. */
static size_t queued(const struct plain_lane *lane)
{
    return bytes_length(&lane->output) + bytes_length(&lane->behind);
}

/* Where what is put now goes. */
static struct bytes *queue_end(struct plain_lane *lane)
{
    return lane->output_is_held || bytes_length(&lane->behind) > 0 ? &lane->behind : &lane->output;
}

static void drop_output(struct plain_lane *lane)
{
    bytes_deinit(&lane->output);
    bytes_deinit(&lane->behind);
}

static void listen_on(struct plain_lane *lane)
{
    if (lane->listening || lane->closed || queued(lane) > DEAF)
        return;
    if (!list_is_empty(&lane->backlog.node))
        return;
    lane->listening = true;
    engine_recv(lane->socket);
}

static void start_sending(struct plain_lane *lane)
{
    if (lane->sending)
        return;
    lane->sending = true;
    engine_send(lane->socket);
}

static uint8_t *on_receive_buffer(void *owner, size_t *size)
{
    struct plain_lane *lane = owner;
    return frame_reader_room(&lane->reader, size);
}

/* Hands on the frames that have come. Those that the client's slice has no time for wait, and nothing is read until
 * then. */
static void take_frames(struct plain_lane *lane)
{
    for (;;) {
        struct frame_message message;
        int r = frame_reader_next(&lane->reader, &message);
        if (r == FRAME_READER_NEEDS_MORE)
            break;
        if (r != FRAME_READER_FRAME) {
            lane->user->broken(lane->owner, r < 0 ? "out of memory" : frame_fault_text(r), r < 0 ? -r : 0);
            return;
        }
        if (!lane->user->frame(lane->owner, &message))
            return;
        if (time_slice_is_spent(lane->backlog.slice)) {
            engine_work_submit(&lane->backlog);
            return;
        }
    }
    listen_on(lane);
}

static void on_backlog(struct engine_work *work)
{
    take_frames(list_entry(work, struct plain_lane, backlog));
}

static void on_received(void *owner, ssize_t result)
{
    struct plain_lane *lane = owner;
    lane->listening = false;
    if (result <= 0) {
        lane->user->broken(lane->owner, NULL, (int)-result);
        return;
    }
    frame_reader_filled(&lane->reader, (size_t)result);
    take_frames(lane);
}

static int on_send_vectors(void *owner, struct iovec *vectors, int max)
{
    struct plain_lane *lane = owner;
    size_t length = bytes_length(&lane->output);
    (void)max;
    lane->output_is_held = engine_holds_memory(lane->engine);
    vectors[0].iov_base = lane->output.data + lane->output.head;
    vectors[0].iov_len = length < SENDS_AT_MOST ? length : SENDS_AT_MOST;
    return 1;
}

static void relieve(struct plain_lane *lane)
{
    if (!lane->congested)
        return;
    lane->congested = false;
    lane->user->relieved(lane->owner);
}

static void on_retry(void *owner)
{
    relieve(owner);
}

static void on_sent(void *owner, ssize_t result)
{
    struct plain_lane *lane = owner;
    lane->sending = lane->output_is_held = false;
    if (result < 0) {
        lane->unheard = true;
        drop_output(lane);
        /* To a client that is still there, after another failure than its end, this is the end of the session. */
        (void)engine_socket_shut_down(lane->socket, SHUT_WR);
        listen_on(lane);
        return;
    }
    bytes_take(&lane->output, (size_t)result);
    if (bytes_length(&lane->output) == 0 && bytes_length(&lane->behind) > 0) {
        struct bytes sent = lane->output;
        lane->output = lane->behind;
        lane->behind = sent;
    }
    size_t left = queued(lane);
    if (left > 0)
        start_sending(lane);
    if (left <= RELIEVED)
        relieve(lane);
    listen_on(lane);
}

static void on_closed(void *owner)
{
    struct plain_lane *lane = owner;
    lane->user->closed(lane->owner);
}

static const struct engine_handlers handlers = {
    .receive_buffer = on_receive_buffer,
    .received = on_received,
    .send_vectors = on_send_vectors,
    .sent = on_sent,
    .closed = on_closed,
};

int plain_lane_init(struct plain_lane *lane, struct time_slice *slice, int fd, const struct plain_lane_user *user,
                    void *owner)
{
    *lane = (struct plain_lane){
        .engine = slice->engine, .user = user, .owner = owner, .backlog = {.run = on_backlog, .slice = slice}};
    list_init(&lane->backlog.node);
    if (frame_reader_init(&lane->reader) < 0)
        return -ENOMEM;
    engine_timer_init(&lane->retry_timer, slice->engine, on_retry, lane);
    lane->socket = engine_socket_new(slice, fd, &handlers, lane);
    if (!lane->socket) {
        frame_reader_deinit(&lane->reader);
        return -ENOMEM;
    }
    listen_on(lane);
    return 0;
}

void plain_lane_deinit(struct plain_lane *lane)
{
    frame_reader_deinit(&lane->reader);
    drop_output(lane);
}

/* Last words, such as why a session is refused: as far as the socket takes them at once. */
static void send_what_fits(struct plain_lane *lane)
{
    size_t length = bytes_length(&lane->output);
    if (length > 0 && engine_socket_send_now(lane->socket, bytes_front(&lane->output), length, NULL, 0) > 0)
        drop_output(lane);
}

void plain_lane_close(struct plain_lane *lane)
{
    if (lane->closed)
        return;
    lane->closed = true;
    engine_timer_deinit(&lane->retry_timer);
    engine_work_cancel(&lane->backlog);
    send_what_fits(lane);
    engine_socket_close(lane->socket);
}

int plain_lane_put(struct plain_lane *lane, const struct frame *frame, const void *body, const void *payload)
{
    size_t size = FRAME_HEADER_SIZE + (size_t)frame->body_length + frame->payload_length;
    if (lane->unheard)
        return 0;
    struct bytes *queue = queue_end(lane);
    uint8_t *out = bytes_reserve(queue, size);
    if (!out)
        return -ENOMEM;
    frame_encode(frame, out);
    if (frame->body_length)
        memcpy(out + FRAME_HEADER_SIZE, body, frame->body_length);
    if (frame->payload_length)
        memcpy(out + FRAME_HEADER_SIZE + frame->body_length, payload, frame->payload_length);
    bytes_commit(queue, size);
    start_sending(lane);
    return 0;
}

void plain_lane_want_relief(struct plain_lane *lane)
{
    lane->congested = true;
    /* So that `relieved` is certain to come even when it was memory that was short. */
    if (queued(lane) > 0)
        start_sending(lane);
    else
        engine_timer_set(&lane->retry_timer, MEMORY_RETRY_MS);
}

uint8_t *plain_lane_room(struct plain_lane *lane, size_t *size)
{
    uint8_t *out = NULL;
    if (lane->unheard)
        return NULL;
    if (queued(lane) < CONGESTED)
        out = bytes_reserve(queue_end(lane), FRAME_HEADER_SIZE + READ_SIZE);
    if (!out) {
        plain_lane_want_relief(lane);
        return NULL;
    }
    *size = READ_SIZE;
    return out + FRAME_HEADER_SIZE;
}

void plain_lane_put_room(struct plain_lane *lane, const struct frame *frame)
{
    frame_encode(frame, lane->output.data + lane->output.tail);
    bytes_commit(&lane->output, FRAME_HEADER_SIZE + (size_t)frame->payload_length);
    start_sending(lane);
}

bool plain_lane_is_read(const struct plain_lane *lane)
{
    return engine_socket_unread(lane->socket) <= 0 && lane->reader.head == lane->reader.tail && !lane->reader.payload;
}

bool plain_lane_is_sent(const struct plain_lane *lane)
{
    return queued(lane) == 0;
}
