/*
 * How the rings of the engine are made.
 *
 * The system carries out what a ring was given in io_uring_enter(2) alone, and for the thread of the loop alone
 * (IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_SINGLE_ISSUER; Linux 6.1): so completions come when the loop asks for them,
 * and cost no interrupts of other work.
 *
 * The kernel does not filter what goes through a ring as it filters system calls (seccomp(2)): whoever takes the daemon
 * over could open files by it. So a ring is made disabled, is restricted to the operations that the engine uses,
 * without any flags (IORING_REGISTER_RESTRICTIONS), and is then enabled, after which nothing can be registered with it
 * any more.
 */
#include "daemon/engine/restricted_ring.h"

#include <errno.h>
#include <liburing.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    SUBMISSIONS = 256, /* that can be collected */
    COMPLETIONS = 4096,
};

static const uint8_t operations[] = {
    IORING_OP_NOP, IORING_OP_POLL_ADD, IORING_OP_POLL_REMOVE, IORING_OP_RECV, IORING_OP_SEND, IORING_OP_SENDMSG,
};

enum { OPERATIONS = sizeof operations / sizeof operations[0] };

/* As io_uring_register(2). Debian's liburing 2.3 does not export its functions for restrictions and enabling. */
static int register_with(const struct io_uring *ring, unsigned operation, void *argument, unsigned count)
{
    return syscall(SYS_io_uring_register, ring->ring_fd, operation, argument, count) < 0 ? -errno : 0;
}

static int restrict_ring(const struct io_uring *ring)
{
    struct io_uring_restriction restrictions[OPERATIONS + 1] = {{0}};
    for (int i = 0; i < OPERATIONS; i++) {
        restrictions[i].opcode = IORING_RESTRICTION_SQE_OP;
        restrictions[i].sqe_op = operations[i];
    }
    restrictions[OPERATIONS].opcode = IORING_RESTRICTION_REGISTER_OP;
    restrictions[OPERATIONS].register_op = IORING_REGISTER_ENABLE_RINGS;
    return register_with(ring, IORING_REGISTER_RESTRICTIONS, restrictions, OPERATIONS + 1);
}

int restricted_ring_open(struct io_uring *ring)
{
    /* Of all that was submitted with one call, what fails does not keep back the rest (IORING_SETUP_SUBMIT_ALL). */
    struct io_uring_params parameters = {
        .flags = IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = COMPLETIONS,
    };
    int r = io_uring_queue_init_params(SUBMISSIONS, ring, &parameters);
    if (r < 0)
        return r;
    r = restrict_ring(ring);
    if (r < 0)
        io_uring_queue_exit(ring);
    return r;
}

int restricted_ring_enable(const struct io_uring *ring)
{
    return register_with(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}
