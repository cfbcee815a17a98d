/*
 * What both lanes know of a session's lane: whom it serves, and how it is.
 */
#ifndef OCHE_DAEMON_LANE_LANE_STATE_H
#define OCHE_DAEMON_LANE_LANE_STATE_H

#include "daemon/lane/payload.h"
#include "daemon/lane/plain_lane.h"
#include "proto/frame.h"

struct memory_lane;

struct lane_message {
    struct frame frame;
    const uint8_t *body; /* private to us; valid until the user returns */
    struct payload payload;
};

enum lane_room_place {
    LANE_ROOM_NONE,  /* there is none */
    LANE_ROOM_NEXT,  /* where the next frame goes: nothing comes in between */
    LANE_ROOM_ARENA, /* taken of the arena */
    LANE_ROOM_OWN,   /* memory of its own, which is copied from */
};

/* Room for data that are to be received. */
struct lane_room {
    uint8_t *data;
    uint32_t size;
    uint32_t offset; /* in the arena */
    enum lane_room_place place;
};

struct lane_user {
    /* A frame came. message->payload is the user's to give back with lane_free_payload(), now or later. False: do not
     * go on (the lane was closed). */
    bool (*frame)(void *owner, struct lane_message *message);
    /* The lane was congested and is not any more. */
    void (*relieved)(void *owner);
    /* The client is gone (why is NULL), what came is no frame, or, with an os_error, it could not be taken for want of
     * memory. The user closes the lane. */
    void (*broken)(void *owner, const char *why, int os_error);
    /* After lane_close(), at the end of the turn. */
    void (*closed)(void *owner);
};

struct lane {
    struct plain_lane plain;
    struct memory_lane *memory; /* NULL: the session is on the plain lane */
    struct engine *engine;
    struct time_slice *slice; /* whose time frames take */
    const struct lane_user *user;
    void *owner;
    struct frame last; /* the header that came last, for the log */
    bool congested;    /* somebody was refused room and waits for `relieved` */
    bool unheard;      /* the client is gone: what is put is dropped */
    bool closed;
};

#endif
