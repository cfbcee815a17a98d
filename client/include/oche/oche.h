/*
 * oche.h: the client of the oche daemon, without callbacks and without Dart.
 *
 * A session is a conversation with the daemon. Requests are queued, and their completions are pulled:
 *
 *     oche_session *session;
 *     if (oche_session_open(NULL, &session) < 0)
 *         errx(1, "%s", oche_last_error());
 *     oche_connect(session, 1, &(struct oche_connect_options){.address = loopback, .address_length = 4, .port = 80});
 *     for (;;) {
 *         struct pollfd pollfd = {.fd = oche_session_get_fd(session), .events = POLLIN};
 *         poll(&pollfd, 1, -1);
 *         int64_t status = oche_session_dispatch(session);
 *         struct oche_completion completion;
 *         while (oche_session_pop(session, &completion))
 *             handle(&completion);
 *         if (status < 0)
 *             break;
 *     }
 *
 * Requests return 0 and complete exactly once, or return a negative TCP_ERR_ code (tcp_socket.h) and do not complete.
 * The meaning of each request and its results are those of the tcp_ function of the same name in tcp_socket.h.
 *
 * Threads: requests, getters and oche_session_get_fd may be called from any thread at any time. Dispatch, pop and
 * reopen are for one thread at a time. oche_session_close ends all other use: nobody may be in a call, or call again.
 * None of these functions blocks unless its comment says for how long.
 *
 * oche changes no signal disposition, opens every descriptor with close-on-exec, leaves no child to be waited for,
 * and prints nothing, unless the environment says OCHE_LOG=1 (then it tells on stderr how it finds and starts the
 * daemon).
 */
#ifndef OCHE_OCHE_H
#define OCHE_OCHE_H

#include <oche/tcp_socket.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* For example "0.1.0". Static storage. */
const char *oche_version(void);

/* "TCP_ERR_CLOSED" for -9, "TCP_ERR_UNKNOWN" for a number that is no code; and a sentence for people. Static. */
const char *oche_error_name(int64_t code);
const char *oche_error_text(int64_t code);

/* Why the last tcp_init, oche_session_open or oche_session_reopen of this thread failed, in one line: what was tried
 * and what the system said. "" if none failed. Valid until the thread's next call of one of these. */
const char *oche_last_error(void);

typedef struct oche_session oche_session;

/*
 * How a session talks to the daemon. On the memory lane requests and data go through memory that both share; on the
 * plain lane through a Unix-domain socket, which is slower, and works where the system has no memfd or eventfd. Nothing
 * else differs.
 */
enum oche_lane {
    OCHE_LANE_AUTOMATIC =
        0, /* as $OCHE_LANE says, "plain" or "memory"; else memory, or plain where that does not work */
    OCHE_LANE_PLAIN = 1,
    OCHE_LANE_MEMORY = 2, /* or no session */
};

/* Everything 0 or NULL means: the default. */
struct oche_session_options {
    /* $OCHE_SOCKET, else $XDG_RUNTIME_DIR/oche/oched.sock if that directory is the user's, else
     * /tmp/oche-UID/oched.sock; in a network namespace of its own, oched-N.sock there. */
    const char *socket_path;
    const char *daemon_path; /* $OCHE_DAEMON, else `oched` beside the library, else `oched` from PATH */
    bool never_start;        /* true: do not start a daemon when nobody serves */
    bool quiet_writes;       /* true: a write with a request id of 0 or less completes only if it fails */
    enum oche_lane lane;
    uint32_t arena_size; /* bytes of shared memory wished for, in each direction; rounded up to 256 KiB. 0: as the
                            daemon has it */
};

/*
 * Opens a session; starts the daemon if need be. `options` may be NULL. Blocks for five seconds at most.
 * 0 and *session, which is closed with oche_session_close; or TCP_ERR_DAEMON_UNAVAILABLE (also: no memory lane, which
 * was insisted on), TCP_ERR_PROTOCOL, TCP_ERR_QUOTA, TCP_ERR_OUT_OF_MEMORY, TCP_ERR_INVALID_ARGUMENT (there is no such
 * lane), and *session is NULL.
 */
int64_t oche_session_open(const struct oche_session_options *options, oche_session **session);

/* Ends the session: the daemon closes its sockets. What was pending is dropped without a completion, completions that
 * were not popped are freed. NULL is fine. */
void oche_session_close(oche_session *session);

/* A descriptor that polls readable when oche_session_dispatch has something to do. It stays the session's, and is the
 * same for the session's whole life. Before you wait for it, pop until there is nothing left: a read that finds its
 * data here completes at once, and makes the descriptor readable only if oche_session_pop had nothing more to give. */
