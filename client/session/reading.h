/*
 * What comes from one connection or datagram socket: data ahead of the application's reads, the end, and the credit.
 *
 * The daemon receives no more than it was granted. The first read grants a small window. Each time the application has
 * consumed half of the window it is filled up again, and doubles until it is at its largest: who reads on soon has much
 * under way, who reads slowly holds at most the window, and who never reads gets nothing.
 *
 * A state machine without input and output; the session's mutex is held.
 */
#ifndef OCHE_CLIENT_SESSION_READING_H
#define OCHE_CLIENT_SESSION_READING_H

#include "client/lane/data.h"

#include <oche/oche.h>
#include <stdbool.h>

enum {
    READING_WINDOW_FIRST = 16 * 1024, /* bytes */
    READING_WINDOW_LAST = 2 * 1024 * 1024,
};

/* All zero: nothing was read yet. */
struct reading {
    struct data_queue ahead;
    bool datagrams;    /* each of what comes is one, and begins with its source (ENDPOINT_SIZE bytes) */
    uint32_t request;  /* the read that waits, as pending_number(); 0: none. Then nothing is ahead */
    uint32_t window;   /* bytes that may be granted, under way or ahead; 0: no read was made yet */
    uint32_t credit;   /* granted, and not come yet */
    uint32_t consumed; /* by the application since the last grant */
    int32_t end;       /* the code that every further read gets; 0: the stream goes on */
    uint16_t end_error;
};

/* Frees what is ahead, without a word to the daemon. */
void reading_deinit(struct reading *reading);

/* How much to grant the daemon, now that the application wants to read; 0: nothing. */
uint32_t reading_due(const struct reading *reading);

/* What was due is granted. */
void reading_grant(struct reading *reading);

/* Data came. False: more than was granted, or after the end; but a datagram comes whole as long as anything is left of
 * what was granted. It still has to be delivered or queued. */
bool reading_come(struct reading *reading, uint32_t length);

/* The application gets data that came: the completion that says so, and owns it, without a request id yet. */
struct oche_completion reading_deliver(struct reading *reading, struct data *data);

/* The end came, with an OCHE_ERR_ code and an errno. False: it had come before. */
bool reading_finish(struct reading *reading, int32_t code, uint16_t os_error);

/* The application learns that the stream has ended, which it has. */
struct oche_completion reading_deliver_end(const struct reading *reading);

#endif
