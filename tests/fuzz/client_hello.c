/*
 * A daemon that answers a greeting with anything, and brings descriptors of any kind; and the client that maps the
 * memory if that is what it got.
 */
#include "client/connect/hello.h"
#include "client/lane/lane.h"
#include "client/os/region.h"
#include "proto/frame.h"
#include "proto/oche.pb-c.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/target.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DESCRIPTORS_MAX = 6, ANSWER_MAX = FRAME_HEADER_SIZE + 2 * FRAME_BODY_MAX };

struct answer {
    uint8_t bytes[ANSWER_MAX];
    size_t size;
    struct memory_sizes sizes;
    int fds[DESCRIPTORS_MAX];
    unsigned fd_count;
};

static struct answer answer;

static void append(const void *bytes, size_t size)
{
    CHECK(size <= sizeof answer.bytes - answer.size);
    if (size > 0)
        memcpy(answer.bytes + answer.size, bytes, size);
    answer.size += size;
}

static void append_frame(struct input *input, const uint8_t *body, size_t size)
{
    uint8_t header[FRAME_HEADER_SIZE], how = input_byte(input);
    struct frame frame = {
        .opcode = how & 1 ? input_byte(input) : FRAME_HELLO,
        .flags = how & 2 ? input_byte(input) : FRAME_REPLY,
        .value = how & 4 ? input_value(input) : 0,
        .body_length = (uint16_t)(how & 8 ? input_length(input) : size),
        .payload_length = how & 16 ? input_length(input) : 0,
    };
    frame_encode(&frame, header);
    append(header, sizeof header);
    append(body, size);
}

static uint32_t ring_size(struct input *input)
{
    uint8_t byte = input_byte(input);
    return byte < 0x80 ? 1u << (12 + byte % 8) : input_u32(input);
}

static uint32_t arena_size(struct input *input)
{
    uint8_t byte = input_byte(input);
    return byte < 0x80 ? byte % 4 * 65536u : input_u32(input);
}

static void make_welcome(struct input *input)
{
    static char software[] = "oched";
    uint8_t body[256], how = input_byte(input);
    Oche__Welcome welcome = OCHE__WELCOME__INIT;
    Oche__Limits limits = OCHE__LIMITS__INIT;
    Oche__Memory memory = OCHE__MEMORY__INIT;
    welcome.version = how & 1 ? input_byte(input) : 1;
    welcome.software = software;
    if (how & 2) {
        limits.queued_bytes = (uint64_t)input_value(input);
        welcome.limits = &limits;
    }
    if (!(how & 4)) {
        memory.request_ring = ring_size(input);
        memory.reply_ring = ring_size(input);
        memory.receive_arena = arena_size(input);
        memory.send_arena = arena_size(input);
        answer.sizes =
            (struct memory_sizes){memory.request_ring, memory.reply_ring, memory.receive_arena, memory.send_arena};
        welcome.memory = &memory;
    }
    size_t size = oche__welcome__pack(&welcome, body);
    if ((how & 8) && size > 0)
        body[input_byte(input) % size] = input_byte(input);
    append_frame(input, body, size);
}

static void make_failure(struct input *input)
{
    size_t taken;
    const uint8_t *body = input_take(input, input_byte(input), &taken);
    append_frame(input, body, taken);
}

static void make_answer(struct input *input)
{
    size_t taken;
    const uint8_t *bytes;
    switch (input_byte(input) % 4) {
    case 0:
    case 1:
        make_welcome(input);
        break;
    case 2:
        make_failure(input);
        break;
    default:
        break;
    }
    bytes = input_take(input, input_byte(input), &taken);
    append(bytes, taken);
}

