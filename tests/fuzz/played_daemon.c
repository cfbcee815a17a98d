#include "tests/fuzz/played_daemon.h"

#include "client/session/public_handle.h"
#include "proto/endpoints.h"
#include "proto/errors.h"
#include "proto/oche.pb-c.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/scribbler.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BLOCKS = 8,
    PAYLOAD_MAX = 512 * 1024,
};

static const struct memory_sizes sizes = {
    .request_ring = 64 * 1024,
    .reply_ring = 64 * 1024,
    .receive_arena = BLOCKS * ARENA_BLOCK,
    .send_arena = BLOCKS * ARENA_BLOCK,
};

static uint8_t payload_bytes[PAYLOAD_MAX]; /* any bytes */

/* ---- what it gets ---- */

static void see(struct played_daemon *daemon, const struct frame *frame)
{
    CHECK(!(frame->flags & FRAME_REPLY));
    if ((frame->flags & FRAME_IN_ARENA) && frame->opcode == FRAME_WRITE)
        daemon->releases[daemon->release_count++ % PLAYED_DAEMON_SEEN] = *frame;
    if (frame->opcode == FRAME_RELEASE)
        return;
    daemon->long_total += frame->payload_length;
    if (frame->flags & FRAME_MORE)
        return;
    daemon->seen[daemon->seen_count++ % PLAYED_DAEMON_SEEN] =
        (struct played_daemon_seen){.frame = *frame, .total = daemon->long_total};
    daemon->long_total = 0;
}

static void see_stream(struct played_daemon *daemon)
{
    struct frame_message message;
    size_t room;
    if (daemon->fd < 0)
        return;
    uint8_t *at = frame_reader_room(&daemon->in, &room);
    ssize_t received = recv(daemon->fd, at, room, MSG_DONTWAIT);
    if (received <= 0)
        return;
    frame_reader_filled(&daemon->in, (size_t)received);
    int r;
    while ((r = frame_reader_next(&daemon->in, &message)) == FRAME_READER_FRAME) {
        see(daemon, &message.frame);
        free(message.payload);
    }
    CHECK(r == FRAME_READER_NEEDS_MORE);
}

static void ring_client(const struct played_daemon *daemon)
{
    if (write(daemon->client_bell, "", 1) < 0) {
        /* It is full: then it is heard. */
    }
}

static void see_records(struct played_daemon *daemon)
{
    const uint8_t *record;
    uint32_t size;
    for (int count = 0; count < 64 && ring_next(&daemon->requests, &record, &size) == RING_RECORD; count++) {
        struct frame frame;
        if (size < FRAME_HEADER_SIZE || frame_decode(&frame, record) != 0)
            return; /* the input has scribbled over it */
        if (frame.opcode == FRAME_RELEASE)
            arena_release(&daemon->receive, frame.payload_offset, frame.payload_length);
        if (!(frame.flags & FRAME_REPLY))
            see(daemon, &frame);
    }
    if (ring_release(&daemon->requests))
        ring_client(daemon);
    ring_sleep(&daemon->requests);
}

void played_daemon_see_requests(struct played_daemon *daemon)
{
    if (daemon->base)
        see_records(daemon);
    else
        see_stream(daemon);
}

/* ---- what it says ---- */

static void say_record(struct played_daemon *daemon, const struct frame *frame, const void *body, uint32_t body_length,
                       const void *payload, uint32_t payload_length)
{
    uint32_t size = FRAME_HEADER_SIZE + body_length + payload_length;
    uint8_t *record = size <= ring_record_max(sizes.reply_ring) ? ring_reserve(&daemon->replies, size) : NULL;
    if (!record)
        return;
    frame_encode(frame, record);
    if (body_length > 0)
        memcpy(record + FRAME_HEADER_SIZE, body, body_length);
    if (payload_length > 0)
        memcpy(record + FRAME_HEADER_SIZE + body_length, payload, payload_length);
    ring_commit(&daemon->replies, size);
    if (ring_publish(&daemon->replies))
        ring_client(daemon);
}

