#include "daemon/socket/accept_queue.h"

#include "daemon/engine/engine.h"
#include "proto/errors.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct accept_queue {
    struct list node; /* in a bucket */
    struct list members;
    const struct account *account;
    struct endpoint local;
    uint64_t cookie; /* the system's number of the socket; 0: unknown */
    bool v6_only;
    bool shared;
    bool handed_over; /* a successor has the socket */
    unsigned waiting; /* members that wait for a connection */
    uint64_t round;   /* the present one, from 1 on */
};

void accept_queues_init(struct accept_queues *queues)
{
    pthread_mutex_init(&queues->lock, NULL);
    for (int i = 0; i < ACCEPT_QUEUE_BUCKETS; i++)
        list_init(&queues->buckets[i]);
}

void accept_queues_deinit(struct accept_queues *queues)
{
    for (int i = 0; i < ACCEPT_QUEUE_BUCKETS; i++)
        assert(list_is_empty(&queues->buckets[i]));
    pthread_mutex_destroy(&queues->lock);
}

/* ---- the socket ---- */

/* listen(2): the kernel cuts a backlog down to net.core.somaxconn. */
static int system_backlog(const struct listener_target *target)
{
    return target->backlog == 0 || target->backlog > INT32_MAX ? INT32_MAX : (int)target->backlog;
}

/* A socket that listens: the descriptor, or a negative code with *os_error. */
static int open_socket(const struct listener_target *target, int *os_error)
{
    int on = 1, v6_only = target->v6_only;
    int family = target->local.storage.ss_family;
    int code = OCHE_ERR_LISTEN_FAILED;

    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        *os_error = errno;
        return code;
    }
    code = OCHE_ERR_BIND_FAILED;
    /* Else a restarted server could not bind while connections of its former life are in TIME_WAIT. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        goto failed;
    if (target->shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0)
        goto failed;
    if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only) < 0)
        goto failed;
    if (bind(fd, (const struct sockaddr *)&target->local.storage, target->local.length) < 0)
        goto failed;
    if (listen(fd, system_backlog(target)) < 0) {
        /* Where SO_REUSEADDR let two sockets bind, the second to listen is told here that the address is in use. */
        code = errno == EADDRINUSE ? OCHE_ERR_BIND_FAILED : OCHE_ERR_LISTEN_FAILED;
        goto failed;
    }
    return fd;

failed:
    *os_error = errno;
    close(fd);
    return code;
}

/* The backlog that a listening socket has: tcp(7) does not say so, but Linux tells it in tcpi_sacked. 0: unknown. */
static int backlog_of(int fd)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? (int)info.tcpi_sacked : 0;
}

/* ---- queues and their members ---- */

static struct list *bucket_of(struct accept_queues *queues, const struct endpoint *local)
{
    return &queues->buckets[local->port % ACCEPT_QUEUE_BUCKETS];
}

static bool is_same_endpoint(const struct endpoint *one, const struct endpoint *other)
{
    return one->port == other->port && one->address_length == other->address_length &&
           one->scope_id == other->scope_id && memcmp(one->address, other->address, sizeof one->address) == 0;
}

/* The queue that shared listeners of the account have at this address, or NULL. `cookie`: of that socket, 0: of any. */
static struct accept_queue *find(struct accept_queues *queues, const struct account *account,
                                 const struct endpoint *local, uint64_t cookie)
{
    struct list *bucket = bucket_of(queues, local);
    for (struct list *node = bucket->next; node != bucket; node = node->next) {
        struct accept_queue *queue = list_entry(node, struct accept_queue, node);
        if (queue->shared && queue->account == account && is_same_endpoint(&queue->local, local) &&
            (cookie == 0 || queue->cookie == cookie))
            return queue;
    }
    return NULL;
}

static void add_member(struct accept_queue *queue, struct accept_member *member, struct engine *engine, int fd)
{
    *member = (struct accept_member){.queue = queue, .engine = engine, .fd = fd};
    list_init(&member->node);
    list_append(&queue->members, &member->node);
}

/* A queue for a socket that listens, without members. NULL: out of memory, or the socket cannot be read. */
static struct accept_queue *queue_new(struct accept_queues *queues, const struct account *account, int fd)
{
    struct sockaddr_storage local = {0};
    int shared = 0, v6_only = 0;
    uint64_t cookie = 0;
    socklen_t local_size = sizeof local, shared_size = sizeof shared, v6_only_size = sizeof v6_only,
              cookie_size = sizeof cookie;
    struct accept_queue *queue = calloc(1, sizeof *queue);
    if (!queue)
        return NULL;
    if (getsockname(fd, (struct sockaddr *)&local, &local_size) < 0 || !address_to_endpoint(&queue->local, &local) ||
        getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &shared, &shared_size) < 0 ||
        (local.ss_family == AF_INET6 && getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, &v6_only_size) < 0)) {
        free(queue);
        return NULL;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &cookie_size) < 0)
        cookie = 0;
    queue->account = account;
    queue->cookie = cookie;
    queue->shared = shared;
    queue->v6_only = v6_only;
    queue->round = 1;
    list_init(&queue->node);
    list_init(&queue->members);
    list_append(bucket_of(queues, &queue->local), &queue->node);
    return queue;
}

