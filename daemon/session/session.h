/*
 * A session: one client, its lane, its sockets and what it may still use. Lives in one worker.
 *
 * There are two ways to say no. A request that cannot be served is answered with an error, and the session goes on.
 * A frame that no correct client sends ends the session, with one line in the log.
 */
#ifndef OCHE_DAEMON_SESSION_SESSION_H
#define OCHE_DAEMON_SESSION_SESSION_H

#include "daemon/engine/list.h"
#include "daemon/lane/lane.h"
#include "daemon/session/account.h"
#include "daemon/session/credentials.h"
#include "daemon/session/socket_table.h"
#include "proto/frame.h"
#include "proto/handover.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <sys/types.h>

struct handover_items;
struct session_host;
struct tenant;

enum session_state {
    SESSION_GREETING, /* connected, HELLO has not come */
    SESSION_OPEN,
    SESSION_DRAINING,  /* the daemon leaves: writes are finished, nothing new is begun */
    SESSION_LINGERING, /* the client is gone, and some of its connections linger */
    SESSION_ENDED,     /* freed at the end of the turn */
};

/* Who has connected. */
struct session_client {
    uint64_t number; /* of the session, for the log */
    pid_t pid;       /* when it connected */
    char pid_text[CREDENTIALS_PID_SIZE];
    struct account *account; /* of its user; a session of it is taken, unless the client is refused */
    const char *refusal;     /* why it will be refused, when it has said HELLO; NULL: it will not */
    int refusal_code;        /* the code of enum oche_error that goes with the refusal */
};

struct session {
    struct list node; /* in host->sessions */
    struct session_host *host;
    uint64_t number; /* for the log */
    pid_t pid;       /* of the client, when it connected */
    char pid_text[CREDENTIALS_PID_SIZE];
    struct account *account;
    const char *refusal; /* as in struct session_client */
    int refusal_code;
    enum session_state state;
    bool follows;                       /* the client goes on with its listeners at a successor, */
    uint8_t token[HANDOVER_TOKEN_SIZE]; /* if it names this */
    struct tenant *tenant;
    struct lane lane;
    struct engine_timer timer; /* of the greeting */
    struct socket_table sockets;
    struct list requests;         /* that are held; see daemon/session/request.h */
    size_t queued_bytes;          /* of writes that are not answered yet */
    int64_t arena_bytes;          /* taken of the account */
    struct list waiting_for_room; /* sockets that found the lane congested */
    struct list lingering;        /* sockets that have no handle any more; see daemon/socket/connection.h */

    /* A write that comes in several frames (FRAME_MORE). */
    struct {
        bool open;         /* the next frame must continue it */
        bool refused;      /* the frames to come are dropped, and the last one is answered with … */
        int16_t code;      /* … this, */
        uint16_t os_error; /* and this */
        int64_t request_id;
        int64_t handle;
        int64_t total; /* bytes so far */
    } long_write;
};

/* Takes over `fd`. NULL: out of memory, and the descriptor stays the caller's. */
struct session *session_new(struct session_host *host, int fd, const struct session_client *client);

/* The session is refused something: counted, and told in the log when a burst of refusals begins. `limit` is the one
 * that was met. Returns the code with which to answer. */
int session_refuse(struct session *session, enum account_quota what, int64_t limit);
int session_refuse_turn(struct session *session, enum account_rate what);

/* Ends the session and closes its sockets, with one line in the log; `why` is for a person. Freed at the end of the
 * turn. Idempotent. */
void session_end(struct session *session, const char *why, int os_error);

/* A socket lingers no more: if the client is gone, the session may end. */
void session_linger_less(struct session *session);

/* Like session_end(), for a frame that no correct client sends. */
void session_end_malformed(struct session *session, const struct frame *frame, const char *why);

/* Like session_end(), for a client that is not let in. */
void session_end_refused(struct session *session, const char *why);

/* Handover: puts the sockets that a successor can go on with into the items, and goes on with them until it is settled
 * who has them. 0 or a negative errno. */
int session_offer(const struct session *session, struct handover_items *items);

/* The successor has not taken them. */
void session_keep(struct session *session);

/* The successor has taken them: tells the client, if it follows. session_drain() does the rest. */
void session_give(struct session *session);

/* Begins to finish what was asked for; session_is_drained() says when that is done. */
void session_drain(struct session *session);
bool session_is_drained(const struct session *session);

/* Sends a reply to the client. When memory for it is short the session ends: a client must not wait for ever. Answers
 * to requests are sent by request_complete(). */
void session_reply(struct session *session, const struct frame *frame, const void *body, const void *payload);
void session_reply_message(struct session *session, const struct frame *request, int64_t value,
                           const ProtobufCMessage *message);

/* The frame that answers `request` with `message`, which is packed into `body`. */
struct frame session_pack_reply(const struct frame *request, int64_t value, const ProtobufCMessage *message,
                                uint8_t body[FRAME_BODY_MAX]);

#endif