static void send_to_client(const struct played_daemon *daemon, const void *bytes, size_t size)
{
    if (daemon->fd >= 0 && size > 0)
        send(daemon->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void say(struct played_daemon *daemon, const struct frame *frame, const void *body, uint32_t body_length,
                const void *payload, uint32_t payload_length)
{
    uint8_t header[FRAME_HEADER_SIZE];
    if (daemon->base) {
        say_record(daemon, frame, body, body_length, payload, payload_length);
        return;
    }
    frame_encode(frame, header);
    send_to_client(daemon, header, sizeof header);
    send_to_client(daemon, body, body_length);
    send_to_client(daemon, payload, payload_length);
}

static void make_endpoints(uint8_t record[ENDPOINTS_SIZE], uint8_t how, bool has_remote)
{
    struct endpoints endpoints = {
        .local = {.address_length = how & 1 ? 16 : 4, .port = how},
        .remote = {.address_length = has_remote ? 4 : 0, .port = has_remote ? how : 0},
        .keep_alive = how & 2,
    };
    endpoints_encode(&endpoints, record);
}

/* Success, as it should be. */
static void succeed(struct played_daemon *daemon, const struct played_daemon_seen *request)
{
    uint8_t payload[ENDPOINTS_SIZE], body[256];
    uint32_t payload_length = 0, body_length = 0;
    struct frame frame = {
        .opcode = request->frame.opcode,
        .flags = FRAME_REPLY,
        .request_id = request->frame.request_id,
    };
    uint8_t how;
    Oche__Statistics statistics = OCHE__STATISTICS__INIT;
    switch (frame.opcode) {
    case FRAME_CONNECT:
    case FRAME_LISTEN:
    case FRAME_ACCEPT:
        how = input_byte(daemon->input);
        frame.value = handle_make(how & 0x80 ? how * 5u : how, 1 + (how & 3u));
        make_endpoints(payload, how, frame.opcode != FRAME_LISTEN);
        payload_length = ENDPOINTS_SIZE;
        break;
    case FRAME_WRITE:
        frame.value = request->total;
        break;
    case FRAME_STATISTICS:
        statistics.bytes_sent = input_byte(daemon->input);
        body_length = (uint32_t)oche__statistics__pack(&statistics, body);
        break;
    default:
        break;
    }
    frame.body_length = (uint16_t)body_length;
    frame.payload_length = payload_length;
    say(daemon, &frame, body, body_length, payload, payload_length);
}

static void fail(struct played_daemon *daemon, const struct played_daemon_seen *request)
{
    uint8_t how = input_byte(daemon->input);
    struct frame frame = {
        .opcode = request->frame.opcode,
        .flags = FRAME_REPLY,
        .request_id = request->frame.request_id,
        .value = how & 0x80 ? input_value(daemon->input) : -1 - how % 20,
        .os_error = how,
    };
    say(daemon, &frame, NULL, 0, NULL, 0);
}

/* A reply with anything in it. */
static void babble(struct played_daemon *daemon, const struct played_daemon_seen *request)
{
    uint8_t which = input_byte(daemon->input);
    size_t body_length, payload_length;
    struct frame frame = {
        .opcode = which & 1 ? input_byte(daemon->input) % (FRAME_OPCODE_END + 1) : request->frame.opcode,
        .flags = which & 2 ? input_byte(daemon->input) : FRAME_REPLY,
        .request_id = which & 4 ? input_value(daemon->input) : request->frame.request_id,
        .handle = which & 8 ? input_value(daemon->input) : 0,
        .value = which & 16 ? input_value(daemon->input) : 0,
    };
    const uint8_t *body = input_take(daemon->input, which & 32 ? input_byte(daemon->input) : 0, &body_length);
    const uint8_t *payload = input_take(daemon->input, which & 64 ? input_byte(daemon->input) : 0, &payload_length);
    frame.body_length = (uint16_t)body_length;
    frame.payload_length = (uint32_t)payload_length;
    if (which & 128) {
        frame.payload_offset = input_u32(daemon->input);
        frame.payload_length = input_length(daemon->input);
    }
    say(daemon, &frame, body, (uint32_t)body_length, payload, (uint32_t)payload_length);
}

void played_daemon_reply(struct played_daemon *daemon, uint8_t how)
{
    static const struct played_daemon_seen none = {.frame = {.opcode = FRAME_READ}};
    unsigned count = daemon->seen_count < PLAYED_DAEMON_SEEN ? daemon->seen_count : PLAYED_DAEMON_SEEN;
    const struct played_daemon_seen *request =
        count ? &daemon->seen[(daemon->seen_count - 1 - how / 8 % count) % PLAYED_DAEMON_SEEN] : &none;
    if (how % 8 < 5)
        succeed(daemon, request);
    else if (how % 8 < 7)
        fail(daemon, request);
    else
        babble(daemon, request);
}

void played_daemon_bring(struct played_daemon *daemon, uint8_t how)
{
    uint32_t length = input_length(daemon->input), available = 0;
    struct frame frame = {
        .opcode = FRAME_READ,
        .flags = FRAME_REPLY,
        .handle = public_to_wire(played_application_pick_handle(daemon->application, input_byte(daemon->input))),
        .value = length,
        .payload_length = length,
    };
    if ((how & 0xc1) == 0xc1) {
        frame.opcode = FRAME_WRITE; /* to no request: the connection is broken */
        frame.value = how & 2 ? OCHE_ERR_WRITE_FAILED : -9 + (how >> 4 & 3);
        frame.payload_length = length = 0;
        frame.os_error = how;
    } else if (how & 1) {
        frame.value = -9 + (how >> 4 & 3);
        frame.payload_length = length = 0;
        frame.os_error = how;
    }
    if (daemon->base && (how & 2)) {
        frame.flags |= FRAME_IN_ARENA;
        if (how & 4)
            frame.payload_offset = input_u32(daemon->input) % (sizes.receive_arena + 64);
        else if (length > 0 && length <= ARENA_BLOCK && arena_room(&daemon->receive, length, &available))
            frame.payload_offset = arena_commit(&daemon->receive, length);
        length = 0;
    }
    say(daemon, &frame, NULL, 0, payload_bytes, length);
}

static void release(struct played_daemon *daemon, uint8_t which)
{
    unsigned count = daemon->release_count < PLAYED_DAEMON_SEEN ? daemon->release_count : PLAYED_DAEMON_SEEN;
    if (count == 0)
        return;
    const struct frame *written = &daemon->releases[which % count];
    struct frame frame = {
        .opcode = FRAME_RELEASE,
        .flags = FRAME_REPLY | FRAME_IN_ARENA,
        .payload_offset = written->payload_offset,
        .payload_length = written->payload_length,
    };
    say(daemon, &frame, NULL, 0, NULL, 0);
}

void played_daemon_say_bytes(struct played_daemon *daemon)
{
    size_t taken;
    const uint8_t *bytes = input_take(daemon->input, input_byte(daemon->input), &taken);
    if (!daemon->base) {
        send_to_client(daemon, bytes, taken);
        return;
    }
    uint8_t *record = ring_reserve(&daemon->replies, (uint32_t)taken);
    if (!record)
        return;
    if (taken > 0)
        memcpy(record, bytes, taken);
    ring_commit(&daemon->replies, (uint32_t)taken);
    if (ring_publish(&daemon->replies))
        ring_client(daemon);
}

void played_daemon_misuse_memory(struct played_daemon *daemon, uint8_t how)
{
    if (!daemon->base)
        return;
    switch (how % 4) {
    case 0:
        scribbler_change_word(&daemon->map, daemon->input);
        break;
    case 1:
        scribbler_change_bytes(daemon->base, memory_total(&sizes), &daemon->replies, how, daemon->input);
        break;
    case 2:
        release(daemon, how >> 2);
        break;
    default:
        ring_client(daemon);
        break;
    }
}

/* ---- beginning and end ---- */

void played_daemon_init(struct played_daemon *daemon, int fd, struct input *input,
                        const struct played_application *application)
{
    *daemon = (struct played_daemon){.fd = fd, .input = input, .application = application};
    CHECK(frame_reader_init(&daemon->in) == 0);
}

void played_daemon_make_memory(struct played_daemon *daemon, struct lane_memory *memory)
{
    int fd = memfd_create("oche-fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)memory_total(&sizes)) == 0);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
    daemon->base = mmap(NULL, memory_total(&sizes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(daemon->base != MAP_FAILED);
    CHECK(region_map(fd, &sizes, &memory->region) == 0); /* and has the descriptor */
    memory_map_init(&daemon->map, daemon->base, &sizes);
    ring_consumer_init(&daemon->requests, daemon->map.request_control, daemon->map.request_ring, sizes.request_ring);
    ring_producer_init(&daemon->replies, daemon->map.reply_control, daemon->map.reply_ring, sizes.reply_ring);
    CHECK(arena_init(&daemon->receive, daemon->map.receive_arena, sizes.receive_arena) == 0);
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    memory->own_bell = ends[0];
    daemon->client_bell = ends[1];
    memory->daemon_bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    daemon->daemon_bell = dup(memory->daemon_bell);
}

void played_daemon_hang_up(struct played_daemon *daemon)
{
    if (daemon->fd >= 0)
        close(daemon->fd);
    daemon->fd = -1;
}

void played_daemon_deinit(struct played_daemon *daemon)
{
    played_daemon_hang_up(daemon);
    frame_reader_deinit(&daemon->in);
    if (!daemon->base)
        return;
    arena_deinit(&daemon->receive);
    munmap(daemon->base, memory_total(&sizes));
    close(daemon->client_bell);
    close(daemon->daemon_bell);
    daemon->base = NULL;
}
