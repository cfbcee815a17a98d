#include "tests/fuzz/client_stage.h"

#include "client/public_handle.h"
#include "client/session.h"
#include "client/sessions.h"
#include "proto/arena.h"
#include "proto/endpoints.h"
#include "proto/errors.h"
#include "proto/memory.h"
#include "proto/oche.pb-c.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/input.h"

#include <fcntl.h>
#include <oche/oche.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    REQUESTS_MAX = 1024, /* in one input */
    ACTS_MAX = 1000,
    SEEN = 32,       /* requests that the daemon remembers */
    HANDLES = 16,    /* that the application remembers */
    KEPT = 16,       /* data that the application holds */
    DAEMONS_MAX = 4, /* one after the other */
    BLOCKS = 8,
    SCRATCH = 512 * 1024,
};

static const struct memory_sizes sizes = {
    .request_ring = 64 * 1024,
    .reply_ring = 64 * 1024,
    .receive_arena = BLOCKS * ARENA_BLOCK,
    .send_arena = BLOCKS * ARENA_BLOCK,
};

/* What the daemon knows of a request. */
struct seen {
    struct frame frame;
    int64_t total; /* bytes of a write, of all its parts */
};

struct stage {
    struct input input;
    struct oche_session *session;

    /* The application. */
    bool pending[REQUESTS_MAX]; /* by request id */
    unsigned request_count, pending_count;
    int64_t handles[HANDLES]; /* the last ones */
    unsigned handle_count;
    void *kept[KEPT];
    unsigned kept_count;
    struct oche_statistics statistics;

    /* The daemon. */
    int daemon; /* -1: gone */
    unsigned daemons;
    struct frame_reader in;
    bool in_is_broken;
    struct seen seen[SEEN];
    unsigned seen_count;
    int64_t long_total;
    struct frame releases[SEEN]; /* what is in the send arena */
    unsigned release_count;

    /* Its part of the memory lane, if there is a base. */
    bool on_memory;
    uint8_t *base;
    struct memory_map map;
    struct ring_consumer requests;
    struct ring_producer replies;
    struct arena receive;
    int client_bell, daemon_bell;
};

static struct stage stage;
static uint8_t scratch[SCRATCH];

/* ---- the application ---- */

static int64_t new_id(void)
{
    return stage.request_count;
}

/* What a request returned. */
static void made(int64_t status)
{
    CHECK(status <= 0);
    if (status < 0)
        return;
    stage.pending[stage.request_count++] = true;
    stage.pending_count++;
}

static int64_t pick_handle(uint8_t byte)
{
    if (byte >= 0xf0)
        return input_value(&stage.input);
    unsigned count = stage.handle_count < HANDLES ? stage.handle_count : HANDLES;
    return count ? stage.handles[byte % count] : 0;
}

static void keep(void *owner)
{
    void **place = &stage.kept[stage.kept_count++ % KEPT];
    oche_data_free(*place);
    *place = owner;
}

static void completed(const struct oche_completion *completion)
{
    int64_t id = completion->request_id;
    volatile uint8_t sum = 0;
    CHECK(id >= 0 && id < stage.request_count && stage.pending[id]);
    stage.pending[id] = false;
    stage.pending_count--;
    CHECK(!completion->data == !completion->data_owner);
    if (completion->data) {
        CHECK(completion->result > 0);
        sum = (uint8_t)(sum + completion->data[0] + completion->data[completion->result - 1]);
        keep(completion->data_owner);
    } else if (completion->result > HANDLE_SLOT_MAX) {
        stage.handles[stage.handle_count++ % HANDLES] = completion->result;
    }
}

static void pop(unsigned count)
{
    struct oche_completion completion;
    while (count-- > 0 && oche_session_pop(stage.session, &completion))
        completed(&completion);
}

static void ask_connect(uint8_t how)
{
    static const uint8_t address[16] = {127, 0, 0, 1};
    struct oche_connect_options options = {
        .address = address,
        .address_length = how & 1 ? 4 : 16,
        .port = how & 2 ? 0 : 80,
        .source_address = address,
        .source_address_length = how & 4 ? 4 : 0,
        .timeout_ms = how,
    };
    made(oche_connect(stage.session, new_id(), &options));
}

