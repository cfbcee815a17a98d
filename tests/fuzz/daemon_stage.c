#include "tests/fuzz/daemon_stage.h"

#include "daemon/connection.h"
#include "daemon/listener.h"
#include "daemon/log.h"
#include "daemon/session.h"
#include "daemon/worker.h"
#include "proto/arena.h"
#include "proto/bytes.h"
#include "proto/frame_reader.h"
#include "proto/handle.h"
#include "proto/memory.h"
#include "proto/oche.pb-c.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/loopback.h"
#include "tests/fuzz/requests.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PEERS = 8,
    HANDLES = 12, /* sockets of the session */
    ARENA = 4 * ARENA_BLOCK,
    QUEUED = 2 * 1024 * 1024,
    REQUESTS = 100, /* of the user, who has nothing else: unanswered at once */
    ACTS_MAX = 400, /* in one input */
    LAST_TURNS = 4, /* for what is under way when the input ends */
    REPLY_TURNS = 200,
    RELEASES = 32,
    SCRATCH = 512 * 1024,
};

/* What the daemon's data in the arena have to be released with. */
struct held {
    uint32_t offset, length;
};

struct stage {
    struct input input;
    unsigned acts;
    unsigned last_turns;
    bool greeting; /* nothing happens before the session is on the memory lane */

    struct shared shared;
    struct worker worker;
    struct account *account;
    struct estate estate;
    struct session *session; /* NULL: ended, and freed */
    struct engine_task task;

    /* The client. */
    int client; /* -1: it is gone */
    struct bytes out;
    struct frame_reader in;
    int peers[PEERS]; /* -1: not in use */
    int home;         /* listens, for the session's connections */

    /* Its part of the memory lane, if there is a base. */
    uint8_t *base;
    struct memory_sizes sizes;
    struct memory_map map;
    struct ring_producer requests;
    struct ring_consumer replies;
    struct arena send;
    int own_bell, daemon_bell;
    struct held held[RELEASES];
    unsigned held_count;

    /* As long as the client is honest: each request is answered once. */
    bool is_dishonest;
    unsigned requests_made[FRAME_OPCODE_END];
    unsigned replies_come[FRAME_OPCODE_END];
};

static struct stage stage;
static struct request request;
static uint8_t scratch[SCRATCH];

/* ---- the client: bytes out ---- */

static void hang_up(void)
{
    if (stage.client >= 0)
        close(stage.client);
    stage.client = -1;
    stage.is_dishonest = true; /* who does not listen cannot tell */
}

static void send_out(void)
{
    size_t length = bytes_length(&stage.out);
    if (stage.client < 0 || length == 0)
        return;
    ssize_t sent = send(stage.client, bytes_front(&stage.out), length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0)
        bytes_take(&stage.out, (size_t)sent);
}

static bool can_queue(void)
{
    return stage.client >= 0 && bytes_length(&stage.out) <= SCRATCH;
}

static void queue_out(const void *bytes, size_t size)
{
    if (size == 0)
        return;
    uint8_t *room = bytes_reserve(&stage.out, size);
    CHECK(room);
    memcpy(room, bytes, size);
    bytes_commit(&stage.out, size);
}

static void ring_daemon(void)
{
    if (stage.base)
        eventfd_write(stage.daemon_bell, 1);
}

/* ---- the client: what the daemon says ---- */

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

static void check_reply(const struct frame *frame)
{
    CHECK(frame->flags & FRAME_REPLY);
    CHECK(!(frame->flags & FRAME_MORE));
    if (frame->opcode == FRAME_READ)
        CHECK(frame->value < 0 || frame->value == frame->payload_length);
    if (!is_answered(frame))
        return;
    stage.replies_come[frame->opcode]++;
    CHECK(stage.is_dishonest || stage.replies_come[frame->opcode] <= stage.requests_made[frame->opcode]);
}