int oche_session_get_fd(const oche_session *session);

/*
 * Moves bytes: sends what is queued, receives what has come. Does not block. 0, or TCP_ERR_DAEMON_LOST: then
 * everything that was pending has completed with that code, all handles are gone, and every request is refused with
 * that code until oche_session_reopen succeeds.
 *
 * When the daemon has handed over to a successor (oched --replace), this goes on with that one: listeners and what is
 * pending on them stay, and so do pending requests for new connections and listeners. Everything else completes with
 * TCP_ERR_DAEMON_LOST, and the handles of connections are gone. So is a listener that the successor may not have, by
 * its options or the system's limits, with what is pending on it. It waits for the successor's greeting then, for five
 * seconds at most.
 */
int64_t oche_session_dispatch(oche_session *session);

/* Opens a lost session anew, with the same options. Blocks for five seconds at most. Results as for
 * oche_session_open; 0 at once if the session is not lost. */
int64_t oche_session_reopen(oche_session *session);

struct oche_completion {
    int64_t request_id;
    int64_t result;   /* what the tcp_ function of the request completes with */
    uint8_t *data;    /* `result` bytes of a successful read; else NULL */
    void *data_owner; /* pass it to oche_data_free() when done with `data`, from any thread, exactly once; else NULL */
    int32_t os_error; /* errno of a failure, in the daemon's system; 0 if there is none */
};

/* Takes the next completion. True: *completion is one. False: there is none. */
bool oche_session_pop(oche_session *session, struct oche_completion *completion);

/* Gives the bytes of a read back. May outlive the session. Not in the child of a fork, which cannot read the bytes
 * either: they may lie in memory that it does not share. NULL is fine. */
void oche_data_free(void *data_owner);

struct oche_connect_options {
    const uint8_t *address; /* network order */
    size_t address_length;  /* 4 or 16 */
    uint16_t port;          /* 1 to 65535 */
    const uint8_t *source_address;
    size_t source_address_length; /* 0: the system chooses; else as address_length */
    uint16_t source_port;         /* 0: the system chooses */
    uint32_t timeout_ms;          /* milliseconds until TCP_ERR_TIMED_OUT; 0: when the system gives up */
};

struct oche_listen_options {
    const uint8_t *address; /* network order */
    size_t address_length;  /* 4 or 16 */
    uint16_t port;          /* 0: the system chooses */
    bool v6_only;
    bool shared;
    uint32_t backlog; /* 0: as many as the system allows */
};

int64_t oche_connect(oche_session *session, int64_t request_id, const struct oche_connect_options *options);
int64_t oche_listen(oche_session *session, int64_t request_id, const struct oche_listen_options *options);

/* Gives up a connect that is pending, by its request id: it completes with TCP_ERR_CLOSED, or, if it has just been
 * made, with a handle. 0, TCP_ERR_INVALID_ARGUMENT (no such connect is pending, or not any more), or
 * TCP_ERR_DAEMON_LOST. */
int64_t oche_cancel(oche_session *session, int64_t request_id);

int64_t oche_accept(oche_session *session, int64_t request_id, int64_t listener);
int64_t oche_read(oche_session *session, int64_t request_id, int64_t handle);
int64_t oche_write(oche_session *session, int64_t request_id, int64_t handle, const void *data, size_t count);
int64_t oche_close_write(oche_session *session, int64_t request_id, int64_t handle);
int64_t oche_close(oche_session *session, int64_t request_id, int64_t handle);
int64_t oche_listener_close(oche_session *session, int64_t request_id, int64_t listener, bool force);

/* Like oche_close, but what has not been sent yet is dropped, and the peer sees a reset (ECONNRESET) instead of the end
 * of the stream. What the peer has not read by then it may lose, too. Completes with 0. */
int64_t oche_abort(oche_session *session, int64_t request_id, int64_t handle);

/* Complete with 0 or TCP_ERR_SOCKET_OPTION. */
int64_t oche_set_keep_alive(oche_session *session, int64_t request_id, int64_t handle, bool enabled);
int64_t oche_set_no_delay(oche_session *session, int64_t request_id, int64_t handle, bool enabled);

struct oche_endpoint {
    uint8_t address[16];   /* network order */
    size_t address_length; /* 4 or 16 */
    uint16_t port;
};

/* Answered from memory: 0 and *endpoint, or TCP_ERR_INVALID_HANDLE. A listener has no remote end. */
int64_t oche_get_local(oche_session *session, int64_t handle, struct oche_endpoint *endpoint);
int64_t oche_get_remote(oche_session *session, int64_t handle, struct oche_endpoint *endpoint);

