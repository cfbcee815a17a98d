/*
 * What the daemon answers, checked against what was asked.
 *
 * The client trusts the daemon with its bytes, but not with its memory: a reply that does not fit
 * its request, by its kind, its lengths or its numbers, is a fault, and the session is given up.
 */
#ifndef OCHE_CLIENT_SESSION_REPLIES_H
#define OCHE_CLIENT_SESSION_REPLIES_H

#include "client/lane/lane_message.h"

struct oche_session;

/* Completes the request that the frame answers, or the read that the data is for. Takes message->data over. NULL, or
 * what is wrong with the frame, for a trace. The session's mutex is held. */
const char *replies_take(struct oche_session *session, struct lane_message *message);

#endif
