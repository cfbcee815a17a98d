/*
 * Requests that make sockets. They return what the public function of the same name (oche.h) returns, and are called
 * with the session's mutex held.
 */
#ifndef OCHE_CLIENT_SESSION_OPENING_H
#define OCHE_CLIENT_SESSION_OPENING_H

#include <oche/oche.h>

int64_t opening_connect(struct oche_session *session, int64_t request_id, const struct oche_connect_options *options);
int64_t opening_listen(struct oche_session *session, int64_t request_id, const struct oche_listen_options *options);
int64_t opening_datagram(struct oche_session *session, int64_t request_id, const struct oche_datagram_options *options);

#endif
