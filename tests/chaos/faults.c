/*
 * What //tests/chaos:oched_with_faults has more than oched: on SIGUSR1 it arms itself, and some calls later it aborts,
 * in the middle of its work. The value that comes with the signal (sigqueue) says where and when: the remainder modulo
 * FAULT_PLACES is the place, the quotient how many calls at that place are still let through.
 *
 * The linker puts these functions in front of the daemon's (--wrap), so the daemon's own code is the product's.
 */
#include "tests/chaos/faults.h"
#include "daemon/lane/lane.h"
#include "daemon/operations/operations.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

static atomic_int armed_place = -1;
static atomic_int calls_left;

static void arm(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    atomic_store(&calls_left, info->si_value.sival_int / FAULT_PLACES);
    atomic_store(&armed_place, info->si_value.sival_int % FAULT_PLACES);
}

__attribute__((constructor)) static void listen_for_signal(void)
{
    struct sigaction action = {.sa_sigaction = arm, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
}

static void pass(enum fault_place place)
{
    if (atomic_load(&armed_place) == (int)place && atomic_fetch_sub(&calls_left, 1) <= 0)
        abort();
}

void __real_operations_handle(struct session *session, struct lane_message *message);
void __wrap_operations_handle(struct session *session, struct lane_message *message);
int __real_lane_put(struct lane *lane, const struct frame *frame, const void *body, const void *payload);
int __wrap_lane_put(struct lane *lane, const struct frame *frame, const void *body, const void *payload);
int __real_lane_commit(struct lane *lane, struct lane_room *room, struct frame *frame);
int __wrap_lane_commit(struct lane *lane, struct lane_room *room, struct frame *frame);

void __wrap_operations_handle(struct session *session, struct lane_message *message)
{
    pass(FAULT_FRAME_TAKEN);
    __real_operations_handle(session, message);
    pass(FAULT_FRAME_HANDLED);
}

int __wrap_lane_put(struct lane *lane, const struct frame *frame, const void *body, const void *payload)
{
    int r = __real_lane_put(lane, frame, body, payload);
    pass(FAULT_REPLY_QUEUED);
    return r;
}

int __wrap_lane_commit(struct lane *lane, struct lane_room *room, struct frame *frame)
{
    pass(FAULT_DATA_RECEIVED);
    int r = __real_lane_commit(lane, room, frame);
    pass(FAULT_DATA_QUEUED);
    return r;
}