/* Descriptors of the memory lane; the bytes that they come with are in the reader already. */
static void take_descriptors(struct msghdr *message)
{
    struct cmsghdr *control = CMSG_FIRSTHDR(message);
    int fds[3];
    if (!control || control->cmsg_type != SCM_RIGHTS)
        return;
    CHECK(control->cmsg_len == CMSG_LEN(sizeof fds) && !stage.base);
    memcpy(fds, CMSG_DATA(control), sizeof fds);
    stage.sizes = (struct memory_sizes){0};
    stage.own_bell = fds[1];
    stage.daemon_bell = fds[2];
    off_t size = lseek(fds[0], 0, SEEK_END);
    stage.base = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
    CHECK(stage.base != MAP_FAILED);
    close(fds[0]);
}

static void take_welcome(const struct frame_message *message)
{
    Oche__Welcome *welcome = oche__welcome__unpack(NULL, message->frame.body_length, message->body);
    CHECK(welcome);
    CHECK(!welcome->memory == !stage.base);
    if (welcome->memory) {
        stage.sizes = (struct memory_sizes){
            .request_ring = welcome->memory->request_ring,
            .reply_ring = welcome->memory->reply_ring,
            .receive_arena = welcome->memory->receive_arena,
            .send_arena = welcome->memory->send_arena,
        };
        memory_map_init(&stage.map, stage.base, &stage.sizes);
        ring_producer_init(&stage.requests, stage.map.request_control, stage.map.request_ring,
                           stage.sizes.request_ring);
        ring_consumer_init(&stage.replies, stage.map.reply_control, stage.map.reply_ring, stage.sizes.reply_ring);
        CHECK(arena_init(&stage.send, stage.map.send_arena, stage.sizes.send_arena) == 0);
    }
    oche__welcome__free_unpacked(welcome, NULL);
}

static void take_plain(void)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(3 * sizeof(int))];
    } control;
    for (;;) {
        size_t size;
        struct iovec vector = {.iov_base = frame_reader_room(&stage.in, &size)};
        vector.iov_len = size;
        struct msghdr header = {
            .msg_iov = &vector,
            .msg_iovlen = 1,
            .msg_control = control.bytes,
            .msg_controllen = sizeof control.bytes,
        };
        ssize_t received = stage.client < 0 ? 0 : recvmsg(stage.client, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (received <= 0)
            return;
        take_descriptors(&header);
        frame_reader_filled(&stage.in, (size_t)received);
        struct frame_message message;
        int r;
        while ((r = frame_reader_next(&stage.in, &message)) == FRAME_READER_FRAME) {
            check_reply(&message.frame);
            if (message.frame.opcode == FRAME_HELLO && message.frame.value == 0)
                take_welcome(&message);
            free(message.payload);
        }
        CHECK(r == FRAME_READER_NEEDS_MORE);
    }
}

/* The daemon writes what it likes where the input has scribbled: no checks here. */
static void take_records(unsigned count)
{
    const uint8_t *record;
    uint32_t size;
    while (count-- > 0 && ring_next(&stage.replies, &record, &size) == RING_RECORD) {
        struct frame frame;
        CHECK(stage.is_dishonest || size >= FRAME_HEADER_SIZE);
        if (size < FRAME_HEADER_SIZE || frame_decode(&frame, record) != 0)
            continue;
        if (!stage.is_dishonest)
            check_reply(&frame);
        if (!(frame.flags & FRAME_IN_ARENA))
            continue;
        if (frame.opcode == FRAME_RELEASE)
            arena_release(&stage.send, frame.payload_offset, frame.payload_length);
        else
            stage.held[stage.held_count++ % RELEASES] = (struct held){frame.payload_offset, frame.payload_length};
    }
    if (ring_release(&stage.replies))
        ring_daemon();
    ring_sleep(&stage.replies);
}

static void take_replies(void)
{
    if (stage.base)
        take_records(64);
    else
        take_plain();
}

/* ---- the client: requests ---- */

/* A handle of the session: of a socket that is open, or was, or will be, or any number. */
static int64_t pick_handle(void)
{
    uint8_t byte = input_byte(&stage.input);
    uint32_t index = byte % 16, generation = 1;
    if (byte >= 0xf0)
        return input_value(&stage.input);
    if (stage.session && index < stage.session->sockets.size)
        generation = stage.session->sockets.slots[index].generation;
    return handle_make(index, byte >= 0xe0 ? generation - 1 : generation);
}

