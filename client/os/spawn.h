/*
 * A process that runs one program and says how it ended, invisible to the host process: no SIGCHLD, and nothing that
 * waitpid(-1) would find.
 */
#ifndef OCHE_CLIENT_OS_SPAWN_H
#define OCHE_CLIENT_OS_SPAWN_H

#include <sys/types.h>

struct spawn {
    pid_t pid;
    int report_fd; /* an errno comes as an int if the program could not be executed; end of file
                      when it has ended */
    int stderr_fd; /* what the program writes to its standard error; non-blocking */
};

/* Runs `argv[0]`, an absolute path, with nothing open but standard streams, default signals and /
 * as its directory. Returns 0 or a negative errno. */
int spawn_start(struct spawn *spawn, char *const argv[], char *const envp[]);

/* Ends what still runs, reaps and frees. Returns the exit status of the program, 128 + the signal
 * that killed it, or -1 if it was lost. Does not block once report_fd is at its end. */
int spawn_finish(struct spawn *spawn);

#endif
