#include "client/joining.h"

#include "client/diagnostics.h"
#include "proto/errors.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int64_t joining_choose(enum oche_lane option, enum oche_lane *lane)
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
static int64_t take_memory(struct welcome *welcome, struct joined *joined)
{
    if (!welcome_is_complete(welcome)) {
        diagnostics_fail(0,
                         "cannot use the daemon's shared memory: its descriptors did not arrive, or its bell is none");
        return OCHE_ERR_DAEMON_UNAVAILABLE;
    }
    int64_t status = region_map(welcome->descriptors[WELCOME_MEMORY], &welcome->memory, &joined->memory.region);
    if (status < 0)
        return status;
    joined->memory.own_bell = welcome->descriptors[WELCOME_CLIENT_BELL];
    joined->memory.daemon_bell = welcome->descriptors[WELCOME_DAEMON_BELL];
    for (int i = 0; i < WELCOME_DESCRIPTORS; i++)
        welcome->descriptors[i] = -1;
    joined->on_memory = true;
    return 0;
}

static int64_t join(const struct opening *opening, const struct deadline *deadline, struct joined *joined,
                    bool *unusable)
{
    struct welcome welcome;
    int fd;
    *unusable = false;
    int64_t status = opening_run(opening, deadline, &fd, &welcome);
    if (status < 0)
        return status;
    *joined = (struct joined){
        .fd = fd,
        .queued_bytes_max = welcome.queued_bytes_max,
        .aborts = welcome.aborts,
        .has_token = welcome.has_token,
        .resumed = welcome.resumed,
        .answers_ping = welcome.answers_ping,
        .raw_options = welcome.raw_options,
    };
    memcpy(joined->token, welcome.token, sizeof joined->token);
    if (welcome.has_memory)
        status = take_memory(&welcome, joined);
    welcome_deinit(&welcome);
    if (status < 0) {
        close(fd);
        *unusable = true;
    }
    return status;
}

static int64_t insist(struct joined *joined, const char *socket_path)
{
    if (joined->on_memory)
        return 0;
    diagnostics_fail(0, "the daemon at %s has no shared memory to offer, and the plain lane is not wanted",
                     socket_path);
    close(joined->fd);
    return OCHE_ERR_DAEMON_UNAVAILABLE;
}

int64_t joining_run(const struct opening *opening, enum oche_lane lane, const struct deadline *deadline,
                    struct joined *joined)
{
    struct opening wish = *opening;
    bool unusable;
    wish.greeting.memory = lane != OCHE_LANE_PLAIN;
    int64_t status = join(&wish, deadline, joined, &unusable);
    if (unusable && lane == OCHE_LANE_AUTOMATIC) {
        diagnostics_say("taking the plain lane instead");
        diagnostics_clear();
        wish.greeting.memory = false;
        status = join(&wish, deadline, joined, &unusable);
    }
    if (status == 0 && lane == OCHE_LANE_MEMORY)
        status = insist(joined, opening->socket_path);
    if (status == 0)
        diagnostics_say("on the %s lane", joined->on_memory ? "memory" : "plain");
    return status;
}