static bool put_record(bool in_arena)
{
    uint32_t size = FRAME_HEADER_SIZE + request.body_length + (in_arena ? 0 : request.payload_length);
    if (size > ring_record_max(stage.sizes.request_ring))
        return false;
    uint8_t *record = ring_reserve(&stage.requests, size);
    if (!record)
        return false;
    frame_encode(&request.frame, record);
    memcpy(record + FRAME_HEADER_SIZE, request.body, request.body_length);
    if (!in_arena && request.payload_length > 0)
        memset(record + FRAME_HEADER_SIZE + request.body_length, 'p', request.payload_length);
    ring_commit(&stage.requests, size);
    return true;
}

static bool say_in_memory(void)
{
    bool in_arena = request.payload_length > MEMORY_INLINE_MAX && request.payload_length <= ARENA_BLOCK;
    uint32_t available;
    if (in_arena && arena_room(&stage.send, request.payload_length, &available)) {
        request.frame.payload_offset = arena_commit(&stage.send, request.payload_length);
        request.frame.flags |= FRAME_IN_ARENA;
    } else {
        in_arena = false;
    }
    bool said = put_record(in_arena);
    if (ring_publish(&stage.requests))
        ring_daemon();
    return said;
}

static bool say_plainly(void)
{
    uint8_t header[FRAME_HEADER_SIZE];
    if (!can_queue())
        return false;
    frame_encode(&request.frame, header);
    queue_out(header, sizeof header);
    queue_out(request.body, request.body_length);
    queue_out(scratch, request.payload_length);
    return true;
}

static void say(void)
{
    bool said = stage.base ? say_in_memory() : say_plainly();
    if (!request.is_honest || request.frame.opcode >= FRAME_OPCODE_END)
        stage.is_dishonest = true;
    else if (said && is_answered(&request.frame))
        stage.requests_made[request.frame.opcode]++;
}

static void say_request(void)
{
    requests_make(&request, &stage.input);
    switch (request.frame.opcode) {
    case FRAME_HELLO:
    case FRAME_CONNECT:
    case FRAME_LISTEN:
    case FRAME_STATISTICS:
    case FRAME_RELEASE:
    case FRAME_CANCEL:
        break;
    default:
        request.frame.handle = pick_handle();
    }
    say();
}

static void say_release(uint8_t which)
{
    if (stage.held_count == 0)
        return;
    unsigned count = stage.held_count < RELEASES ? stage.held_count : RELEASES;
    request = (struct request){
        .frame = {.opcode = FRAME_RELEASE,
                  .flags = FRAME_IN_ARENA,
                  .payload_offset = stage.held[which % count].offset,
                  .payload_length = stage.held[which % count].length},
    };
    put_record(true);
    if (ring_publish(&stage.requests))
        ring_daemon();
}

static void say_bytes(void)
{
    size_t taken;
    const uint8_t *bytes = input_take(&stage.input, input_byte(&stage.input), &taken);
    if (can_queue())
        queue_out(bytes, taken);
    stage.is_dishonest = true;
}

/* ---- the client: what no client does to its memory ---- */

static void poke_word(uint8_t which)
{
    struct ring_shared *rings[] = {stage.map.request_control, stage.map.reply_control};
    struct ring_shared *ring = rings[which & 1];
    _Atomic uint32_t *words[] = {&ring->head, &ring->tail, &ring->producer_waits, &ring->consumer_sleeps};
    _Atomic uint32_t *word = words[which >> 1 & 3];
    uint32_t now = atomic_load(word);
    atomic_store(word, which & 0x10 ? now + (uint32_t)((int8_t)input_byte(&stage.input) * 8) : input_u32(&stage.input));
}

/* Near where the daemon looks next, or anywhere. */
static void poke_bytes(uint8_t where)
{
    size_t total = memory_total(&stage.sizes), at = input_u32(&stage.input) % total, taken;
    if (where & 0x10)
        at = MEMORY_CONTROL_SIZE + ((stage.requests.head + at % 128) & (stage.sizes.request_ring - 1));
    const uint8_t *bytes = input_take(&stage.input, input_byte(&stage.input), &taken);
    taken = taken < total - at ? taken : total - at;
    if (taken > 0)
        memcpy(stage.base + at, bytes, taken);
    if (where & 0x20) {
        stage.requests.head += (uint32_t)(taken + 7) / 8 * 8;
        atomic_store(&stage.map.request_control->head, stage.requests.head);
    }
}