/* Answered from memory: 0 or 1, or TCP_ERR_INVALID_HANDLE. */
int64_t oche_get_keep_alive(oche_session *session, int64_t handle);
int64_t oche_get_no_delay(oche_session *session, int64_t handle);

/* What there is of something, how much there may be, and how often something was refused for want of more. */
struct oche_quota {
    uint64_t used;
    uint64_t limit;
    uint64_t refused;
};

/* Counters since the daemon started, over all sessions, unless the name says otherwise. */
struct oche_statistics {
    size_t size; /* sizeof(struct oche_statistics), set by the caller: later versions have more behind the last field */
    uint64_t uptime_seconds;
    uint64_t sessions_open;
    uint64_t sessions_total;
    uint64_t sockets_open;
    uint64_t connections_accepted;
    uint64_t connections_made;
    uint64_t bytes_received;
    uint64_t bytes_sent;
    uint64_t session_handles;      /* of this session */
    uint64_t session_queued_bytes; /* of this session */

    /* Of all sessions together of the user who asks. A daemon that does not tell is one where all are 0. */
    uint64_t user; /* the system's number of the user */
    struct oche_quota user_sessions;
    struct oche_quota user_handles;         /* sockets, and one more for each listener that waits for a connection */
    struct oche_quota user_queued_bytes;    /* of writes, 64 more for each; also of what was closed and is still sent */
    struct oche_quota user_arena_bytes;     /* shared memory, in each direction */
    struct oche_quota user_requests;        /* accepts, connects and writes that are not answered yet */
    struct oche_quota user_session_rate;    /* new sessions within about a second; limit 0: none */
    struct oche_quota user_connection_rate; /* connects and accepts, the same */
};

/* Completes with 0; the numbers are in *statistics, which must live until then, and whose size the caller has set.
 * TCP_ERR_INVALID_ARGUMENT: it has not. */
int64_t oche_get_statistics(oche_session *session, int64_t request_id, struct oche_statistics *statistics);

/* Extensions of the Dart port, for the calling isolate; see oche_isolate_enable(). */
enum oche_feature {
    /* A failure posts errno as an int64 in the place of null: [request_id, result, errno], 0 if there is none. */
    OCHE_FEATURE_ERROR_DETAIL = 1 << 0,
    /* What completes together is posted in one message, as one flat array with three elements for each completion:
     * [request_id, result, data, request_id, result, data, …], at most 64 of these. */
    OCHE_FEATURE_BATCHED_POSTS = 1 << 1,
    /* A tcp_write whose request id is 0 or negative posts only if it fails. The negative ids tell which one it was. */
    OCHE_FEATURE_QUIET_WRITES = 1 << 2,
};

/*
 * Turns on extensions of the messages to the calling isolate's port: `features` is the sum of oche_feature values, and
 * replaces what was on before. 0, TCP_ERR_NOT_INITIALIZED, or TCP_ERR_INVALID_ARGUMENT (a feature that this version
 * does not have; nothing changes). Not a leaf call.
 */
int64_t oche_isolate_enable(int64_t features);

/* tcp_connect with a limit: `timeout_ms` milliseconds after it has come to the daemon it completes with
 * TCP_ERR_TIMED_OUT. 0: when the system gives up, which takes minutes. Not a leaf call. */
int64_t oche_isolate_connect(int64_t request_id, const uint8_t *addr, int64_t addr_len, int64_t port,
                             const uint8_t *source_addr, int64_t source_addr_len, int64_t source_port,
                             int64_t timeout_ms);

/* oche_cancel for the session of the calling isolate; TCP_ERR_NOT_INITIALIZED if there is none. Not a leaf call. */
int64_t oche_isolate_cancel(int64_t request_id);

/* tcp_set_keep_alive and tcp_set_no_delay without waiting: the request is queued and completes with 0 or
 * TCP_ERR_SOCKET_OPTION. The getter has the new value from then on. May be leaf calls. */
int64_t oche_isolate_set_keep_alive(int64_t request_id, int64_t handle, bool enabled);
int64_t oche_isolate_set_no_delay(int64_t request_id, int64_t handle, bool enabled);

/* oche_abort for a connection of the calling isolate. May be a leaf call. */
int64_t oche_isolate_abort(int64_t request_id, int64_t handle);

/*
 * For a native finalizer that ends the session with its isolate, however that ends. oche_isolate_guard makes a token
 * for the session of the calling isolate; NULL: there is none, or no memory. oche_isolate_release ends that session as
 * tcp_destroy would, if it is still open, and frees the token; it may be called from any thread, and NULL is fine.
 */
void *oche_isolate_guard(void);
void oche_isolate_release(void *guard);

#ifdef __cplusplus
}
#endif

#endif