static void ask_listen(uint8_t how)
{
    static const uint8_t address[16] = {127, 0, 0, 1};
    struct oche_listen_options options = {
        .address = address,
        .address_length = how & 1 ? 16 : 4,
        .port = how,
        .backlog = how,
        .shared = how & 2,
        .v6_only = how & 4,
    };
    made(oche_listen(stage.session, new_id(), &options));
}

static void get(int64_t handle)
{
    struct oche_endpoint endpoint;
    if (oche_get_local(stage.session, handle, &endpoint) == 0)
        CHECK(endpoint.address_length == 4 || endpoint.address_length == 16);
    if (oche_get_remote(stage.session, handle, &endpoint) == 0)
        CHECK(endpoint.address_length == 4 || endpoint.address_length == 16);
    CHECK(oche_get_keep_alive(stage.session, handle) <= 1 && oche_get_no_delay(stage.session, handle) <= 1);
}

static void ask(uint8_t what)
{
    struct oche_session *session = stage.session;
    if (stage.request_count == REQUESTS_MAX)
        return;
    uint8_t how = input_byte(&stage.input);
    int64_t handle = pick_handle(how);
    switch (what % 16) {
    case 0:
        ask_connect(how);
        break;
    case 1:
        ask_listen(how);
        break;
    case 2:
        made(oche_accept(session, new_id(), handle));
        break;
    case 3:
    case 4:
    case 5:
        made(oche_read(session, new_id(), handle));
        break;
    case 6:
    case 7:
        made(oche_write(session, new_id(), handle, scratch, input_length(&stage.input)));
        break;
    case 8:
        made(oche_close_write(session, new_id(), handle));
        break;
    case 9:
        made(oche_close(session, new_id(), handle));
        break;
    case 10:
        made(oche_listener_close(session, new_id(), handle, what & 0x10));
        break;
    case 11:
        made(oche_set_keep_alive(session, new_id(), handle, what & 0x10));
        break;
    case 12:
        made(oche_set_no_delay(session, new_id(), handle, what & 0x10));
        break;
    case 13:
        stage.statistics.size = sizeof stage.statistics;
        made(oche_get_statistics(session, new_id(), &stage.statistics));
        break;
    case 14:
        oche_cancel(session, how);
        break;
    default:
        get(handle);
        break;
    }
}

static void give_back(uint8_t which)
{
    void **place = &stage.kept[which % KEPT];
    oche_data_free(*place);
    *place = NULL;
}

/* ---- the daemon: what it gets ---- */

static void see(const struct frame *frame)
{
    CHECK(!(frame->flags & FRAME_REPLY));
    if ((frame->flags & FRAME_IN_ARENA) && frame->opcode == FRAME_WRITE)
        stage.releases[stage.release_count++ % SEEN] = *frame;
    if (frame->opcode == FRAME_RELEASE)
        return;
    stage.long_total += frame->payload_length;
    if (frame->flags & FRAME_MORE)
        return;
    stage.seen[stage.seen_count++ % SEEN] = (struct seen){.frame = *frame, .total = stage.long_total};
    stage.long_total = 0;
}

static void see_stream(void)
{
    struct frame_message message;
    size_t room;
    if (stage.daemon < 0)
        return;
    uint8_t *at = frame_reader_room(&stage.in, &room);
    ssize_t received = recv(stage.daemon, at, room, MSG_DONTWAIT);
    if (received <= 0)
        return;
    frame_reader_filled(&stage.in, (size_t)received);
    int r;
    while ((r = frame_reader_next(&stage.in, &message)) == FRAME_READER_FRAME) {
        see(&message.frame);
        free(message.payload);
    }
    CHECK(r == FRAME_READER_NEEDS_MORE);
}

static void ring_client(void)
{
    if (write(stage.client_bell, "", 1) < 0) {
        /* It is full: then it is heard. */
    }
}

static void see_records(void)
{
    const uint8_t *record;
    uint32_t size;
    for (int count = 0; count < 64 && ring_next(&stage.requests, &record, &size) == RING_RECORD; count++) {
        struct frame frame;
        if (size < FRAME_HEADER_SIZE || frame_decode(&frame, record) != 0)
            return; /* the input has scribbled over it */
        if (frame.opcode == FRAME_RELEASE)
            arena_release(&stage.receive, frame.payload_offset, frame.payload_length);
        if (!(frame.flags & FRAME_REPLY))
            see(&frame);
    }
    if (ring_release(&stage.requests))
        ring_client();
    ring_sleep(&stage.requests);
}

