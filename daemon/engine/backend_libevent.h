/*
 * The backends on libevent, which make completions of readiness.
 */
#ifndef OCHE_DAEMON_ENGINE_BACKEND_LIBEVENT_H
#define OCHE_DAEMON_ENGINE_BACKEND_LIBEVENT_H

struct engine_backend;

extern const struct engine_backend backend_libevent_epoll;
extern const struct engine_backend backend_libevent_select;

#endif