/* Another descriptor for the socket of a queue, or a negative code with *os_error. */
static int join(struct accept_queue *queue, const struct listener_target *target, int *os_error)
{
    const struct accept_member *first = list_entry(queue->members.next, struct accept_member, node);
    bool v6_only = target->v6_only && target->local.storage.ss_family == AF_INET6;
    if (v6_only != queue->v6_only) {
        *os_error = EADDRINUSE;
        return OCHE_ERR_BIND_FAILED;
    }
    int fd = fcntl(first->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        *os_error = errno;
        return OCHE_ERR_LISTEN_FAILED;
    }
    /* The longest queue that any of them has asked for. */
    if (system_backlog(target) > backlog_of(fd) && listen(fd, system_backlog(target)) < 0) {
        *os_error = errno;
        close(fd);
        return OCHE_ERR_LISTEN_FAILED;
    }
    return fd;
}

/* With the lock held. */
static int open_or_join(struct accept_queues *queues, struct accept_member *member, const struct account *account,
                        struct engine *engine, const struct listener_target *target, int *os_error)
{
    struct endpoint local;
    address_to_endpoint(&local, &target->local.storage);
    struct accept_queue *queue = target->shared ? find(queues, account, &local, 0) : NULL;
    int fd = queue ? join(queue, target, os_error) : open_socket(target, os_error);
    if (fd < 0)
        return fd;
    if (!queue)
        queue = queue_new(queues, account, fd);
    if (!queue) {
        close(fd);
        return OCHE_ERR_OUT_OF_MEMORY;
    }
    add_member(queue, member, engine, fd);
    return fd;
}

int accept_queue_open(struct accept_queues *queues, struct accept_member *member, const struct account *account,
                      struct engine *engine, const struct listener_target *target, int *os_error)
{
    pthread_mutex_lock(&queues->lock);
    int fd = open_or_join(queues, member, account, engine, target, os_error);
    pthread_mutex_unlock(&queues->lock);
    return fd;
}

bool accept_queue_adopt(struct accept_queues *queues, struct accept_member *member, const struct account *account,
                        struct engine *engine, int fd)
{
    pthread_mutex_lock(&queues->lock);
    struct accept_queue *queue = queue_new(queues, account, fd);
    if (queue && queue->shared && queue->cookie != 0) {
        /* The oldest one is found first: it is this one, if the socket was not here before. */
        struct accept_queue *known = find(queues, account, &queue->local, queue->cookie);
        if (known != queue) {
            list_remove(&queue->node);
            free(queue);
            queue = known;
        }
    }
    if (queue)
        add_member(queue, member, engine, fd);
    pthread_mutex_unlock(&queues->lock);
    return queue != NULL;
}

/* ---- whose turn it is ---- */

static void stop_waiting(struct accept_member *member)
{
    struct accept_queue *queue = member->queue;
    member->waits = false;
    if (--queue->waiting > 0)
        return;
    queue->round++;
    for (struct list *node = queue->members.next; node != &queue->members; node = node->next) {
        struct accept_member *other = list_entry(node, struct accept_member, node);
        if (other->passes)
            engine_wake(other->engine);
        other->passes = false;
    }
}

bool accept_queue_has_turn(struct accept_queues *queues, struct accept_member *member)
{
    pthread_mutex_lock(&queues->lock);
    member->passes = member->round == member->queue->round;
    bool has_turn = !member->passes;
    pthread_mutex_unlock(&queues->lock);
    return has_turn;
}

void accept_queue_wait(struct accept_queues *queues, struct accept_member *member)
{
    pthread_mutex_lock(&queues->lock);
    member->waits = true;
    member->queue->waiting++;
    pthread_mutex_unlock(&queues->lock);
}

void accept_queue_stop_waiting(struct accept_queues *queues, struct accept_member *member, bool got_one)
{
    pthread_mutex_lock(&queues->lock);
    if (got_one)
        member->round = member->queue->round;
    stop_waiting(member);
    pthread_mutex_unlock(&queues->lock);
}

/* ---- leaving ---- */

bool accept_queue_leave(struct accept_queues *queues, struct accept_member *member)
{
    pthread_mutex_lock(&queues->lock);
    struct accept_queue *queue = member->queue;
    list_remove(&member->node);
    if (member->waits)
        stop_waiting(member);
    bool was_last = list_is_empty(&queue->members), handed_over = queue->handed_over;
    if (was_last) {
        list_remove(&queue->node);
        free(queue);
    }
    member->queue = NULL;
    pthread_mutex_unlock(&queues->lock);
    return was_last && !handed_over;
}

void accept_queue_hand_over(struct accept_queues *queues, struct accept_member *member)
{
    pthread_mutex_lock(&queues->lock);
    member->queue->handed_over = true;
    pthread_mutex_unlock(&queues->lock);
}

bool accept_queue_has_others(struct accept_queues *queues, const struct accept_member *member)
{
    pthread_mutex_lock(&queues->lock);
    bool has_others = member->queue->members.next->next != &member->queue->members;
    pthread_mutex_unlock(&queues->lock);
    return has_others;
}
