#include "tests/fuzz/daemon_stage.h"

#include "daemon/handover/handover_items.h"
#include "daemon/handover/handover_key.h"
#include "daemon/log/log.h"
#include "daemon/operations/operations.h"
#include "daemon/session/daemon_state.h"
#include "daemon/session/session.h"
#include "daemon/session/session_host.h"
#include "daemon/socket/accept_queue.h"
#include "daemon/socket/connection.h"
#include "daemon/socket/policy.h"
#include "proto/arena.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/peers.h"
#include "tests/fuzz/played_client.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    HANDLES = 12, /* sockets of the session */
    ARENA = 4 * ARENA_BLOCK,
    QUEUED = 2 * 1024 * 1024,
    REQUESTS = 100, /* of the user, who has nothing else: unanswered at once */
    ACTS_MAX = 400, /* in one input */
    LAST_TURNS = 4, /* for what is under way when the input ends */
    REPLY_TURNS = 200,
};

struct stage {
    struct input input;
    unsigned acts;
    unsigned last_turns;
    bool greeting; /* nothing happens before the session is on the memory lane */

    struct daemon_state daemon;
    struct accept_queues accept_queues;
    struct handover_key key;
    struct session_host host;
    struct account *account;
    struct handover_items items;
    struct session *session; /* NULL: ended, and freed */
    struct engine_deferred turn;

    /* Everybody else. */
    struct played_client client;
    struct peers peers;
};

static struct stage stage;

static void act_rarely(uint8_t how)
{
    switch (how % 8) {
    case 0:
        played_client_hang_up(&stage.client);
        break;
    case 1:
        played_client_shut_down(&stage.client, SHUT_WR);
        break;
    case 2:
        played_client_shut_down(&stage.client, SHUT_RD);
        break;
    case 3:
        session_drain(stage.session);
        break;
    case 4:
        session_is_drained(stage.session);
        break;
    case 5:
        stage.daemon.descriptors.limit = how >> 3; /* as if others had the rest */
        break;
    default:
        played_client_say_bytes(&stage.client);
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
        played_client_say_request(&stage.client);
        break;
    case 3:
        peers_act(&stage.peers, &stage.input);
        break;
    case 4:
        played_client_take_replies(&stage.client);
        break;
    case 5:
        played_client_misuse_memory(&stage.client, input_byte(&stage.input));
        break;
    case 6:
        if (stage.session)
            act_rarely(input_byte(&stage.input));
        break;
    default:
        played_client_say_bytes(&stage.client);
        break;
    }
    return !(op & 0x80);
}

