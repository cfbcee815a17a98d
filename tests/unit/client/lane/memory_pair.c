#include "tests/unit/client/lane/memory_pair.h"

#include "client/lane/memory_lane.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct memory_pair {
    struct memory_sizes sizes;
    pthread_mutex_t mutex;
    struct memory_lane lane;
    struct bytes queue;
    int epoll_fd;

    int memory_fd;
    uint8_t *base;
    struct memory_map map;
    struct ring_consumer requests;
    struct ring_producer replies;
    struct arena receive;
    int client_bell;
};

static int make_memory(const struct memory_sizes *sizes)
{
    int fd = memfd_create("oche-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (ftruncate(fd, (off_t)memory_total(sizes)) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void ring(const struct memory_pair *pair)
{
    if (write(pair->client_bell, "", 1) != 1)
        abort();
}

struct memory_pair *memory_pair_new(const struct memory_sizes *sizes)
{
    struct memory_pair *pair = calloc(1, sizeof *pair);
    struct region *region = NULL;
    int fd = make_memory(sizes);
    pair->sizes = *sizes;
    pair->base = mmap(NULL, memory_total(sizes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    pair->memory_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (pair->base == MAP_FAILED || region_map(fd, sizes, &region) < 0)
        return NULL;

    memory_map_init(&pair->map, pair->base, sizes);
    ring_consumer_init(&pair->requests, pair->map.request_control, pair->map.request_ring, sizes->request_ring);
    ring_producer_init(&pair->replies, pair->map.reply_control, pair->map.reply_ring, sizes->reply_ring);
    if (arena_init(&pair->receive, pair->map.receive_arena, sizes->receive_arena) < 0)
        return NULL;

    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        abort();
    int bell = ends[0];
    pair->client_bell = ends[1];
    pair->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (memory_lane_attach(&pair->lane, region, bell, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), pair->epoll_fd) < 0)
        return NULL;
    return pair;
}

void memory_pair_free(struct memory_pair *pair)
{
    memory_lane_detach(&pair->lane);
    bytes_deinit(&pair->queue);
    arena_deinit(&pair->receive);
    munmap(pair->base, memory_total(&pair->sizes));
    close(pair->memory_fd);
    close(pair->client_bell);
    close(pair->epoll_fd);
    free(pair);
}

bool memory_pair_request(struct memory_pair *pair, const struct frame *frame, const void *payload, size_t count)
{
    if (memory_lane_reserve(&pair->lane, &pair->queue, 0, count) < 0)
        return false;
    memory_lane_put(&pair->lane, &pair->queue, frame, NULL, payload, count);
    return true;
}

int memory_pair_next(struct memory_pair *pair, struct lane_message *message, const char **fault)
{
    if (pair->lane.round_left == 0)
        memory_lane_has_more(&pair->lane);
    return memory_lane_next(&pair->lane, message, fault);
}

void memory_pair_done(struct memory_pair *pair)
{
    memory_lane_done(&pair->lane, &pair->queue);
}

void memory_pair_give_back(struct memory_pair *pair, struct data *data)
{
    memory_lane_give_back(&pair->lane, &pair->queue, data);
}

void memory_pair_flush(struct memory_pair *pair)
{
    memory_lane_flush(&pair->lane, &pair->queue);
}

bool memory_pair_sleep(struct memory_pair *pair)
{
    return memory_lane_sleep(&pair->lane, &pair->queue);
}

size_t memory_pair_waiting(const struct memory_pair *pair)
{
    return bytes_length(&pair->queue);
}

bool memory_pair_has_rung(struct memory_pair *pair)
{
    struct epoll_event event;
    bool rung = epoll_wait(pair->epoll_fd, &event, 1, 0) == 1;
    if (rung)
        memory_lane_silence(&pair->lane);
    return rung;
}

void memory_pair_detach(struct memory_pair *pair)
{
    memory_lane_detach(&pair->lane);
}

bool memory_pair_take_and_keep_room(struct memory_pair *pair, struct frame *frame, uint8_t *payload)
{
    const uint8_t *record;
    uint32_t size;
    if (ring_next(&pair->requests, &record, &size) != RING_RECORD || frame_decode(frame, record) != 0)
        return false;
    const uint8_t *bytes = frame->flags & FRAME_IN_ARENA ? pair->map.send_arena + frame->payload_offset
                                                         : record + FRAME_HEADER_SIZE + frame->body_length;
    if (frame->opcode != FRAME_RELEASE)
        memcpy(payload, bytes, frame->payload_length);
    return true;
}

bool memory_pair_take(struct memory_pair *pair, struct frame *frame, uint8_t *payload)
{
    bool taken = memory_pair_take_and_keep_room(pair, frame, payload);
    if (ring_release(&pair->requests))
        ring(pair);
    return taken;
}

bool memory_pair_put_record(struct memory_pair *pair, const void *record, size_t size)
{
    uint8_t *room = ring_reserve(&pair->replies, (uint32_t)size);
    if (!room)
        return false;
    memcpy(room, record, size);
    ring_commit(&pair->replies, (uint32_t)size);
    if (ring_publish(&pair->replies))
        ring(pair);
    return true;
}

bool memory_pair_reply(struct memory_pair *pair, const struct frame *frame, const void *payload)
{
    uint8_t record[FRAME_HEADER_SIZE + MEMORY_INLINE_MAX];
    size_t length = frame->flags & FRAME_IN_ARENA ? 0 : frame->payload_length;
    frame_encode(frame, record);
    if (length)
        memcpy(record + FRAME_HEADER_SIZE, payload, length);
    return memory_pair_put_record(pair, record, FRAME_HEADER_SIZE + length);
}

bool memory_pair_send_data(struct memory_pair *pair, int64_t handle, const void *data, uint32_t size)
{
    uint32_t available;
    uint8_t *room = arena_room(&pair->receive, size, &available);
    if (!room)
        return false;
    memcpy(room, data, size);
    struct frame frame = {
        .opcode = FRAME_READ,
        .flags = FRAME_REPLY | FRAME_IN_ARENA,
        .handle = handle,
        .value = size,
        .payload_length = size,
        .payload_offset = arena_commit(&pair->receive, size),
    };
    return memory_pair_reply(pair, &frame, NULL);
}

bool memory_pair_released(struct memory_pair *pair, const struct frame *frame)
{
    return arena_release(&pair->receive, frame->payload_offset, frame->payload_length);
}

bool memory_pair_end_mapping(struct memory_pair *pair)
{
    return fcntl(pair->memory_fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0;
}

size_t memory_pair_pages(const struct memory_pair *pair)
{
    struct stat status;
    return fstat(pair->memory_fd, &status) == 0 ? (size_t)status.st_blocks * 512 : 0;
}

uint8_t *memory_pair_bytes(struct memory_pair *pair, size_t *size)
{
    *size = memory_total(&pair->sizes);
    return pair->base;
}
