/*
 * The reference: the tcp_* calls as the ancestor implements them, inside the process.
 *
 * A call allocates a request, queues it under a mutex and wakes the loop thread. The loop takes the queue and tries
 * each request at once; what would block is parked at its socket and tried again when the kernel reports readiness.
 * Each completion is one message to the native port. A read allocates 64 KiB and gives back what it did not need.
 * Where the ancestor is slow by accident, this is not: it waits with epoll (edge-triggered, each socket registered
 * once) instead of select, wakes the loop for the first request of a batch only, and has no limit on sockets.
 *
 * Of the contract it has what application.c calls. It is a measure, not a product: errors that do not happen on
 * loopback end the program.
 */
#include "tools/benchmark/dart_object.h"

#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <oche/tcp_socket.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_SIZE = 64 * 1024, EVENTS = 256, SOCKETS = 32768 };

enum kind { KIND_CONNECT, KIND_READ, KIND_WRITE, KIND_CLOSE, KIND_LISTEN, KIND_ACCEPT };

struct request {
    struct request *next;
    enum kind kind;
    int64_t id;
    int64_t handle;
    struct sockaddr_in address; /* connect, listen */
    uint8_t *data;              /* write */
    size_t count;
    size_t sent;
};

struct requests {
    struct request *first;
    struct request **last;
};

struct tcp_socket {
    int fd;
    struct requests parked_in;  /* read, accept */
    struct requests parked_out; /* write, connect */
};

static dart_post *post_object;
static int64_t port;

static pthread_mutex_t queue_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct requests queue = {.last = &queue.first};
static int wake_fd;

/* The loop's; the getters take the mutex. A handle is an index and 1. */
static pthread_mutex_t table_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct tcp_socket *table[SOCKETS];
static size_t free_indices[SOCKETS];
static size_t free_count;
static int epoll_fd;

static void requests_init(struct requests *requests)
{
    *requests = (struct requests){.last = &requests->first};
}

static void requests_append(struct requests *requests, struct request *request)
{
    request->next = NULL;
    *requests->last = request;
    requests->last = &request->next;
}

static struct request *requests_take(struct requests *requests)
{
    struct request *request = requests->first;
    if (request && !(requests->first = request->next))
        requests->last = &requests->first;
    return request;
}

/* ---- completions ---- */

static void free_finalizer(void *isolate_callback_data, void *peer)
{
    (void)isolate_callback_data;
    free(peer);
}

/* Frees the request; `data` goes to the port. */
static void complete(struct request *request, int64_t result, uint8_t *data)
{
    struct dart_object id = {.type = DART_INT64, .value.int64 = request->id};
    struct dart_object number = {.type = DART_INT64, .value.int64 = result};
    struct dart_object bytes = {.type = DART_NULL};
    if (data) {
        bytes.type = DART_EXTERNAL_TYPED_DATA;
        bytes.value.external.type = DART_UINT8;
        bytes.value.external.length = (intptr_t)result;
        bytes.value.external.data = data;
        bytes.value.external.peer = data;
        bytes.value.external.finalizer = free_finalizer;
    }
    struct dart_object *values[] = {&id, &number, &bytes};
    struct dart_object message = {.type = DART_ARRAY, .value.array = {.length = 3, .values = values}};
    if (!post_object(port, &message))
        free(data);
    free(request->data);
    free(request);
}

/* ---- sockets ---- */

static int64_t socket_add(int fd)
{
    struct tcp_socket *tcp_socket = malloc(sizeof *tcp_socket);
    if (!tcp_socket || free_count == 0)
        errx(1, "too many sockets");
    tcp_socket->fd = fd;
    requests_init(&tcp_socket->parked_in);
    requests_init(&tcp_socket->parked_out);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = tcp_socket};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        err(1, "epoll_ctl");
    pthread_mutex_lock(&table_mutex);
    size_t index = free_indices[--free_count];
    table[index] = tcp_socket;
    pthread_mutex_unlock(&table_mutex);
    return (int64_t)index + 1;
}

static struct tcp_socket *socket_find(int64_t handle)
{
    return handle >= 1 && handle <= SOCKETS ? table[handle - 1] : NULL;
}

static void socket_close(int64_t handle)
{
    struct tcp_socket *tcp_socket = socket_find(handle);
    struct request *request;
    while ((request = requests_take(&tcp_socket->parked_in)) || (request = requests_take(&tcp_socket->parked_out)))
        complete(request, TCP_ERR_CLOSED, NULL);
    close(tcp_socket->fd);
    pthread_mutex_lock(&table_mutex);
    table[handle - 1] = NULL;
    free_indices[free_count++] = (size_t)handle - 1;
    pthread_mutex_unlock(&table_mutex);
    free(tcp_socket);
}

