/*
 * One frame out, one frame in. The answer may bring the descriptors of the memory lane; they are collected with
 * whichever part of it they come, and closed unless somebody takes them from the welcome.
 */

/* Or a 32-bit fstat() fails on files whose inode number takes more than 32 bits. */
#define _FILE_OFFSET_BITS 64

#include "client/connect/hello.h"

#include "client/os/diagnostics.h"
#include "proto/errors.h"
#include "proto/frame.h"
#include "proto/oche.pb-c.h"
#include "proto/version.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is no file, pipe or socket, an eventfd say, raises no SIGPIPE when it is written to. */
static bool is_bell(int fd)
{
    struct stat status;
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_NONBLOCK) && fstat(fd, &status) == 0 && (status.st_mode & S_IFMT) == 0;
}

bool welcome_is_complete(const struct welcome *welcome)
{
    return welcome->descriptors[WELCOME_MEMORY] >= 0 && welcome->descriptors[WELCOME_CLIENT_BELL] >= 0 &&
           is_bell(welcome->descriptors[WELCOME_DAEMON_BELL]);
}

void welcome_deinit(struct welcome *welcome)
{
    for (int i = 0; i < WELCOME_DESCRIPTORS; i++) {
        if (welcome->descriptors[i] >= 0)
            close(welcome->descriptors[i]);
        welcome->descriptors[i] = -1;
    }
}

static void take_descriptor(struct welcome *welcome, int fd)
{
    for (int i = 0; i < WELCOME_DESCRIPTORS; i++) {
        if (welcome->descriptors[i] < 0) {
            welcome->descriptors[i] = fd;
            return;
        }
    }
    close(fd);
}

static void take_descriptors(struct welcome *welcome, struct msghdr *message)
{
    struct cmsghdr *control;
    for (control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(control) + i * sizeof fd, sizeof fd);
            take_descriptor(welcome, fd);
        }
    }
}

/* As recv(), and what descriptors come with the bytes are in *welcome. */
static ssize_t receive(int fd, void *data, size_t size, struct welcome *welcome)
{
    union {
        struct cmsghdr alignment;
        char bytes[CMSG_SPACE(sizeof(int) * WELCOME_DESCRIPTORS)];
    } control;
    struct iovec part = {.iov_base = data, .iov_len = size};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    ssize_t received = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (received > 0)
        take_descriptors(welcome, &message);
    return received;
}

