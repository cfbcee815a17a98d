#include "tests/fuzz/played_client.h"

#include "proto/handle.h"
#include "proto/oche.pb-c.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/requests.h"
#include "tests/fuzz/scribbler.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    QUEUED_MAX = 512 * 1024, /* said, and not sent */
    PAYLOAD_MAX = 512 * 1024,
};

static uint8_t payload[PAYLOAD_MAX]; /* any bytes */

/* ---- bytes out ---- */

void played_client_send(struct played_client *client)
{
    size_t length = bytes_length(&client->out);
    if (client->fd < 0 || length == 0)
        return;
    ssize_t sent = send(client->fd, bytes_front(&client->out), length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0)
        bytes_take(&client->out, (size_t)sent);
}

bool played_client_has_sent_all(const struct played_client *client)
{
    return bytes_length(&client->out) == 0;
}

static bool can_queue(const struct played_client *client)
{
    return client->fd >= 0 && bytes_length(&client->out) <= QUEUED_MAX;
}

static void queue_out(struct played_client *client, const void *bytes, size_t size)
{
    if (size == 0)
        return;
    uint8_t *room = bytes_reserve(&client->out, size);
    CHECK(room);
    memcpy(room, bytes, size);
    bytes_commit(&client->out, size);
}

static void ring_daemon(const struct played_client *client)
{
    if (client->base)
        eventfd_write(client->daemon_bell, 1);
}

/* ---- what the daemon says ---- */

static bool is_answered(const struct frame *frame)
{
    switch (frame->opcode) {
    case FRAME_READ:
    case FRAME_RELEASE:
    case FRAME_CANCEL:
        return false;
    default:
        return !(frame->flags & FRAME_MORE);
    }
}

static void check_reply(struct played_client *client, const struct frame *frame)
{
    CHECK(frame->flags & FRAME_REPLY);
    CHECK(!(frame->flags & FRAME_MORE));
    if (frame->opcode == FRAME_READ)
        CHECK(frame->value < 0 || frame->value == frame->payload_length);
    if (!is_answered(frame) || frame->handle != 0)
        return; /* with a handle it is news of a connection, that it has broken, and no answer */
    client->replies_come[frame->opcode]++;
    CHECK(client->is_dishonest || client->replies_come[frame->opcode] <= client->requests_made[frame->opcode]);
}

/* Descriptors of the memory lane; the bytes that they come with are in the reader already. */
static void take_descriptors(struct played_client *client, struct msghdr *message)
{
    struct cmsghdr *control = CMSG_FIRSTHDR(message);
    int fds[3];
    if (!control || control->cmsg_type != SCM_RIGHTS)
        return;
    CHECK(control->cmsg_len == CMSG_LEN(sizeof fds) && !client->base);
    memcpy(fds, CMSG_DATA(control), sizeof fds);
    client->sizes = (struct memory_sizes){0};
    client->own_bell = fds[1];
    client->daemon_bell = fds[2];
    off_t size = lseek(fds[0], 0, SEEK_END);
    client->base = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
    CHECK(client->base != MAP_FAILED);
    close(fds[0]);
}

static void take_welcome(struct played_client *client, const struct frame_message *message)
{
    Oche__Welcome *welcome = oche__welcome__unpack(NULL, message->frame.body_length, message->body);
    CHECK(welcome);
    CHECK(!welcome->memory == !client->base);
    if (welcome->memory) {
        client->sizes = (struct memory_sizes){
            .request_ring = welcome->memory->request_ring,
            .reply_ring = welcome->memory->reply_ring,
            .receive_arena = welcome->memory->receive_arena,
            .send_arena = welcome->memory->send_arena,
        };
        memory_map_init(&client->map, client->base, &client->sizes);
        ring_producer_init(&client->requests, client->map.request_control, client->map.request_ring,
                           client->sizes.request_ring);
        ring_consumer_init(&client->replies, client->map.reply_control, client->map.reply_ring,
                           client->sizes.reply_ring);
        CHECK(arena_init(&client->send, client->map.send_arena, client->sizes.send_arena) == 0);
    }
    oche__welcome__free_unpacked(welcome, NULL);
}

