/*
 * Joining a daemon: a connection to it (opening.h), and the choice of the lane.
 */
#ifndef OCHE_CLIENT_JOINING_H
#define OCHE_CLIENT_JOINING_H

#include "client/lane.h"
#include "client/opening.h"

#include <oche/oche.h>

struct joined {
    int fd; /* a connected and non-blocking socket */
    uint64_t queued_bytes_max;
    bool aborts, answers_ping, raw_options, has_token, resumed; /* as in struct welcome */
    uint8_t token[HANDOVER_TOKEN_SIZE];
    bool on_memory;
    struct lane_memory memory; /* if on_memory; the region without its mutex and lane */
};

/* What the session's option, or else the environment, says. 0 and *lane, or OCHE_ERR_INVALID_ARGUMENT, whose reason is
 * in the diagnostics. */
int64_t joining_choose(enum oche_lane option, enum oche_lane *lane);

/* 0 and *joined, all of which is the caller's; or a negative OCHE_ERR_ code, whose reason is in the diagnostics;
 * OCHE_ERR_CLOSED: cancelled. Without a choice it is the memory lane, and the plain lane where that does not work. */
int64_t joining_run(const struct opening *opening, enum oche_lane lane, const struct deadline *deadline,
                    struct joined *joined);

#endif