/* Sends, or receives with `welcome`, exactly `size` bytes. 0, HELLO_HUNG_UP, or a negative errno. */
static int transfer(int fd, const struct deadline *deadline, void *data, size_t size, struct welcome *welcome)
{
    uint8_t *position = data;
    while (size > 0) {
        int status = deadline_wait(deadline, fd, welcome ? POLLIN : POLLOUT);
        if (status < 0)
            return status;
        ssize_t moved = welcome ? receive(fd, position, size, welcome) : send(fd, position, size, MSG_NOSIGNAL);
        if (moved < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (moved == 0 || (moved < 0 && (errno == EPIPE || errno == ECONNRESET)))
            return HELLO_HUNG_UP;
        if (moved < 0)
            return -errno;
        position += moved;
        size -= (size_t)moved;
    }
    return 0;
}

static int say_hello(int fd, const struct deadline *deadline, const struct hello *wanted)
{
    static char software[] = "liboche " OCHE_VERSION;
    Oche__Hello hello;
    oche__hello__init(&hello);
    hello.version_min = FRAME_VERSION_MIN;
    hello.version_max = FRAME_VERSION_MAX;
    hello.software = software;
    hello.memory = wanted->memory;
    hello.arena = wanted->memory ? wanted->arena_size : 0;
    hello.follows = true;
    if (wanted->token) {
        hello.token.data = (uint8_t *)(uintptr_t)wanted->token; /* which is only read */
        hello.token.len = HANDOVER_TOKEN_SIZE;
        hello.generation = wanted->generation;
    }

    uint8_t message[FRAME_HEADER_SIZE + 96];
    size_t size = oche__hello__get_packed_size(&hello);
    assert(size <= sizeof message - FRAME_HEADER_SIZE);
    struct frame frame = {.opcode = FRAME_HELLO, .body_length = (uint16_t)size};
    frame_encode(&frame, message);
    oche__hello__pack(&hello, message + FRAME_HEADER_SIZE);
    return transfer(fd, deadline, message, FRAME_HEADER_SIZE + size, NULL);
}

/* What was read makes no sense: whoever listens there is not a daemon that we could talk to. */
static int64_t refuse_malformed(const char *what)
{
    diagnostics_fail(0, "the daemon's answer to the greeting is malformed: %s", what);
    return OCHE_ERR_PROTOCOL;
}

static int64_t take_refusal(const struct frame *frame, const uint8_t *body)
{
    Oche__Failure *failure = oche__failure__unpack(NULL, frame->body_length, body);
    diagnostics_fail(frame->os_error, "the daemon refuses the session: %s",
                     failure && *failure->text ? failure->text : oche_errors_text(frame->value));
    if (failure)
        oche__failure__free_unpacked(failure, NULL);
    switch (frame->value) {
    case OCHE_ERR_PROTOCOL:
    case OCHE_ERR_QUOTA:
    case OCHE_ERR_OUT_OF_MEMORY:
        return frame->value;
    default:
        return OCHE_ERR_DAEMON_UNAVAILABLE;
    }
}

/* The sizes of the shared memory. False: impossible ones. */
static bool take_sizes(const Oche__Memory *memory, struct welcome *welcome)
{
    welcome->has_memory = true;
    welcome->memory = (struct memory_sizes){
        .request_ring = memory->request_ring,
        .reply_ring = memory->reply_ring,
        .receive_arena = memory->receive_arena,
        .send_arena = memory->send_arena,
    };
    return memory_sizes_are_valid(memory->request_ring, memory->reply_ring, memory->receive_arena, memory->send_arena);
}

static int64_t take_welcome(const struct frame *frame, const uint8_t *body, bool memory, struct welcome *welcome)
{
    Oche__Welcome *message = oche__welcome__unpack(NULL, frame->body_length, body);
    if (!message)
        return refuse_malformed("no welcome");
    uint32_t version = message->version;
    /* 0 is protobuf's way of not saying: no limit then but the daemon's word. */
    uint64_t limit = message->limits ? message->limits->queued_bytes : 0;
    welcome->session = message->session;
    welcome->queued_bytes_max = limit ? limit : UINT64_MAX;
    welcome->resumed = message->resumed;
    welcome->has_token = message->token.len == HANDOVER_TOKEN_SIZE;
    if (welcome->has_token)
        memcpy(welcome->token, message->token.data, HANDOVER_TOKEN_SIZE);
    bool sensible = !message->memory || (memory && take_sizes(message->memory, welcome));
    oche__welcome__free_unpacked(message, NULL);
    if (version < FRAME_VERSION_MIN || version > FRAME_VERSION_MAX) {
        diagnostics_fail(0, "the daemon chose protocol version %u, which this library does not speak",
                         (unsigned)version);
        return OCHE_ERR_PROTOCOL;
    }
    return sensible ? 0 : refuse_malformed("shared memory that cannot be");
}

/* A failure to send or receive: cancelled, too slow, or something of the system's. */
static int64_t fail_transfer(int error)
{
    if (error == -ECANCELED)
        return OCHE_ERR_CLOSED;
    if (error == -ETIMEDOUT)
        return HELLO_SILENT;
    diagnostics_fail(-error, "cannot greet the daemon");
    return OCHE_ERR_DAEMON_UNAVAILABLE;
}

static int64_t exchange(int fd, const struct deadline *deadline, const struct hello *wanted, struct welcome *welcome)
{
    uint8_t header[FRAME_HEADER_SIZE], body[FRAME_BODY_MAX];
    struct frame frame = {0};
    int status = say_hello(fd, deadline, wanted);
    if (status >= 0) /* a daemon that refuses may hang up without reading, but has said why */
        status = transfer(fd, deadline, header, sizeof header, welcome);
    if (status == 0 && frame_decode(&frame, header) != 0)
        return refuse_malformed("not a frame");
    if (status == 0)
        status = transfer(fd, deadline, body, frame.body_length, welcome);
    if (status < 0)
        return fail_transfer(status);
    if (status == HELLO_HUNG_UP)
        return HELLO_HUNG_UP;

    if (frame.opcode != FRAME_HELLO || frame.flags != FRAME_REPLY || frame.payload_length != 0)
        return refuse_malformed("not a reply to it");
    if (frame.value < 0)
        return take_refusal(&frame, body);
    return take_welcome(&frame, body, wanted->memory, welcome);
}

int64_t hello_exchange(int fd, const struct deadline *deadline, const struct hello *wanted, struct welcome *welcome)
{
    *welcome = (struct welcome){.has_memory = false};
    for (int i = 0; i < WELCOME_DESCRIPTORS; i++)
        welcome->descriptors[i] = -1;
    int64_t status = exchange(fd, deadline, wanted, welcome);
    if (status != 0)
        welcome_deinit(welcome);
    return status;
}