/* ---- operations: each completes the request and returns true, or returns false when it would block ---- */

static bool try_read(struct tcp_socket *tcp_socket, struct request *request)
{
    uint8_t *data = malloc(READ_SIZE);
    if (!data)
        err(1, "malloc");
    ssize_t n = recv(tcp_socket->fd, data, READ_SIZE, 0);
    if (n <= 0) {
        bool would_block = n < 0 && errno == EAGAIN;
        free(data);
        if (!would_block)
            complete(request, n == 0 ? TCP_ERR_CLOSED : TCP_ERR_READ_FAILED, NULL);
        return !would_block;
    }
    uint8_t *fitting = realloc(data, (size_t)n);
    complete(request, n, fitting ? fitting : data);
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the message has it now. */
    return true;
}

static bool try_write(struct tcp_socket *tcp_socket, struct request *request)
{
    while (request->sent < request->count) {
        ssize_t n = send(tcp_socket->fd, request->data + request->sent, request->count - request->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n < 0) {
            complete(request, TCP_ERR_WRITE_FAILED, NULL);
            return true;
        }
        request->sent += (size_t)n;
    }
    complete(request, (int64_t)request->count, NULL);
    return true;
}

static bool try_accept(struct tcp_socket *tcp_socket, struct request *request)
{
    int fd = accept4(tcp_socket->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && errno == EAGAIN)
        return false;
    complete(request, fd < 0 ? TCP_ERR_ACCEPT_FAILED : socket_add(fd), NULL);
    return true;
}

/* The connect has begun before. */
static bool try_connect(struct tcp_socket *tcp_socket, struct request *request)
{
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    int error = 0;
    if (getpeername(tcp_socket->fd, (struct sockaddr *)&peer, &length) < 0) {
        length = sizeof error;
        getsockopt(tcp_socket->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (!error)
            return false;
    }
    complete(request, error ? TCP_ERR_CONNECT_FAILED : request->handle, NULL);
    return true;
}

static bool try(struct tcp_socket *tcp_socket, struct request *request)
{
    switch (request->kind) {
    case KIND_READ:
        return try_read(tcp_socket, request);
    case KIND_WRITE:
        return try_write(tcp_socket, request);
    case KIND_ACCEPT:
        return try_accept(tcp_socket, request);
    default:
        return try_connect(tcp_socket, request);
    }
}

static void retry(struct tcp_socket *tcp_socket, struct requests *parked)
{
    while (parked->first) {
        struct request *next = parked->first->next;
        if (!try(tcp_socket, parked->first))
            return;
        parked->first = next;
    }
    requests_init(parked);
}

static void start_connect(struct request *request)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        err(1, "socket");
    if (connect(fd, (struct sockaddr *)&request->address, sizeof request->address) < 0 && errno != EINPROGRESS)
        err(1, "connect");
    request->handle = socket_add(fd);
}

static void start_listen(struct request *request)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&request->address, sizeof request->address) < 0 ||
        listen(fd, SOMAXCONN) < 0)
        err(1, "listen");
    complete(request, socket_add(fd), NULL);
}

static void start(struct request *request)
{
    if (request->kind == KIND_LISTEN) {
        start_listen(request);
        return;
    }
    if (request->kind == KIND_CONNECT)
        start_connect(request);
    struct tcp_socket *tcp_socket = socket_find(request->handle);
    if (!tcp_socket) {
        complete(request, TCP_ERR_INVALID_HANDLE, NULL);
        return;
    }
    if (request->kind == KIND_CLOSE) {
        socket_close(request->handle);
        complete(request, 0, NULL);
        return;
    }
    bool inward = request->kind == KIND_READ || request->kind == KIND_ACCEPT;
    struct requests *parked = inward ? &tcp_socket->parked_in : &tcp_socket->parked_out;
    if (parked->first || !try(tcp_socket, request))
        requests_append(parked, request);
}

/* ---- the loop ---- */

static void drain_queue(void)
{
    pthread_mutex_lock(&queue_mutex);
    struct request *request = queue.first;
    requests_init(&queue);
    pthread_mutex_unlock(&queue_mutex);
    while (request) {
        struct request *next = request->next;
        start(request);
        request = next;
    }
}

