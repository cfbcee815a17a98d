#include "daemon/process/handover_take.h"

#include "daemon/engine/fd_message.h"
#include "proto/endian.h"
#include "proto/frame.h"
#include "proto/handle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int say(int fd, int64_t deadline, enum handover_word word)
{
    struct frame frame = {.opcode = FRAME_HANDOVER, .value = word};
    return fd_message_send(fd, deadline, &frame, NULL, NULL, 0);
}

static int ask(int fd, int64_t deadline, const struct handover_key *key)
{
    struct frame frame = {.opcode = FRAME_HANDOVER, .value = HANDOVER_ASK};
    if (key->exists)
        frame.payload_length = sizeof key->bytes;
    return fd_message_send(fd, deadline, &frame, key->bytes, NULL, 0);
}

/* As a client does: whoever else could bind a socket there must not be believed. */
static int check_peer(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return -errno;
    return peer.uid == geteuid() ? 0 : -EPERM;
}

/* Like connect(2), but it ends: a daemon that hangs takes nobody out of its backlog, and a full one makes wait. */
static int connect_in_time(int fd, const struct sockaddr_un *address)
{
    const struct timeval limit = {.tv_sec = HANDOVER_TIME_LIMIT / 1000};
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0)
        return 0;
    return errno == EAGAIN ? -ETIMEDOUT : -errno;
}

static int call_on(const struct sockaddr_un *address, const struct handover_key *key, int64_t deadline)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int r = connect_in_time(fd, address);
    if (r == 0)
        r = check_peer(fd);
    if (r == 0)
        r = ask(fd, deadline, key);
    if (r == 0)
        return fd;
    close(fd);
    return r;
}

/* The listener of a session may have been closed meanwhile, which session_resume() looks at. */
static bool is_what_it_should_be(int fd, bool local)
{
    int listening = 0, domain = 0;
    socklen_t size = sizeof listening;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0)
        return false;
    size = sizeof domain;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0)
        return false;
    return local ? listening && domain == AF_UNIX : domain == AF_INET || domain == AF_INET6;
}

/* An event loop that is to accept from it must never wait for somebody to come. */
static bool never_blocks(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_NONBLOCK || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
}

static int hear(int fd, int64_t deadline, enum handover_word word, struct frame *frame, uint8_t *token,
                int *descriptors, int count)
{
    int r = fd_message_receive(fd, deadline, frame, token, HANDOVER_TOKEN_SIZE, descriptors, count);
    if (r < 0)
        return r;
    bool sensible = frame->opcode == FRAME_HANDOVER && frame->flags == FRAME_REPLY && frame->value == word &&
                    descriptors[0] >= 0 && is_what_it_should_be(descriptors[0], word == HANDOVER_DOOR) &&
                    never_blocks(descriptors[0]) &&
                    (word == HANDOVER_DOOR || frame->payload_length == HANDOVER_TOKEN_SIZE);
    if (sensible)
        return 0;
    r = frame->value != HANDOVER_KEPT ? -EPROTO : frame->os_error == EACCES ? -EACCES : -EBUSY;
    for (int i = 0; i < count; i++) {
        if (descriptors[i] >= 0)
            close(descriptors[i]);
    }
    return r;
}

static int take_listener(int fd, int64_t deadline, struct handover_items *items)
{
    struct frame frame;
    uint8_t token[HANDOVER_TOKEN_SIZE];
    int listener;
    int r = hear(fd, deadline, HANDOVER_LISTENER, &frame, token, &listener, 1);
    if (r < 0)
        return r;
    r = handle_is_wellformed(frame.handle) ? handover_items_add(items, token, frame.handle, listener) : -EPROTO;
    if (r < 0)
        close(listener);
    return r;
}

static int take_all(struct handover_take *take, const char *path, int64_t deadline, struct handover_items *items)
{
    struct frame frame;
    uint8_t file[HANDOVER_TOKEN_SIZE]; /* device and inode of the socket file */
    int descriptors[2];
    int r = hear(take->predecessor, deadline, HANDOVER_DOOR, &frame, file, descriptors, 2);
    if (r < 0)
        return r;
    take->door = descriptors[0];
    take->lock = descriptors[1];
    if (frame.request_id != 0)
        take->socket = frame.payload_length > 0 ? (struct file_id){.device = get_u64(file), .inode = get_u64(file + 8)}
                                                : file_id_at(path);
    for (int64_t left = frame.handle; left > 0 && r == 0; left--)
        r = take_listener(take->predecessor, deadline, items);
    return r;
}

static void drop(struct handover_take *take)
{
    close(take->predecessor);
    if (take->door >= 0)
        close(take->door);
    if (take->lock >= 0)
        close(take->lock);
    *take = (struct handover_take){.predecessor = -1, .door = -1, .lock = -1};
}

int handover_take_ask(const struct sockaddr_un *address, const struct handover_key *key, struct handover_take *take,
                      struct handover_items *items)
{
    int64_t deadline = fd_message_deadline(HANDOVER_TIME_LIMIT);
    int fd = call_on(address, key, deadline);
    if (fd < 0)
        return fd;
    *take = (struct handover_take){.predecessor = fd, .door = -1, .lock = -1};
    int r = take_all(take, address->sun_path, deadline, items);
    if (r < 0) {
        drop(take);
        handover_items_close(items);
    }
    return r;
}

int handover_take_confirm(struct handover_take *take)
{
    int64_t deadline = fd_message_deadline(HANDOVER_TIME_LIMIT);
    int fd = take->predecessor;
    struct frame frame = {.value = 0};
    int said = say(fd, deadline, HANDOVER_TAKE); /* one that has hung up may have said why */
    int r = fd_message_receive(fd, deadline, &frame, NULL, 0, NULL, 0);
    if (r == 0)
        r = said == 0 && frame.opcode == FRAME_HANDOVER && frame.value == HANDOVER_YOURS ? 0 : -EBUSY;
    close(fd);
    take->predecessor = -1;
    return r;
}