static void take_plain(struct played_client *client)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(3 * sizeof(int))];
    } control;
    for (;;) {
        size_t size;
        struct iovec vector = {.iov_base = frame_reader_room(&client->in, &size)};
        vector.iov_len = size;
        struct msghdr header = {
            .msg_iov = &vector,
            .msg_iovlen = 1,
            .msg_control = control.bytes,
            .msg_controllen = sizeof control.bytes,
        };
        ssize_t received = client->fd < 0 ? 0 : recvmsg(client->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (received <= 0)
            return;
        take_descriptors(client, &header);
        frame_reader_filled(&client->in, (size_t)received);
        struct frame_message message;
        int r;
        while ((r = frame_reader_next(&client->in, &message)) == FRAME_READER_FRAME) {
            check_reply(client, &message.frame);
            if (message.frame.opcode == FRAME_HELLO && message.frame.value == 0)
                take_welcome(client, &message);
            free(message.payload);
        }
        CHECK(r == FRAME_READER_NEEDS_MORE);
    }
}

/* The daemon writes what it likes where the input has scribbled: no checks here. */
static void take_records(struct played_client *client, unsigned count)
{
    const uint8_t *record;
    uint32_t size;
    while (count-- > 0 && ring_next(&client->replies, &record, &size) == RING_RECORD) {
        struct frame frame;
        CHECK(client->is_dishonest || size >= FRAME_HEADER_SIZE);
        if (size < FRAME_HEADER_SIZE || frame_decode(&frame, record) != 0)
            continue;
        if (!client->is_dishonest)
            check_reply(client, &frame);
        if (!(frame.flags & FRAME_IN_ARENA))
            continue;
        if (frame.opcode == FRAME_RELEASE)
            arena_release(&client->send, frame.payload_offset, frame.payload_length);
        else
            client->held[client->held_count++ % PLAYED_CLIENT_HELD] =
                (struct played_client_held){frame.payload_offset, frame.payload_length};
    }
    if (ring_release(&client->replies))
        ring_daemon(client);
    ring_sleep(&client->replies);
}

void played_client_take_replies(struct played_client *client)
{
    if (client->base)
        take_records(client, 64);
    else
        take_plain(client);
}

bool played_client_is_answered(const struct played_client *client)
{
    return memcmp(client->requests_made, client->replies_come, sizeof client->requests_made) == 0;
}

/* ---- requests ---- */

/* A handle of the session: of a socket that is open, or was, or will be, or any number. */
static int64_t pick_handle(struct played_client *client)
{
    uint8_t byte = input_byte(client->input);
    uint32_t index = byte % 16, generation = 1;
    if (byte >= 0xf0)
        return input_value(client->input);
    if (client->sockets && index < client->sockets->size)
        generation = client->sockets->slots[index].generation;
    return handle_make(index, byte >= 0xe0 ? generation - 1 : generation);
}

static bool put_record(struct played_client *client, const struct request *request, bool in_arena)
{
    uint32_t size = FRAME_HEADER_SIZE + request->body_length + (in_arena ? 0 : request->payload_length);
    if (size > ring_record_max(client->sizes.request_ring))
        return false;
    uint8_t *record = ring_reserve(&client->requests, size);
    if (!record)
        return false;
    frame_encode(&request->frame, record);
    memcpy(record + FRAME_HEADER_SIZE, request->body, request->body_length);
    if (!in_arena && request->payload_length > 0)
        memset(record + FRAME_HEADER_SIZE + request->body_length, 'p', request->payload_length);
    ring_commit(&client->requests, size);
    return true;
}

static bool say_in_memory(struct played_client *client, struct request *request)
{
    bool in_arena = request->payload_length > MEMORY_INLINE_MAX && request->payload_length <= ARENA_BLOCK;
    uint32_t available;
    if (in_arena && arena_room(&client->send, request->payload_length, &available)) {
        request->frame.payload_offset = arena_commit(&client->send, request->payload_length);
        request->frame.flags |= FRAME_IN_ARENA;
    } else {
        in_arena = false;
    }
    bool said = put_record(client, request, in_arena);
    if (ring_publish(&client->requests))
        ring_daemon(client);
    return said;
}

static bool say_plainly(struct played_client *client, const struct request *request)
{
    uint8_t header[FRAME_HEADER_SIZE];
    if (!can_queue(client))
        return false;
    frame_encode(&request->frame, header);
    queue_out(client, header, sizeof header);
    queue_out(client, request->body, request->body_length);
    queue_out(client, payload, request->payload_length);
    return true;
}

static void say(struct played_client *client, struct request *request)
{
    bool said = client->base ? say_in_memory(client, request) : say_plainly(client, request);
    if (!request->is_honest || request->frame.opcode >= FRAME_OPCODE_END)
        client->is_dishonest = true;
    else if (said && is_answered(&request->frame))
        client->requests_made[request->frame.opcode]++;
}

