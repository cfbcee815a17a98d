/*
 * Handing over: what a daemon and its successor say to each other, and what clients hear of it.
 *
 * The successor connects as clients do. All frames are HANDOVER frames, without a body:
 *
 *     successor  HANDOVER_ASK in value, as the first frame of the connection, and as payload the key
 *     daemon     HANDOVER_DOOR in value, how many listeners follow in handle, and 1 in request id if the socket file is
 *                the daemon's to remove, with device and inode of that file, each of eight bytes, as payload; with the
 *                listening socket, and the lock if it has one
 *     daemon     for each listener: HANDOVER_LISTENER in value, its handle, and as payload the token of its session;
 *                with the listener
 *     successor  HANDOVER_TAKE: it has all, and is ready to serve
 *     daemon     HANDOVER_YOURS: it accepts nothing any more. Or HANDOVER_KEPT, which may come earlier too: it serves
 *                on, and the successor must leave all as it is; with EACCES in os error if the key was wrong or missing
 *
 * The key is HANDOVER_KEY_SIZE random bytes, which only a successor that the daemon or its operator has started can
 * know. The daemon puts them, as hexadecimal digits, into the environment of a successor that it starts itself
 * (OCHE_HANDOVER_KEY), and into the file SOCKET.key, mode 0600, if it has a lock file. So a program that is confined to
 * the socket cannot take the listeners of others.
 *
 * Descriptors come with the first byte of their frame (SCM_RIGHTS). A connection that ends before HANDOVER_TAKE leaves
 * everything with the daemon. When it ends after HANDOVER_TAKE without an answer the daemon has died, and the successor
 * is the heir: a daemon that is alive answers.
 *
 * Then the daemon sends each client that follows a HANDOVER frame with HANDOVER_YOURS. It is the last one of the
 * session that matters: what the client has asked for and has not been answered was not done, but for writes, which may
 * still leave, and connects, which may have begun and are given up.
 *
 * The successor's Welcome says whether it knows the session. Behind it comes a HANDOVER frame with HANDOVER_LOST and
 * the handle for each listener that it could not open: the handle is none any more.
 */
#ifndef OCHE_PROTO_HANDOVER_H
#define OCHE_PROTO_HANDOVER_H

enum handover_word {
    HANDOVER_ASK = 1,
    HANDOVER_DOOR,
    HANDOVER_LISTENER,
    HANDOVER_TAKE,
    HANDOVER_YOURS,
    HANDOVER_KEPT,
    HANDOVER_LOST,
};

enum {
    HANDOVER_KEY_SIZE = 16,      /* bytes */
    HANDOVER_TOKEN_SIZE = 16,    /* bytes */
    HANDOVER_TIME_LIMIT = 5000,  /* milliseconds for the conversation, unless the daemon is told otherwise */
    HANDOVER_CLAIM_LIMIT = 10000 /* milliseconds for clients to claim their listeners */
};

#endif