/* The client's end of the pipe that the daemon rings with: it is not read, or closed, or made to block. */
static void misuse_bell(uint8_t how)
{
    int flags = fcntl(stage.own_bell, F_GETFL);
    if (how & 0x10) {
        fcntl(stage.own_bell, F_SETFL, flags ^ O_NONBLOCK);
    } else if (stage.own_bell >= 0) {
        close(stage.own_bell);
        stage.own_bell = -1;
    }
}

/* A record of any bytes, well wrapped. */
static void put_bytes(void)
{
    size_t taken;
    const uint8_t *bytes = input_take(&stage.input, input_byte(&stage.input), &taken);
    uint8_t *record = ring_reserve(&stage.requests, (uint32_t)taken);
    if (!record)
        return;
    if (taken > 0)
        memcpy(record, bytes, taken);
    ring_commit(&stage.requests, (uint32_t)taken);
    if (ring_publish(&stage.requests))
        ring_daemon();
}

static void misuse_memory(uint8_t how)
{
    if (!stage.base || !stage.sizes.request_ring)
        return;
    if (how % 6 < 4)
        stage.is_dishonest = true;
    switch (how % 6) {
    case 0:
        poke_word(input_byte(&stage.input));
        break;
    case 1:
        poke_bytes(how);
        break;
    case 2:
        misuse_bell(how);
        break;
    case 3:
        put_bytes();
        break;
    case 4:
        say_release(how >> 3);
        break;
    default:
        ring_daemon();
        break;
    }
}

/* ---- peers ---- */

static int *find_peer(uint8_t index)
{
    return &stage.peers[index % PEERS];
}

