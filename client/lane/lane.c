/*
 * Each function asks which lane is in use and calls that lane's. The socket stays in the epoll set on both: on the
 * memory lane it carries nothing, but polls readable when the daemon is gone.
 */
#include "client/lane/lane.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { OTHERS = 2 /* descriptors in the epoll set that are not the lane's */ };

static bool is_on_memory(const struct lane *lane)
{
    return lane->memory.region;
}

int lane_init(struct lane *lane)
{
    return plain_lane_init(&lane->plain);
}

void lane_deinit(struct lane *lane)
{
    memory_lane_detach(&lane->memory);
    plain_lane_deinit(&lane->plain);
}

int lane_attach(struct lane *lane, int fd, const struct lane_memory *memory)
{
    int error = 0;
    if (memory) {
        memory->region->mutex = memory->mutex;
        memory->region->owner = lane;
        error = memory_lane_attach(&lane->memory, memory->region, memory->own_bell, memory->daemon_bell,
                                   lane->plain.epoll_fd);
        if (error) {
            region_unref(memory->region);
            close(fd);
            return error;
        }
    }
    error = plain_lane_attach(&lane->plain, fd, !memory);
    if (error) {
        memory_lane_detach(&lane->memory);
        return error;
    }
    lane_flush(lane);
    if (!lane_sleep(lane)) /* whoever dispatches may be waiting already */
        lane_wake(lane);
    return 0;
}

void lane_detach(struct lane *lane)
{
    memory_lane_detach(&lane->memory);
    plain_lane_detach(&lane->plain);
}

void lane_forget(struct lane *lane)
{
    memory_lane_forget(&lane->memory);
    plain_lane_forget(&lane->plain);
}

static int reserve_plain(struct lane *lane, size_t body_length, size_t count)
{
    size_t frames = count ? (count - 1) / FRAME_PAYLOAD_MAX + 1 : 1;
    return plain_lane_reserve(&lane->plain, count + body_length + frames * FRAME_HEADER_SIZE);
}

int lane_reserve(struct lane *lane, size_t body_length, size_t count)
{
    return is_on_memory(lane) ? memory_lane_reserve(&lane->memory, &lane->plain.out, body_length, count)
                              : reserve_plain(lane, body_length, count);
}

/* Cuts the payload into frames. */
static void put_plain(struct lane *lane, const struct frame *frame, const void *body, const uint8_t *payload,
                      size_t count, enum lane_urgency urgency)
{
    struct frame part = *frame;
    do {
        size_t size = count < FRAME_PAYLOAD_MAX ? count : FRAME_PAYLOAD_MAX;
        part.flags = (frame->flags & FRAME_QUIET) | (size < count ? FRAME_MORE : 0);
        part.payload_length = (uint32_t)size;
        plain_lane_put(&lane->plain, &part, body, payload, urgency);
        payload = size ? payload + size : payload; /* which may be NULL */
        count -= size;
    } while (count > 0);
}

void lane_put(struct lane *lane, const struct frame *frame, const void *body, const void *payload, size_t count,
              enum lane_urgency urgency)
{
    if (is_on_memory(lane))
        memory_lane_put(&lane->memory, &lane->plain.out, frame, body, payload, count);
    else
        put_plain(lane, frame, body, payload, count, urgency);
}

void lane_flush(struct lane *lane)
{
    if (is_on_memory(lane))
        memory_lane_flush(&lane->memory, &lane->plain.out);
    else
        plain_lane_flush(&lane->plain);
}

uint32_t lane_taken(const struct lane *lane)
{
    return is_on_memory(lane) ? ring_consumed(&lane->memory.requests) : lane->plain.refills;
}

unsigned lane_wait(struct lane *lane, int timeout)
{
    struct epoll_event events[LANE_EPOLL_DATA_END + OTHERS];
    int count = epoll_wait(lane->plain.epoll_fd, events, sizeof events / sizeof *events, timeout);
    unsigned ready = 0;
    for (int i = 0; i < count; i++) {
        if (events[i].events & ~(uint32_t)EPOLLOUT) /* that alone is for the next flush */
            ready |= 1u << events[i].data.u64;
    }
    if (ready & 1u << MEMORY_LANE_EPOLL_DATA)
        memory_lane_silence(&lane->memory);
    return ready;
}

unsigned lane_poll(struct lane *lane)
{
    /* The bell polls readable until it was heard. */
    return is_on_memory(lane) ? lane_wait(lane, 0) : LANE_SOCKET;
}

int lane_receive(struct lane *lane, unsigned ready)
{
    if (lane->plain.fd < 0)
        return -ENOTCONN;
    if (!is_on_memory(lane))
        return ready & LANE_SOCKET ? plain_lane_receive(&lane->plain) : LANE_RECEIVED_ALL;
    if (memory_lane_has_more(&lane->memory))
        return LANE_HAS_MORE;
    if (lane->memory.bell_is_gone)
        return -ECONNRESET;
    /* Only now: what the daemon has said before it went still counts. */
    int error = ready & LANE_SOCKET ? plain_lane_check(&lane->plain) : 0;
    return error ? error : LANE_RECEIVED_ALL;
}

static int next_plain(struct lane *lane, struct lane_message *message, const char **fault)
{
    struct frame_message taken;
    int status = frame_reader_next(&lane->plain.in, &taken);
    if (status == FRAME_READER_NEEDS_MORE)
        return LANE_EMPTY;
    *message = (struct lane_message){.frame = taken.frame, .body = taken.body};
    if (status == FRAME_READER_FRAME && taken.payload) {
        message->data = data_new_adopting(taken.payload, taken.frame.payload_length);
        if (!message->data) {
            free(taken.payload);
            status = -ENOMEM;
        }
    }
    if (status == FRAME_READER_FRAME)
        return LANE_MESSAGE;
    *fault = status < 0 ? "no memory for its message" : frame_fault_text(status);
    return LANE_FAULT;
}

int lane_next(struct lane *lane, struct lane_message *message, const char **fault)
{
    return is_on_memory(lane) ? memory_lane_next(&lane->memory, message, fault) : next_plain(lane, message, fault);
}

void lane_done(struct lane *lane)
{
    if (is_on_memory(lane))
        memory_lane_done(&lane->memory, &lane->plain.out);
    else
        plain_lane_flush(&lane->plain);
}

bool lane_sleep(struct lane *lane)
{
    return !is_on_memory(lane) || memory_lane_sleep(&lane->memory, &lane->plain.out);
}

void lane_wake(struct lane *lane)
{
    if (is_on_memory(lane))
        memory_lane_wake(&lane->memory);
    else
        plain_lane_wake(&lane->plain);
}

void lane_give_back(struct lane *lane, struct data *data)
{
    if (data)
        memory_lane_give_back(&lane->memory, &lane->plain.out, data);
}

void lane_free_data(struct data *data)
{
    if (!data || !data->region) {
        data_free(data);
        return;
    }
    struct region *region = data->region;
    struct lane *lane = region->owner;
    pthread_mutex_t *mutex = region->mutex;
    pthread_mutex_lock(mutex);
    lane_give_back(lane, data);
    pthread_mutex_unlock(mutex);
}