static int make_memory(uint8_t how)
{
    int fd = memfd_create("oche-fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    uint64_t size = memory_total(&answer.sizes) + (how & 0x10 ? 1 : 0);
    CHECK(fd >= 0);
    if (size < (uint64_t)1 << 32 && ftruncate(fd, (off_t)size) < 0)
        CHECK(0);
    unsigned seals = F_SEAL_SHRINK | F_SEAL_GROW | (how & 0x20 ? F_SEAL_WRITE : 0) | (how & 0x40 ? F_SEAL_SEAL : 0);
    fcntl(fd, F_ADD_SEALS, how & 0x80 ? F_SEAL_SEAL : seals);
    return fd;
}

static int make_descriptor(uint8_t how)
{
    int pair[2];
    switch (how % 8) {
    case 0:
    case 1:
    case 2:
        return make_memory(how);
    case 3:
    case 4:
    case 5:
        return eventfd(0, how & 0x80 ? EFD_CLOEXEC : EFD_CLOEXEC | EFD_NONBLOCK);
    case 6:
        CHECK(pipe2(pair, O_CLOEXEC) == 0);
        close(pair[how >> 7 & 1]);
        return pair[!(how >> 7 & 1)];
    default:
        return open("/dev/null", O_RDWR | O_CLOEXEC);
    }
}

static void send_answer(int fd)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
    } control = {0};
    size_t first = answer.size < 7 ? answer.size : 7;
    struct iovec vector = {.iov_base = answer.bytes, .iov_len = first};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (first == 0)
        return;
    if (answer.fd_count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(answer.fd_count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(answer.fd_count * sizeof(int));
        memcpy(CMSG_DATA(header), answer.fds, answer.fd_count * sizeof(int));
    }
    CHECK(sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)first);
    CHECK(answer.size == first ||
          send(fd, answer.bytes + first, answer.size - first, MSG_NOSIGNAL) == (ssize_t)(answer.size - first));
}

static void on_broken_pipe(int signal)
{
    CHECK(signal != SIGPIPE);
}

/* The bells are whatever the daemon sent: nothing of what they are used for may block, or end the process. */
static void use_bells(struct lane *lane)
{
    struct frame frame = {.opcode = FRAME_STATISTICS};
    atomic_store(&lane->memory.requests.shared->consumer_sleeps, 1);
    CHECK(lane_reserve(lane, 0, 0) == 0);
    lane_put(lane, &frame, NULL, NULL, 0, LANE_AT_ONCE);
    lane_wake(lane);
    lane_receive(lane, lane_poll(lane));
    lane_done(lane);
    lane_sleep(lane);
}

/* As the session does it when it has found a daemon. Takes over what it needs of the welcome, and the socket. */
static void use_memory(struct welcome *welcome, int fd)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    struct lane_memory memory;
    struct lane lane = {.memory = {.region = NULL}};
    if (region_map(welcome->descriptors[WELCOME_MEMORY], &welcome->memory, &memory.region) < 0) {
        close(fd);
        return;
    }
    memory.own_bell = welcome->descriptors[WELCOME_CLIENT_BELL];
    memory.daemon_bell = welcome->descriptors[WELCOME_DAEMON_BELL];
    for (int i = 0; i < WELCOME_DESCRIPTORS; i++)
        welcome->descriptors[i] = -1;
    memory.mutex = &mutex;
    CHECK(lane_init(&lane) == 0);
    if (lane_attach(&lane, fd, &memory) == 0)
        use_bells(&lane);
    lane_deinit(&lane);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {.at = data, .left = size};
    struct deadline deadline = deadline_in(60 * 1000, -1); /* which is never reached: all there is to come is there */
    struct welcome welcome;
    int pair[2], before = dup(STDERR_FILENO);
    close(before);
    signal(SIGPIPE, on_broken_pipe);
    uint8_t how = input_byte(&input);

    answer.size = 0;
    answer.sizes = (struct memory_sizes){0};
    uint8_t kinds[DESCRIPTORS_MAX];
    answer.fd_count = how % (DESCRIPTORS_MAX + 1);
    for (unsigned i = 0; i < answer.fd_count; i++)
        kinds[i] = input_byte(&input);
    make_answer(&input);
    for (unsigned i = 0; i < answer.fd_count; i++)
        answer.fds[i] = make_descriptor(kinds[i]);

    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    send_answer(pair[0]);
    for (unsigned i = 0; i < answer.fd_count; i++)
        close(answer.fds[i]);
    if (how & 0x40)
        close(pair[0]);
    else
        shutdown(pair[0], SHUT_WR);
    const struct hello hello = {.memory = !(how & 0x80), .arena_size = 65536};
    int64_t status = hello_exchange(pair[1], &deadline, &hello, &welcome);
    CHECK(status <= HELLO_HUNG_UP);
    if (status == 0 && welcome.has_memory && welcome_is_complete(&welcome))
        use_memory(&welcome, pair[1]);
    else
        close(pair[1]);
    if (status == 0)
        welcome_deinit(&welcome);
    if (!(how & 0x40))
        close(pair[0]);
    int after = dup(STDERR_FILENO);
    close(after);
    CHECK(before == after);
    return 0;
}