static void reset_when_closed(const struct socket *socket)
{
    static const struct linger at_once = {.l_onoff = 1};
    if (socket->kind == &connection_kind)
        (void)engine_socket_set_option(socket->engine_socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

/* No TIME_WAIT is left behind. */
static void reset_on_close(struct session *session)
{
    uint32_t index = 0;
    const struct socket *socket;
    while ((socket = socket_table_next(&session->sockets, &index)))
        reset_when_closed(socket);
    for (struct list *node = session->lingering.next; node != &session->lingering; node = node->next)
        reset_when_closed(list_entry(node, struct socket, node));
}

static void end(void)
{
    if (stage.session) {
        reset_on_close(stage.session);
        session_end(stage.session, "the play is over", 0);
        CHECK(stage.session->queued_bytes == 0 && stage.session->sockets.used == 0);
    }
    engine_stop(stage.host.engine);
}

/* Whatever is held on a socket is completed when it is closed. */
static void close_sockets(void)
{
    struct session *session = stage.session;
    struct list *next;
    reset_on_close(session);
    for (struct list *node = session->requests.next; node != &session->requests; node = next) {
        struct request *request = list_entry(node, struct request, node);
        next = node->next;
        if (request->opcode == FRAME_CONNECT) /* others end with their sockets, and a write takes others along */
            request->cancel(request);
        if (session->state == SESSION_ENDED)
            return;
    }
    uint32_t index = 0;
    struct socket *socket;
    while (session->state != SESSION_ENDED && (socket = socket_table_next(&session->sockets, &index))) {
        if (socket->kind == &connection_kind)
            socket->kind->orphan(socket);
        else if (socket->kind->drain)
            socket->kind->drain(socket);
    }
}

/* What is left to do when the input has ended. False: nothing. */
static bool wind_up(void)
{
    unsigned turn = stage.last_turns++;
    played_client_take_replies(&stage.client);
    if (turn < LAST_TURNS)
        return true;
    if (stage.client.is_dishonest || stage.session->state != SESSION_OPEN || stage.session->long_write.open)
        return false;
    close_sockets();
    if (turn == LAST_TURNS) {
        /* The answers to quiet writes come with the next one that is not, or after a while. */
        played_client_say_statistics(&stage.client);
        played_client_send(&stage.client);
    }
    if (!played_client_has_sent_all(&stage.client) || turn < 2 * LAST_TURNS)
        return turn < REPLY_TURNS;
    if (played_client_is_answered(&stage.client))
        return false;
    CHECK(turn < REPLY_TURNS);
    return true;
}

static void on_turn(struct engine_deferred *turn)
{
    if (stage.greeting) {
        played_client_take_replies(&stage.client);
        stage.greeting = !stage.client.base;
        engine_defer(stage.host.engine, turn);
        return;
    }
    while (stage.session && !input_is_empty(&stage.input) && stage.acts < ACTS_MAX) {
        if (act())
            break;
    }
    played_client_send(&stage.client);
    bool goes_on = stage.session && !input_is_empty(&stage.input) && stage.acts < ACTS_MAX;
    if (goes_on || (stage.session && wind_up()))
        engine_defer(stage.host.engine, turn);
    else
        end();
}

static void on_ask(void *context, int fd)
{
    (void)context;
    close(fd);
}

/* As daemon/process/worker.c does it. */
static void on_woken(void *context)
{
    (void)context;
    starvation_retry(&stage.host.starvation);
}

static void on_session_gone(struct session_host *host, struct account *account, bool refused)
{
    (void)host;
    (void)refused;
    account_give_back(account, ACCOUNT_SESSIONS, 1);
    stage.session = NULL;
    stage.client.sockets = NULL;
}

static void on_freed(void *context)
{
    (void)context;
    if (stage.host.engine)
        engine_wake(stage.host.engine);
}

static void set_up_daemon(int fd)
{
    static const struct policy everything;
    struct session_host *host = &stage.host;
    stage.daemon.limits = (struct limits){
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
    stage.daemon.policy = &everything;
    stage.daemon.unclaimed = &stage.items;
    stage.daemon.ask = on_ask;
    stage.key.exists = true; /* of zeros, which fuzzing finds */
    handover_items_init(&stage.items);
    accept_queues_init(&stage.accept_queues);
    stage.daemon.accept_queues = &stage.accept_queues;
    stage.daemon.key = &stage.key;
    stage.daemon.descriptors.limit = HANDLES + 1;
    stage.daemon.descriptors.freed = on_freed;
    host->daemon = &stage.daemon;
    host->handle = operations_handle;
    host->session_gone = on_session_gone;
    list_init(&host->sessions);
    list_init(&host->tenants);
    host->engine = engine_new(ENGINE_EPOLL, on_woken, NULL);
    CHECK(host->engine);
    starvation_init(&host->starvation, host->engine);
    stage.account = account_new(1, &stage.daemon.limits);
    CHECK(stage.account && account_take(stage.account, ACCOUNT_SESSIONS, 1));
    const struct session_client client = {.number = 1, .pid = 1, .account = stage.account};
    stage.session = session_new(host, fd, &client);
    CHECK(stage.session);
}

/* What is the same for all inputs. Returns where the peers are at home. */
static int set_up_once(void)
{
    log_set_level(LOG_ERROR);
    signal(SIGPIPE, SIG_IGN); /* as the daemon does */
    return peers_open_home();
}

static void set_up(int home)
{
    int pair[2];
    stage = (struct stage){0};
    peers_init(&stage.peers, home);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    static const int little = 8192;
    setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
    set_up_daemon(pair[1]);
    played_client_init(&stage.client, pair[0], &stage.input, &stage.session->sockets);
    stage.turn.run = on_turn;
    list_init(&stage.turn.node);
    engine_defer(stage.host.engine, &stage.turn);
}

static void tear_down(void)
{
    CHECK(!stage.session);
    CHECK(atomic_load(&stage.daemon.descriptors.in_use) == 0);
    for (int what = 0; what < ACCOUNT_QUOTAS; what++)
        CHECK(quota_in_use(&stage.account->quotas[what]) == 0);
    accept_queues_deinit(&stage.accept_queues);
    account_free(stage.account);
    starvation_deinit(&stage.host.starvation);
    engine_free(stage.host.engine);
    handover_items_deinit(&stage.items);
    peers_deinit(&stage.peers);
    played_client_deinit(&stage.client);
}

void daemon_stage_play(const uint8_t *data, size_t size, bool on_memory)
{
    static int home = -1;
    if (home < 0)
        home = set_up_once();
    int before = dup(STDERR_FILENO);
    close(before);
    set_up(home);
    stage.input = (struct input){.at = data, .left = size};
    if (on_memory) {
        played_client_say_hello(&stage.client);
        played_client_send(&stage.client);
        stage.greeting = true;
    }
    CHECK(engine_run(stage.host.engine) == 0);
    tear_down();
    /* Every descriptor is closed: the next one is the same as before. */
    int after = dup(STDERR_FILENO);
    close(after);
    CHECK(before == after);
}
