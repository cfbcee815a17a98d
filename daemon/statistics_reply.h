/*
 * What the daemon tells about itself and about the account of who asks.
 */
#ifndef OCHE_DAEMON_REPORT_H
#define OCHE_DAEMON_REPORT_H

struct frame;
struct session;

/* Answers a STATISTICS. */
void report_statistics(struct session *session, const struct frame *request);

#endif