static void see_requests(void)
{
    if (stage.base)
        see_records();
    else
        see_stream();
}

/* ---- the daemon: what it says ---- */

static void say_record(const struct frame *frame, const void *body, uint32_t body_length, const void *payload,
                       uint32_t payload_length)
{
    uint32_t size = FRAME_HEADER_SIZE + body_length + payload_length;
    uint8_t *record = size <= ring_record_max(sizes.reply_ring) ? ring_reserve(&stage.replies, size) : NULL;
    if (!record)
        return;
    frame_encode(frame, record);
    if (body_length > 0)
        memcpy(record + FRAME_HEADER_SIZE, body, body_length);
    if (payload_length > 0)
        memcpy(record + FRAME_HEADER_SIZE + body_length, payload, payload_length);
    ring_commit(&stage.replies, size);
    if (ring_publish(&stage.replies))
        ring_client();
}

static void send_to_client(const void *bytes, size_t size)
{
    if (stage.daemon >= 0 && size > 0)
        send(stage.daemon, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void say(const struct frame *frame, const void *body, uint32_t body_length, const void *payload,
                uint32_t payload_length)
{
    uint8_t header[FRAME_HEADER_SIZE];
    if (stage.base) {
        say_record(frame, body, body_length, payload, payload_length);
        return;
    }
    frame_encode(frame, header);
    send_to_client(header, sizeof header);
    send_to_client(body, body_length);
    send_to_client(payload, payload_length);
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
static void succeed(const struct seen *request)
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
        how = input_byte(&stage.input);
        frame.value = handle_make(how & 0x80 ? how * 5u : how, 1 + (how & 3u));
        make_endpoints(payload, how, frame.opcode != FRAME_LISTEN);
        payload_length = sizeof payload;
        break;
    case FRAME_WRITE:
        frame.value = request->total;
        break;
    case FRAME_STATISTICS:
        statistics.bytes_sent = input_byte(&stage.input);
        body_length = (uint32_t)oche__statistics__pack(&statistics, body);
        break;
    default:
        break;
    }
    frame.body_length = (uint16_t)body_length;
    frame.payload_length = payload_length;
    say(&frame, body, body_length, payload, payload_length);
}

static void fail(const struct seen *request)
{
    uint8_t how = input_byte(&stage.input);
    struct frame frame = {
        .opcode = request->frame.opcode,
        .flags = FRAME_REPLY,
        .request_id = request->frame.request_id,
        .value = how & 0x80 ? input_value(&stage.input) : -1 - how % 20,
        .os_error = how,
    };
    say(&frame, NULL, 0, NULL, 0);
}

/* A reply with anything in it. */
static void babble(const struct seen *request)
{
    uint8_t which = input_byte(&stage.input);
    size_t body_length, payload_length;
    struct frame frame = {
        .opcode = which & 1 ? input_byte(&stage.input) % (FRAME_OPCODE_END + 1) : request->frame.opcode,
        .flags = which & 2 ? input_byte(&stage.input) : FRAME_REPLY,
        .request_id = which & 4 ? input_value(&stage.input) : request->frame.request_id,
        .handle = which & 8 ? input_value(&stage.input) : 0,
        .value = which & 16 ? input_value(&stage.input) : 0,
    };
    const uint8_t *body = input_take(&stage.input, which & 32 ? input_byte(&stage.input) : 0, &body_length);
    const uint8_t *payload = input_take(&stage.input, which & 64 ? input_byte(&stage.input) : 0, &payload_length);
    frame.body_length = (uint16_t)body_length;
    frame.payload_length = (uint32_t)payload_length;
    if (which & 128) {
        frame.payload_offset = input_u32(&stage.input);
        frame.payload_length = input_length(&stage.input);
    }
    say(&frame, body, (uint32_t)body_length, payload, (uint32_t)payload_length);
}

static void reply(uint8_t how)
{
    static const struct seen none = {.frame = {.opcode = FRAME_READ}};
    unsigned count = stage.seen_count < SEEN ? stage.seen_count : SEEN;
    const struct seen *request = count ? &stage.seen[(stage.seen_count - 1 - how / 8 % count) % SEEN] : &none;
    if (how % 8 < 5)
        succeed(request);
    else if (how % 8 < 7)
        fail(request);
    else
        babble(request);
}

static int64_t pick_wire_handle(uint8_t byte)
{
    return public_to_wire(pick_handle(byte));
}

/* Data of a connection, or its end. */
static void bring(uint8_t how)
{
    uint32_t length = input_length(&stage.input), available = 0;
    struct frame frame = {
        .opcode = FRAME_READ,
        .flags = FRAME_REPLY,
        .handle = pick_wire_handle(input_byte(&stage.input)),
        .value = length,
        .payload_length = length,
    };
    if (how & 1) {
        frame.value = -9 + (how >> 4 & 3);
        frame.payload_length = length = 0;
        frame.os_error = how;
    }
    if (stage.base && (how & 2)) {
        frame.flags |= FRAME_IN_ARENA;
        if (how & 4)
            frame.payload_offset = input_u32(&stage.input) % (sizes.receive_arena + 64);
        else if (length > 0 && length <= ARENA_BLOCK && arena_room(&stage.receive, length, &available))
            frame.payload_offset = arena_commit(&stage.receive, length);
        length = 0;
    }
    say(&frame, NULL, 0, scratch, length);
}

static void release(uint8_t which)
{
    unsigned count = stage.release_count < SEEN ? stage.release_count : SEEN;
    if (count == 0)
        return;
    const struct frame *written = &stage.releases[which % count];
    struct frame frame = {
        .opcode = FRAME_RELEASE,
        .flags = FRAME_REPLY | FRAME_IN_ARENA,
        .payload_offset = written->payload_offset,
        .payload_length = written->payload_length,
    };
    say(&frame, NULL, 0, NULL, 0);
}

static void say_bytes(void)
{
    size_t taken;
    const uint8_t *bytes = input_take(&stage.input, input_byte(&stage.input), &taken);
    if (!stage.base) {
        send_to_client(bytes, taken);
        return;
    }
    uint8_t *record = ring_reserve(&stage.replies, (uint32_t)taken);
    if (!record)
        return;
    if (taken > 0)
        memcpy(record, bytes, taken);
    ring_commit(&stage.replies, (uint32_t)taken);
    if (ring_publish(&stage.replies))
        ring_client();
}

static void poke_word(uint8_t which)
{
    struct ring_shared *rings[] = {stage.map.request_control, stage.map.reply_control};
    struct ring_shared *ring = rings[which & 1];
    _Atomic uint32_t *words[] = {&ring->head, &ring->tail, &ring->producer_waits, &ring->consumer_sleeps};
    _Atomic uint32_t *word = words[which >> 1 & 3];
    uint32_t now = atomic_load(word);
    atomic_store(word, which & 0x10 ? now + (uint32_t)((int8_t)input_byte(&stage.input) * 8) : input_u32(&stage.input));
}

/* Near where the client looks next, or anywhere. */
static void poke_bytes(uint8_t where)
{
    size_t total = memory_total(&sizes), at = input_u32(&stage.input) % total, taken;
    if (where & 0x10)
        at = (size_t)(stage.map.reply_ring - stage.base) + ((stage.replies.head + at % 128) & (sizes.reply_ring - 1));
    const uint8_t *bytes = input_take(&stage.input, input_byte(&stage.input), &taken);
    taken = taken < total - at ? taken : total - at;
    if (taken > 0)
        memcpy(stage.base + at, bytes, taken);
    if (where & 0x20) {
        stage.replies.head += (uint32_t)(taken + 7) / 8 * 8;
        atomic_store(&stage.map.reply_control->head, stage.replies.head);
    }
}

static void misuse_memory(uint8_t how)
{
    if (!stage.base)
        return;
    switch (how % 4) {
    case 0:
        poke_word(input_byte(&stage.input));
        break;
    case 1:
        poke_bytes(how);
        break;
    case 2:
        release(how >> 2);
        break;
    default:
        ring_client();
        break;
    }
}

/* ---- making and unmaking ---- */

static void make_memory(struct lane_memory *memory)
{
    int fd = memfd_create("oche-fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)memory_total(&sizes)) == 0);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
    stage.base = mmap(NULL, memory_total(&sizes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(stage.base != MAP_FAILED);
    CHECK(region_map(fd, &sizes, &memory->region) == 0);
    close(fd);
    memory_map_init(&stage.map, stage.base, &sizes);
    ring_consumer_init(&stage.requests, stage.map.request_control, stage.map.request_ring, sizes.request_ring);
    ring_producer_init(&stage.replies, stage.map.reply_control, stage.map.reply_ring, sizes.reply_ring);
    CHECK(arena_init(&stage.receive, stage.map.receive_arena, sizes.receive_arena) == 0);
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    memory->own_bell = ends[0];
    stage.client_bell = ends[1];
    memory->daemon_bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    stage.daemon_bell = dup(memory->daemon_bell);
    memory->region->mutex = &stage.session->mutex;
    memory->region->lane = &stage.session->lane;
}

/* As session.c connects a session that is prepared or lost. */
static void start_daemon(void)
{
    struct oche_session *session = stage.session;
    struct lane_memory memory;
    int pair[2];
    stage.daemons++;
    stage.seen_count = stage.release_count = 0;
    stage.long_total = 0;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    CHECK(frame_reader_init(&stage.in) == 0);
    stage.daemon = pair[0];
    if (stage.on_memory)
        make_memory(&memory);
    session_lock(session);
    CHECK(lane_attach(&session->lane, pair[1], stage.on_memory ? &memory : NULL) == 0);
    session->queued_bytes_max = 4 * 1024 * 1024;
    session->last_batch = 0;
    session->idle = true;
    session->state = SESSION_OPEN;
    session_unlock(session);
}

static void hang_up(void)
{
    if (stage.daemon >= 0)
        close(stage.daemon);
    stage.daemon = -1;
}

static void stop_daemon(void)
{
    hang_up();
    frame_reader_deinit(&stage.in);
    if (!stage.base)
        return;
    arena_deinit(&stage.receive);
    munmap(stage.base, memory_total(&sizes));
    close(stage.client_bell);
    close(stage.daemon_bell);
    stage.base = NULL;
}

static void dispatch(void)
{
    if (oche_session_dispatch(stage.session) == 0)
        return;
    pop(REQUESTS_MAX);
    /* Requests for the next daemon may be waiting; the others have completed. */
    CHECK(stage.session->state == SESSION_AWAITED || stage.pending_count == 0);
    stop_daemon();
    if (stage.daemons < DAEMONS_MAX)
        start_daemon();
}

static void act_rarely(uint8_t how)
{
    switch (how % 8) {
    case 0:
        hang_up();
        break;
    case 1:
        shutdown(stage.daemon, SHUT_RD);
        break;
    case 2:
        session_take(stage.session, NULL, 0, &(bool){false});
        break;
    default:
        say_bytes();
        break;
    }
}

static void act(void)
{
    uint8_t op = input_byte(&stage.input);
    switch (op & 7) {
    case 0:
    case 1:
        ask(op >> 3);
        break;
    case 2:
        see_requests();
        reply(input_byte(&stage.input));
        break;
    case 3:
        bring(op >> 3);
        break;
    case 4:
        dispatch();
        break;
    case 5:
        pop(1 + (op >> 3));
        break;
    case 6:
        misuse_memory(op >> 3);
        break;
    default:
        if (op & 0x80)
            give_back(op >> 3);
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
}

/* Everything completes, and all is given back. */
static void close_session(void)
{
    session_end(stage.session);
    pop(REQUESTS_MAX);
    CHECK(stage.pending_count == 0);
    CHECK(stage.session->queued_bytes == 0);
    CHECK(stage.session->pending.count == 0);
    session_free(stage.session);
    /* These outlive their session. */
    for (unsigned i = 0; i < KEPT; i++)
        give_back((uint8_t)i);
}

void client_stage_play(const uint8_t *data, size_t size, bool on_memory)
{
    int before = dup(STDERR_FILENO);
    close(before);
    stage = (struct stage){.on_memory = on_memory, .daemon = -1};
    stage.input = (struct input){.at = data, .left = size};
    open_session();
    start_daemon();
    for (int acts = 0; acts < ACTS_MAX && !input_is_empty(&stage.input); acts++)
        act();
    dispatch();
    close_session();
    stop_daemon();
    int after = dup(STDERR_FILENO);
    close(after);
    CHECK(before == after);
}