static void *loop(void *argument)
{
    (void)argument;
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll_fd, events, EVENTS, -1);
        bool woken = false;
        for (int i = 0; i < count; i++) {
            struct tcp_socket *tcp_socket = events[i].data.ptr;
            if (!tcp_socket) {
                woken = true;
                continue;
            }
            retry(tcp_socket, &tcp_socket->parked_in);
            retry(tcp_socket, &tcp_socket->parked_out);
        }
        /* Last: a close frees a socket that an event of this turn may name. */
        if (woken) {
            uint64_t value;
            if (read(wake_fd, &value, sizeof value) < 0)
                err(1, "eventfd");
            drain_queue();
        }
    }
    return NULL;
}

static int64_t submit(const struct request *contents)
{
    struct request *request = malloc(sizeof *request);
    if (!request)
        return TCP_ERR_OUT_OF_MEMORY;
    *request = *contents;
    pthread_mutex_lock(&queue_mutex);
    bool first = !queue.first;
    requests_append(&queue, request);
    pthread_mutex_unlock(&queue_mutex);
    uint64_t one = 1;
    if (first && write(wake_fd, &one, sizeof one) < 0)
        err(1, "eventfd");
    return 0;
}

/* ---- the calls ---- */

int64_t tcp_init(void *dart_api_dl_data, int64_t send_port)
{
    const struct dart_data *data = dart_api_dl_data;
    for (size_t i = 0; data->functions[i].name; i++) {
        if (strcmp(data->functions[i].name, "Dart_PostCObject") == 0)
            post_object = (dart_post *)data->functions[i].function;
    }
    port = send_port;
    while (free_count < SOCKETS) {
        free_indices[free_count] = SOCKETS - 1 - free_count;
        free_count++;
    }
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    pthread_t thread;
    if (!post_object || epoll_fd < 0 || wake_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &event) < 0 ||
        pthread_create(&thread, NULL, loop, NULL) != 0)
        err(1, "start");
    return 0;
}

static int64_t submit_with_address(enum kind kind, int64_t request_id, const uint8_t *addr, int64_t addr_len,
                                   int64_t port_number)
{
    struct request request = {.kind = kind, .id = request_id};
    if (addr_len != sizeof request.address.sin_addr)
        return TCP_ERR_INVALID_ADDRESS;
    request.address.sin_family = AF_INET;
    request.address.sin_port = htons((uint16_t)port_number);
    memcpy(&request.address.sin_addr, addr, sizeof request.address.sin_addr);
    return submit(&request);
}

int64_t tcp_connect(int64_t request_id, const uint8_t *addr, int64_t addr_len, int64_t port_number,
                    const uint8_t *source_addr, int64_t source_addr_len, int64_t source_port)
{
    (void)source_addr, (void)source_addr_len, (void)source_port;
    return submit_with_address(KIND_CONNECT, request_id, addr, addr_len, port_number);
}

int64_t tcp_listen(int64_t request_id, const uint8_t *addr, int64_t addr_len, int64_t port_number, bool v6_only,
                   int64_t backlog, bool shared)
{
    (void)v6_only, (void)backlog, (void)shared;
    return submit_with_address(KIND_LISTEN, request_id, addr, addr_len, port_number);
}

int64_t tcp_accept(int64_t request_id, int64_t listener)
{
    return submit(&(struct request){.kind = KIND_ACCEPT, .id = request_id, .handle = listener});
}

int64_t tcp_read(int64_t request_id, int64_t handle)
{
    return submit(&(struct request){.kind = KIND_READ, .id = request_id, .handle = handle});
}

int64_t tcp_write(int64_t request_id, int64_t handle, const uint8_t *data, int64_t offset, int64_t count)
{
    uint8_t *copy = malloc((size_t)count);
    if (!copy)
        return TCP_ERR_OUT_OF_MEMORY;
    memcpy(copy, data + offset, (size_t)count);
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the request has it now. */
    return submit(&(struct request){
        .kind = KIND_WRITE, .id = request_id, .handle = handle, .data = copy, .count = (size_t)count});
}

int64_t tcp_close(int64_t request_id, int64_t handle)
{
    return submit(&(struct request){.kind = KIND_CLOSE, .id = request_id, .handle = handle});
}

int64_t tcp_get_local_port(int64_t handle)
{
    struct sockaddr_in address = {0};
    socklen_t length = sizeof address;
    int64_t result = TCP_ERR_INVALID_HANDLE;
    pthread_mutex_lock(&table_mutex);
    struct tcp_socket *tcp_socket = socket_find(handle);
    if (tcp_socket && getsockname(tcp_socket->fd, (struct sockaddr *)&address, &length) == 0)
        result = ntohs(address.sin_port);
    pthread_mutex_unlock(&table_mutex);
    return result;
}
