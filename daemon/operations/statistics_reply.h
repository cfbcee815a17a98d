/*
 * What the daemon tells about itself and about the account of who asks.
 */
#ifndef OCHE_DAEMON_OPERATIONS_STATISTICS_REPLY_H
#define OCHE_DAEMON_OPERATIONS_STATISTICS_REPLY_H

struct frame;
struct session;

/* Answers a STATISTICS. */
void statistics_reply(struct session *session, const struct frame *request);

#endif