void played_client_say_hello(struct played_client *client)
{
    struct request request;
    requests_hello(&request, true, 0);
    say(client, &request);
}

void played_client_say_statistics(struct played_client *client)
{
    struct request request = {.frame = {.opcode = FRAME_STATISTICS}, .is_honest = true};
    say(client, &request);
}

void played_client_say_request(struct played_client *client)
{
    struct request request;
    requests_make(&request, client->input);
    switch (request.frame.opcode) {
    case FRAME_HELLO:
    case FRAME_CONNECT:
    case FRAME_LISTEN:
    case FRAME_STATISTICS:
    case FRAME_RELEASE:
    case FRAME_CANCEL:
    case FRAME_PING:
        break;
    default:
        request.frame.handle = pick_handle(client);
    }
    say(client, &request);
}

static void say_release(struct played_client *client, uint8_t which)
{
    if (client->held_count == 0)
        return;
    unsigned count = client->held_count < PLAYED_CLIENT_HELD ? client->held_count : PLAYED_CLIENT_HELD;
    const struct request request = {
        .frame = {.opcode = FRAME_RELEASE,
                  .flags = FRAME_IN_ARENA,
                  .payload_offset = client->held[which % count].offset,
                  .payload_length = client->held[which % count].length},
    };
    put_record(client, &request, true);
    if (ring_publish(&client->requests))
        ring_daemon(client);
}

void played_client_say_bytes(struct played_client *client)
{
    size_t taken;
    const uint8_t *bytes = input_take(client->input, input_byte(client->input), &taken);
    if (can_queue(client))
        queue_out(client, bytes, taken);
    client->is_dishonest = true;
}

/* ---- what no client does to its memory ---- */

/* The client's end of the pipe that the daemon rings with: it is not read, or closed, or made to block. */
static void misuse_bell(struct played_client *client, uint8_t how)
{
    int flags = fcntl(client->own_bell, F_GETFL);
    if (how & 0x10) {
        fcntl(client->own_bell, F_SETFL, flags ^ O_NONBLOCK);
    } else if (client->own_bell >= 0) {
        close(client->own_bell);
        client->own_bell = -1;
    }
}

/* A record of any bytes, well wrapped. */
static void put_bytes(struct played_client *client)
{
    size_t taken;
    const uint8_t *bytes = input_take(client->input, input_byte(client->input), &taken);
    uint8_t *record = ring_reserve(&client->requests, (uint32_t)taken);
    if (!record)
        return;
    if (taken > 0)
        memcpy(record, bytes, taken);
    ring_commit(&client->requests, (uint32_t)taken);
    if (ring_publish(&client->requests))
        ring_daemon(client);
}

void played_client_misuse_memory(struct played_client *client, uint8_t how)
{
    if (!client->base || !client->sizes.request_ring)
        return;
    if (how % 6 < 4)
        client->is_dishonest = true;
    switch (how % 6) {
    case 0:
        scribbler_change_word(&client->map, client->input);
        break;
    case 1:
        scribbler_change_bytes(client->base, memory_total(&client->sizes), &client->requests, how, client->input);
        break;
    case 2:
        misuse_bell(client, how);
        break;
    case 3:
        put_bytes(client);
        break;
    case 4:
        say_release(client, how >> 3);
        break;
    default:
        ring_daemon(client);
        break;
    }
}

/* ---- beginning and end ---- */

void played_client_init(struct played_client *client, int fd, struct input *input, const struct socket_table *sockets)
{
    *client = (struct played_client){.input = input, .sockets = sockets, .fd = fd, .own_bell = -1, .daemon_bell = -1};
    CHECK(frame_reader_init(&client->in) == 0);
}

void played_client_shut_down(struct played_client *client, int how)
{
    shutdown(client->fd, how);
    client->is_dishonest = true;
}

void played_client_hang_up(struct played_client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    client->is_dishonest = true; /* who does not listen cannot tell */
}

static void let_go_of_memory(struct played_client *client)
{
    if (!client->base)
        return;
    arena_deinit(&client->send);
    munmap(client->base, memory_total(&client->sizes));
    if (client->own_bell >= 0)
        close(client->own_bell);
    close(client->daemon_bell);
}

void played_client_deinit(struct played_client *client)
{
    played_client_hang_up(client);
    let_go_of_memory(client);
    bytes_deinit(&client->out);
    frame_reader_deinit(&client->in);
}