static void close_peer(int *peer, bool reset)
{
    static const struct linger at_once = {.l_onoff = 1};
    if (*peer < 0)
        return;
    if (reset)
        setsockopt(*peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(*peer);
    *peer = -1;
}

static void connect_peer(int *peer, uint8_t which)
{
    socklen_t length;
    if (loopback_count() < 2)
        return;
    const struct sockaddr_storage *address = loopback_listener(1 + which % (loopback_count() - 1), &length);
    close_peer(peer, true);
    *peer = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(*peer >= 0);
    if (connect(*peer, (const struct sockaddr *)address, length) < 0 && errno != EINPROGRESS)
        close_peer(peer, true);
}

static void accept_peer(int *peer)
{
    int fd = accept4(stage.home, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    close_peer(peer, true);
    *peer = fd;
}

static void act_peer(uint8_t how)
{
    int *peer = find_peer(how >> 3);
    switch (how % 8) {
    case 0:
        connect_peer(peer, input_byte(&stage.input));
        break;
    case 1:
        accept_peer(peer);
        break;
    case 2:
    case 3:
        send(*peer, scratch, input_length(&stage.input), MSG_NOSIGNAL | MSG_DONTWAIT);
        break;
    case 4:
        recv(*peer, scratch, sizeof scratch, MSG_DONTWAIT);
        break;
    case 5:
        shutdown(*peer, SHUT_WR);
        break;
    case 6:
        close_peer(peer, false);
        break;
    default:
        close_peer(peer, true);
        break;
    }
}

/* ---- the play ---- */

static void act_rarely(uint8_t how)
{
    switch (how % 8) {
    case 0:
        hang_up();
        break;
    case 1:
        shutdown(stage.client, SHUT_WR);
        stage.is_dishonest = true;
        break;
    case 2:
        shutdown(stage.client, SHUT_RD);
        stage.is_dishonest = true;
        break;
    case 3:
        session_drain(stage.session);
        break;
    case 4:
        session_is_drained(stage.session);
        break;
    case 5:
        stage.shared.descriptors.limit = how >> 3; /* as if others had the rest */
        break;
    default:
        say_bytes();
        break;
    }
}

/* True: and that was enough for this turn. */
static bool act(void)
{
    uint8_t op = input_byte(&stage.input);
    stage.acts++;
    switch (op & 7) {
    case 0:
    case 1:
    case 2:
        say_request();
        break;
    case 3:
        act_peer(input_byte(&stage.input));
        break;
    case 4:
        take_replies();
        break;
    case 5:
        misuse_memory(input_byte(&stage.input));
        break;
    case 6:
        if (stage.session)
            act_rarely(input_byte(&stage.input));
        break;
    default:
        say_bytes();
        break;
    }
    return !(op & 0x80);
}

/* No TIME_WAIT is left behind. */
static void reset_on_close(struct session *session)
{
    static const struct linger at_once = {.l_onoff = 1};
    for (uint32_t index = 0; index < session->sockets.size; index++) {
        enum socket_kind kind;
        void *object = socket_table_at(&session->sockets, index, &kind);
        if (kind == SOCKET_CONNECTION)
            setsockopt(engine_socket_fd(((struct connection *)object)->socket), SOL_SOCKET, SO_LINGER, &at_once,
                       sizeof at_once);
    }
}

static void end(void)
{
    if (stage.session) {
        reset_on_close(stage.session);
        session_end(stage.session, "the play is over", 0);
        CHECK(stage.session->queued_bytes == 0 && stage.session->sockets.used == 0);
    }
    engine_stop(stage.worker.engine);
}

static void close_connection(struct connection *connection)
{
    if (connection->state == CONNECTION_CONNECTING)
        connection_cancel(connection->session, connection->connect_request);
    else
        connection_close(connection);
}

/* Whatever is pending on a socket is answered when it is closed. */
static void close_sockets(void)
{
    struct session *session = stage.session;
    reset_on_close(session);
    for (uint32_t index = 0; index < session->sockets.size && session->state != SESSION_ENDED; index++) {
        enum socket_kind kind;
        void *object = socket_table_at(&session->sockets, index, &kind);
        if (kind == SOCKET_CONNECTION)
            close_connection(object);
        else if (kind == SOCKET_LISTENER)
            listener_close(object);
    }
}

static bool all_is_answered(void)
{
    return memcmp(stage.requests_made, stage.replies_come, sizeof stage.requests_made) == 0;
}

/* The answers to quiet writes come with the next one that is not, or after a while. */
static void ask_statistics(void)
{
    request = (struct request){.frame = {.opcode = FRAME_STATISTICS}, .is_honest = true};
    say();
    send_out();
}

/* What is left to do when the input has ended. False: nothing. */
static bool wind_up(void)
{
    unsigned turn = stage.last_turns++;
    take_replies();
    if (turn < LAST_TURNS)
        return true;
    if (stage.is_dishonest || stage.session->state != SESSION_OPEN || stage.session->long_write.open)
        return false;
    close_sockets();
    if (turn == LAST_TURNS)
        ask_statistics();
    if (bytes_length(&stage.out) > 0 || turn < 2 * LAST_TURNS)
        return turn < REPLY_TURNS;
    if (all_is_answered())
        return false;
    CHECK(turn < REPLY_TURNS);
    return true;
}

static void on_turn(struct engine_task *task)
{
    if (stage.greeting) {
        take_replies();
        stage.greeting = !stage.base;
        engine_defer(stage.worker.engine, task);
        return;
    }
    while (stage.session && !input_is_empty(&stage.input) && stage.acts < ACTS_MAX) {
        if (act())
            break;
    }
    send_out();
    bool goes_on = stage.session && !input_is_empty(&stage.input) && stage.acts < ACTS_MAX;
    if (goes_on || (stage.session && wind_up()))
        engine_defer(stage.worker.engine, task);
    else
        end();
}

static void on_ask(void *context, int fd)
{
    (void)context;
    close(fd);
}

/* As daemon/worker.c does it. */
static void on_starved(void *owner)
{
    struct list starved;
    struct list *node;
    (void)owner;
    list_init(&starved);
    list_splice(&starved, &stage.worker.starved);
    while ((node = list_take_first(&starved)))
        listener_retry(list_entry(node, struct listener, starved_node));
}

static void on_changed(void *context)
{
    (void)context;
    stage.session = NULL;
}

static void on_freed(void *context)
{
    (void)context;
    if (stage.worker.engine)
        engine_wake(stage.worker.engine);
}

static void set_up_daemon(int fd)
{
    static const struct policy everything;
    struct worker *worker = &stage.worker;
    stage.shared.limits = (struct limits){
        .sessions = 1,
        .handles = HANDLES,
        .queued_bytes = QUEUED,
        .arena_bytes = ARENA,
        .user =
            {
                .handles = HANDLES,
                .queued_bytes = QUEUED,
                .arena_bytes = 2 * ARENA,
                .requests = REQUESTS,
            },
    };
    stage.shared.policy = &everything;
    stage.shared.estate = &stage.estate;
    stage.shared.ask = on_ask;
    estate_init(&stage.estate);
    stage.shared.descriptors.limit = HANDLES + 1;
    stage.shared.descriptors.freed = on_freed;
    atomic_init(&stage.shared.statistics.sessions_open, 1);
    worker->shared = &stage.shared;
    worker->changed = on_changed;
    list_init(&worker->sessions);
    list_init(&worker->starved);
    list_init(&worker->shares);
    worker->engine = engine_new(ENGINE_EPOLL, on_starved, NULL);
    CHECK(worker->engine);
    worker->starved_timer = engine_timer_new(worker->engine, on_starved, NULL);
    CHECK(worker->starved_timer);
    stage.account = account_new(1, &stage.shared.limits);
    CHECK(stage.account && account_take(stage.account, ACCOUNT_SESSIONS, 1));
    const struct session_client client = {.number = 1, .pid = 1, .account = stage.account};
    stage.session = session_new(worker, fd, &client);
    CHECK(stage.session);
}

/* What is the same for all inputs. Returns the listener. */
static int open_house(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    log_set_level(LOG_ERROR);
    signal(SIGPIPE, SIG_IGN); /* as the daemon does */
    int home = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(home >= 0 && bind(home, (struct sockaddr *)&address, sizeof address) == 0 && listen(home, 64) == 0);
    return home;
}

static void set_up(int home)
{
    int pair[2];
    stage = (struct stage){.home = home, .own_bell = -1, .daemon_bell = -1};
    for (int i = 0; i < PEERS; i++)
        stage.peers[i] = -1;
    loopback_forget(1);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    static const int little = 8192;
    setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
    stage.client = pair[0];
    CHECK(frame_reader_init(&stage.in) == 0);
    set_up_daemon(pair[1]);
    stage.task.run = on_turn;
    list_init(&stage.task.node);
    engine_defer(stage.worker.engine, &stage.task);
}

static void tear_down_memory(void)
{
    if (!stage.base)
        return;
    arena_deinit(&stage.send);
    munmap(stage.base, memory_total(&stage.sizes));
    if (stage.own_bell >= 0)
        close(stage.own_bell);
    close(stage.daemon_bell);
}

static void tear_down(void)
{
    CHECK(!stage.session);
    CHECK(atomic_load(&stage.shared.descriptors.in_use) == 0);
    CHECK(list_is_empty(&stage.worker.starved));
    for (int what = 0; what < ACCOUNT_QUOTAS; what++)
        CHECK(quota_in_use(&stage.account->quotas[what]) == 0);
    account_free(stage.account);
    engine_timer_free(stage.worker.starved_timer);
    engine_free(stage.worker.engine);
    estate_deinit(&stage.estate);
    for (int i = 0; i < PEERS; i++)
        close_peer(&stage.peers[i], true);
    int peer;
    while ((peer = accept4(stage.home, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        close_peer(&peer, true);
    hang_up();
    tear_down_memory();
    bytes_deinit(&stage.out);
    frame_reader_deinit(&stage.in);
}

void daemon_stage_play(const uint8_t *data, size_t size, bool on_memory)
{
    static int home = -1;
    if (home < 0)
        home = open_house();
    int before = dup(STDERR_FILENO);
    close(before);
    set_up(home);
    stage.input = (struct input){.at = data, .left = size};
    if (on_memory) {
        requests_hello(&request, true, 0);
        say();
        send_out();
        stage.greeting = true;
    }
    CHECK(engine_run(stage.worker.engine) == 0);
    tear_down();
    /* Every descriptor is closed: the next one is the same as before. */
    int after = dup(STDERR_FILENO);
    close(after);
    CHECK(before == after);
}
