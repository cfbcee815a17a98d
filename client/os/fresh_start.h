/*
 * What a daemon must not inherit from the program that happens to be the first one to need it, because it will serve
 * all others of the user too: limits, priorities and the like.
 */
#ifndef OCHE_CLIENT_OS_FRESH_START_H
#define OCHE_CLIENT_OS_FRESH_START_H

/* Gives the calling process the defaults of a login as far as it has the right to: resource limits at their hard
 * limits (with CAP_SYS_RESOURCE, without those), nice value, scheduling policy, input and output priority, processor
 * affinity, memory policy, timer slack, OOM score, personality. To be called between clone(2) and execve(2):
 * calls nothing but the system. What it cannot reset, it leaves. */
void fresh_start(void);

#endif
