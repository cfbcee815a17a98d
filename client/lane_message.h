/*
 * A frame that came from the daemon, whatever lane it took.
 */
#ifndef OCHE_CLIENT_LANE_MESSAGE_H
#define OCHE_CLIENT_LANE_MESSAGE_H

#include "client/data.h"
#include "proto/frame.h"

struct lane_message {
    struct frame frame;  /* its payload offset is 0 and FRAME_IN_ARENA is off: see data */
    const uint8_t *body; /* frame.body_length bytes, private, valid until the next message */
    struct data *data;   /* the payload, for the taker to keep or give back; NULL if there is none */
};

/* What the next message may be. */
enum { LANE_EMPTY = 0, LANE_MESSAGE = 1, LANE_FAULT = 2 };

#endif
