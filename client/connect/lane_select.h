/*
 * Which lane a session takes: the one that the application or the environment names, else the memory lane, and the
 * plain lane where the daemon or this system cannot offer shared memory. The choice is made while connecting
 * (daemon_connect.h), for the daemon learns of it with the first frame.
 */
#ifndef OCHE_CLIENT_CONNECT_LANE_SELECT_H
#define OCHE_CLIENT_CONNECT_LANE_SELECT_H

#include "client/connect/daemon_connect.h"
#include "client/lane/lane.h"

#include <oche/oche.h>

struct lane_selection {
    int fd; /* a connected and non-blocking socket */
    uint64_t queued_bytes_max;
    bool has_token, resumed; /* as in struct welcome */
    uint8_t token[HANDOVER_TOKEN_SIZE];
    bool on_memory;
    struct lane_memory memory; /* if on_memory, but for the mutex */
};

/* What the session's option, or else the environment, says. 0 and *lane, or OCHE_ERR_INVALID_ARGUMENT, whose reason is
 * in the diagnostics. */
int64_t lane_select_wish(enum oche_lane option, enum oche_lane *lane);

/* 0 and *selection, all of which is the caller's; or a negative OCHE_ERR_ code, whose reason is in the diagnostics;
 * OCHE_ERR_CLOSED: cancelled. Without a choice it is the memory lane, and the plain lane where that does not work. */
int64_t lane_select_run(const struct daemon_connect *connect, enum oche_lane lane, const struct deadline *deadline,
                        struct lane_selection *selection);

#endif
