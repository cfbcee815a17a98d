/*
 * The memory lane takes one more step than the plain one: mapping what the daemon has sent. If that fails the daemon,
 * for whom the session is on the memory lane already, cannot be talked to any more, so the fallback is a second
 * connection that asks for the plain lane.
 */
#include "client/connect/lane_select.h"

#include "client/os/diagnostics.h"
#include "proto/errors.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int64_t lane_select_wish(enum oche_lane option, enum oche_lane *lane)
{
    const char *wish = getenv("OCHE_LANE");
    *lane = option;
    switch (option) {
    case OCHE_LANE_PLAIN:
    case OCHE_LANE_MEMORY:
        return 0;
    case OCHE_LANE_AUTOMATIC:
        break;
    default:
        diagnostics_fail(0, "there is no lane %d", (int)option);
        return OCHE_ERR_INVALID_ARGUMENT;
    }
    if (!wish || !*wish)
        return 0;
    if (strcmp(wish, "plain") == 0) {
        *lane = OCHE_LANE_PLAIN;
    } else if (strcmp(wish, "memory") == 0) {
        *lane = OCHE_LANE_MEMORY;
    } else {
        diagnostics_fail(0, "OCHE_LANE is \"%s\"; it can be plain or memory, or empty", wish);
        return OCHE_ERR_INVALID_ARGUMENT;
    }
    return 0;
}

/* Makes what the daemon gives for the memory lane ready for use. */
static int64_t take_memory(struct welcome *welcome, struct lane_selection *selection)
{
    if (!welcome_is_complete(welcome)) {
        diagnostics_fail(0,
                         "cannot use the daemon's shared memory: its descriptors did not arrive, or its bell is none");
        return OCHE_ERR_DAEMON_UNAVAILABLE;
    }
    int64_t status = region_map(welcome->descriptors[WELCOME_MEMORY], &welcome->memory, &selection->memory.region);
    if (status < 0)
        return status;
    selection->memory.own_bell = welcome->descriptors[WELCOME_CLIENT_BELL];
    selection->memory.daemon_bell = welcome->descriptors[WELCOME_DAEMON_BELL];
    for (int i = 0; i < WELCOME_DESCRIPTORS; i++)
        welcome->descriptors[i] = -1;
    selection->on_memory = true;
    return 0;
}

static int64_t connect_on_lane(const struct daemon_connect *connect, const struct deadline *deadline,
                               struct lane_selection *selection, bool *unusable)
{
    struct welcome welcome;
    int fd;
    *unusable = false;
    int64_t status = daemon_connect_run(connect, deadline, &fd, &welcome);
    if (status < 0)
        return status;
    *selection = (struct lane_selection){
        .fd = fd,
        .queued_bytes_max = welcome.queued_bytes_max,
        .has_token = welcome.has_token,
        .resumed = welcome.resumed,
    };
    memcpy(selection->token, welcome.token, sizeof selection->token);
    if (welcome.has_memory)
        status = take_memory(&welcome, selection);
    welcome_deinit(&welcome);
    if (status < 0) {
        close(fd);
        *unusable = true;
    }
    return status;
}

static int64_t insist(struct lane_selection *selection, const char *socket_path)
{
    if (selection->on_memory)
        return 0;
    diagnostics_fail(0, "the daemon at %s has no shared memory to offer, and the plain lane is not wanted",
                     socket_path);
    close(selection->fd);
    return OCHE_ERR_DAEMON_UNAVAILABLE;
}

int64_t lane_select_run(const struct daemon_connect *connect, enum oche_lane lane, const struct deadline *deadline,
                        struct lane_selection *selection)
{
    struct daemon_connect wish = *connect;
    bool unusable;
    wish.hello.memory = lane != OCHE_LANE_PLAIN;
    int64_t status = connect_on_lane(&wish, deadline, selection, &unusable);
    if (unusable && lane == OCHE_LANE_AUTOMATIC) {
        diagnostics_say("taking the plain lane instead");
        diagnostics_clear();
        wish.hello.memory = false;
        status = connect_on_lane(&wish, deadline, selection, &unusable);
    }
    if (status == 0 && lane == OCHE_LANE_MEMORY)
        status = insist(selection, connect->socket_path);
    if (status == 0)
        diagnostics_say("on the %s lane", selection->on_memory ? "memory" : "plain");
    return status;
}
