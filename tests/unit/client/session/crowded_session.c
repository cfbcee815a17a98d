#include "tests/unit/client/session/crowded_session.h"

#include "client/session/lifecycle.h"
#include "client/session/operations.h"
#include "client/session/public_handle.h"
#include "client/session/session.h"
#include "client/session/sessions.h"
#include "proto/arena.h"
#include "proto/handle.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RING = 64 * 1024, ARENA = 8 * ARENA_BLOCK };

static const struct memory_sizes sizes = {RING, RING, ARENA, ARENA};

struct daemon {
    int socket, bell;
    struct ring_consumer requests;
};

static int attach(struct oche_session *session, struct daemon *daemon, uint8_t *base, int memory_fd)
{
    struct lane_memory memory;
    struct memory_map map;
    int sockets[2], bell[2];
    memory_map_init(&map, base, &sizes);
    ring_consumer_init(&daemon->requests, map.request_control, map.request_ring, sizes.request_ring);
    if (region_map(memory_fd, &sizes, &memory.region) < 0 || pipe2(bell, O_CLOEXEC | O_NONBLOCK) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sockets) < 0)
        return -1;
    memory.mutex = &session->mutex;
    memory.own_bell = bell[0];
    memory.daemon_bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    daemon->bell = bell[1];
    daemon->socket = sockets[0];
    return lane_attach(&session->lane, sockets[1], &memory);
}

/* Data that the dispatcher has taken from the lane, and that waits to be read. */
static void put_ahead(struct oche_session *session, struct handle_entry *entry, uint32_t block)
{
    struct memory_lane *lane = &session->lane.memory;
    uint8_t *bytes = region_block(lane->region, REGION_RECEIVE, block);
    lane->held[block]++;
    lane->held_blocks++;
    data_queue_push(&entry->reading.ahead, data_new_in_region(lane->region, bytes, block * ARENA_BLOCK, 5000));
}

static void fill_ring(struct memory_lane *lane)
{
    const uint32_t frame = RING_RECORD_PREFIX + FRAME_HEADER_SIZE;
    while (lane->requests.head + 2 * frame <= RING) {
        struct frame filler = {.opcode = FRAME_STATISTICS};
        frame_encode(&filler, ring_reserve(&lane->requests, FRAME_HEADER_SIZE));
        ring_commit(&lane->requests, FRAME_HEADER_SIZE);
    }
}

static int last_opcode(struct daemon *daemon)
{
    const uint8_t *record;
    uint32_t size;
    struct frame frame = {0};
    while (ring_next(&daemon->requests, &record, &size) == RING_RECORD)
        frame_decode(&frame, record);
    return frame.opcode;
}

int crowded_session_close(unsigned payloads)
{
    struct daemon daemon;
    int fd = memfd_create("oche-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (ftruncate(fd, (off_t)memory_total(&sizes)) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
        return -1;
    uint8_t *base = mmap(NULL, memory_total(&sizes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    struct oche_session *session = sessions_take();
    if (base == MAP_FAILED || !session || lane_init(&session->lane) < 0 || attach(session, &daemon, base, fd) < 0)
        return -1;

    session_lock(session);
    const int64_t handle = handle_make(1, 1);
    session->tag = public_tag_make(session->index, session->generation);
    session->state = SESSION_OPEN;
    struct handle_entry *entry = handles_add(&session->handles, handle, HANDLE_CONNECTION);
    for (unsigned i = 0; i < payloads; i++)
        put_ahead(session, entry, i);
    fill_ring(&session->lane.memory);
    int64_t status = operation_close(session, 1, session->tag | handle);
    int opcode = last_opcode(&daemon);
    session_unlock(session);

    lifecycle_end(session);
    lifecycle_free(session);
    munmap(base, memory_total(&sizes));
    close(daemon.socket);
    close(daemon.bell);
    return status == 0 ? opcode : -1;
}
