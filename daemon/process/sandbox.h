/*
 * What the daemon gives up, so that whoever takes it over gets little: new privileges, capabilities, core files, and
 * the system calls that it has no use for.
 */
#ifndef OCHE_DAEMON_PROCESS_SANDBOX_H
#define OCHE_DAEMON_PROCESS_SANDBOX_H

#include <stdbool.h>

/* What could not be had, as errno values; 0: it is in force. */
struct sandbox {
    int no_new_privileges;
    int core_files;
    int capabilities;
    int files;
    int filter;
};

/* Gives up all capabilities of this thread, in every set and for good, but the one to bind ports below 1024 where it is
 * there. 0 or -errno. */
int sandbox_drop_capabilities(void);

/* A program that this thread executes gets the capabilities that it has itself; without this, that is so for root
 * alone. */
void sandbox_pass_on_capabilities(void);

/* Everything but files and the filter. These are properties of threads, which new threads inherit: call it while there
 * is one. */
void sandbox_begin(struct sandbox *sandbox);

/* From now on there are only the files beside the socket and the log (NULL: none), see daemon/process/sandbox_files.h.
 * While there is one thread. */
void sandbox_leave_files(struct sandbox *sandbox, const char *socket_path, const char *log_path);

/* From now on every thread of the process has the system calls that a daemon needs that has started, and EPERM for all
 * others. Files can be renamed `in_territory` alone, see daemon/process/sandbox_files.h: where nothing else bounds
 * renaming, the filter denies it. `with_rings`: of io_uring(7), those that are made already go on. 0 or -errno;
 * -ENOTSUP under sanitizers, which need more. */
int sandbox_filter(bool in_territory, bool with_rings);

/* The filter, unless it is not `wanted`, and a line in the log that says what is in force. A system that cannot do it
 * is no reason not to serve. */
void sandbox_finish(struct sandbox *sandbox, bool wanted, bool with_rings);

#endif
