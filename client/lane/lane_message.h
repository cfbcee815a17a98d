/*
 * What both lanes have in common: a frame that came from the daemon, and the words for when frames leave and what is
 * there to receive.
 */
#ifndef OCHE_CLIENT_LANE_LANE_MESSAGE_H
#define OCHE_CLIENT_LANE_LANE_MESSAGE_H

#include "client/lane/data.h"
#include "proto/frame.h"

struct lane_message {
    struct frame frame;  /* its payload offset is 0 and FRAME_IN_ARENA is off: see data */
    const uint8_t *body; /* frame.body_length bytes, private, valid until the next message */
    struct data *data;   /* the payload, for the taker to keep or give back; NULL if there is none */
};

/* When a frame shall leave. */
enum lane_urgency {
    LANE_AT_ONCE,        /* from this call, if the lane takes it */
    LANE_WITH_THE_BATCH, /* with what else is queued when the dispatcher comes by, which is woken */
};

/* What a round of receiving begins with, besides a negative errno: what there is now is all for now, or there may be
 * more after it. */
enum { LANE_RECEIVED_ALL = 0, LANE_HAS_MORE = 1 };

/* What the next message of a round may be. */
enum { LANE_EMPTY = 0, LANE_MESSAGE = 1, LANE_FAULT = 2 };

#endif
