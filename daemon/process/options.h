/*
 * The command line of oched.
 */
#ifndef OCHE_DAEMON_PROCESS_OPTIONS_H
#define OCHE_DAEMON_PROCESS_OPTIONS_H

#include "daemon/engine/engine.h"
#include "daemon/log/log.h"
#include "daemon/process/rendezvous.h"
#include "daemon/session/limits.h"
#include "daemon/socket/policy.h"

#include <stdbool.h>
#include <stdint.h>

struct options {
    const char *socket_path; /* NULL: the default of daemon/process/rendezvous.h */
    const char *log_path;    /* NULL: standard error in the foreground, SOCKET.log otherwise */
    uint64_t log_size;       /* bytes that the log's file may have; 0: any number */
    unsigned workers;
    enum engine_method method;
    unsigned idle_exit_s;        /* 0: stay for ever */
    unsigned drain_timeout_s;    /* how long writes may take to leave after SIGTERM */
    unsigned handover_timeout_s; /* how long a successor may take over what it is offered */
    enum log_level log_level;
    bool foreground;
    enum rendezvous_replace replace;
    int argument_count; /* of the command line, without a final "--" */
    struct limits limits;
    const char *user; /* whom to become; NULL: stay who we are */
    bool no_seccomp;
    struct policy policy;
};

/* 0: *options is filled. 1: what was asked for (--help, --version) is printed, leave with 0. 2: the command line is
 * wrong, and standard error says how; leave with 2. */
int options_parse(struct options *options, int argc, char **argv);

#endif
