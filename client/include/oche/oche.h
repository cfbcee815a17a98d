/*
 * oche.h: the client of the oche daemon, without callbacks and without Dart.
 *
 * A session is a conversation with the daemon. Requests are queued, and their completions are pulled:
 *
 *     oche_session *session;
 *     if (oche_session_open(NULL, &session) < 0)
 *         errx(1, "%s", oche_last_error());
 *     struct oche_connect_options target = {
 *         .size = sizeof target, .address = loopback, .address_length = 4, .port = 80};
 *     oche_connect(session, 1, &target);
 *     for (;;) {
 *         struct pollfd pollfd = {.fd = oche_session_get_fd(session), .events = POLLIN};
 *         poll(&pollfd, 1, -1);
 *         int64_t status = oche_session_dispatch(session);
 *         struct oche_completion completion = {.size = sizeof completion};
 *         while (oche_session_pop(session, &completion))
 *             handle(&completion);
 *         if (status < 0)
 *             break;
 *     }
 *
 * Requests return 0 and complete exactly once, or return a negative TCP_ERR_ code (tcp_socket.h) and do not complete.
 * The meaning of each request and its results are those of the tcp_ function of the same name in tcp_socket.h.
 *
 * Each struct starts with its size, which the caller sets, also in those that the library fills: so a program and a
 * library of different versions understand each other. Everything else that the caller leaves 0 is the default. A call
 * with a size that was not set, or with fields set that the library is too old for, returns TCP_ERR_INVALID_ARGUMENT.
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

/* Why the last tcp_init, oche_isolate_open, oche_session_open or oche_session_reopen of this thread failed, in one
 * line: what was tried and what the system said. "" if none failed. Valid until the thread's next call of one of these.
 */
const char *oche_last_error(void);

typedef struct oche_session oche_session;

/*
 * How a session talks to the daemon. On the memory lane requests and data go through memory that both share; on the
 * plain lane through a Unix-domain socket, which is slower, and works where the system has no memfd. Nothing else
 * differs.
 */
enum oche_lane {
    OCHE_LANE_AUTOMATIC =
        0, /* as $OCHE_LANE says, "plain" or "memory"; else memory, or plain where that does not work */
    OCHE_LANE_PLAIN = 1,
    OCHE_LANE_MEMORY = 2, /* or no session */
};

struct oche_session_options {
    size_t size; /* sizeof(struct oche_session_options), set by the caller */
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
 * lane, or the size of the options is not set), and *session is NULL.
 */
int64_t oche_session_open(const struct oche_session_options *options, oche_session **session);

/* Ends the session: the daemon closes its sockets. What was pending is dropped without a completion, completions that
 * were not popped are freed. NULL is fine. */
void oche_session_close(oche_session *session);

/* A descriptor that polls readable when oche_session_dispatch has something to do. It stays the session's, and is the
 * same for the session's whole life. It becomes readable also when a limit is over, or when it is time to look whether
 * the daemon is still there. Before you wait for it, pop until there is nothing left: a read that finds its
 * data here completes at once, and makes the descriptor readable only if oche_session_pop had nothing more to give. */
int oche_session_get_fd(const oche_session *session);

/*
 * Moves bytes: sends what is queued, receives what has come; and does what is due: a request whose limit is over
 * completes, and a daemon that owes an answer, which has said nothing for two seconds, is asked whether it is there.
 * Does not block. 0, or TCP_ERR_DAEMON_LOST: the daemon has ended, or has not answered the question for four seconds.
 * Then everything that was pending has completed with that code, all handles are gone, and every request is refused
 * with that code until oche_session_reopen succeeds.
 *
 * Durable listeners are different: they stay when the daemon is lost, with their handles, and so do the accepts that
 * are pending on them, and listens that will make such. More accepts may be made, and the listeners be closed. When
 * oche_session_reopen has succeeded they are opened again, with the options and at the port that they had. If that
 * fails, because somebody has taken the port meanwhile, say, the accepts complete with the code of that failure, and
 * the handle is gone. What was accepted before is lost, as all connections are.
 *
 * When the daemon has handed over to a successor (oched --replace), this goes on with that one: listeners and what is
 * pending on them stay, and so do pending requests for new connections and listeners. Everything else completes with
 * TCP_ERR_DAEMON_LOST, and the handles of connections are gone. So is a listener that the successor may not have, by
 * its options or the system's limits, with what is pending on it. It waits for the successor's greeting then, for five
 * seconds at most.
 */
int64_t oche_session_dispatch(oche_session *session);

/* Opens a lost session anew, with the same options. Blocks for five seconds at most. Results as for
 * oche_session_open; 0 at once if the session is not lost. If it fails, durable listeners wait for the next attempt. */
int64_t oche_session_reopen(oche_session *session);

struct oche_completion {
    size_t size; /* sizeof(struct oche_completion), set by the caller */
    int64_t request_id;
    int64_t result;   /* what the tcp_ function of the request completes with */
    uint8_t *data;    /* `result` bytes of a successful read, which are 0 of an empty datagram; else NULL */
    void *data_owner; /* pass it to oche_data_free() when done with `data`, from any thread, exactly once; else NULL */
    int32_t os_error; /* errno of a failure, in the daemon's system; 0 if there is none */
    const char *why;  /* of what needs words (TLS): a sentence, as long as data_owner; else NULL */
};

/* Takes the next completion. True: *completion is one; if its size was not set, this sets it, to that of the first
 * version of the struct. False: there is none. */
bool oche_session_pop(oche_session *session, struct oche_completion *completion);

/* Gives the bytes of a read back. May outlive the session. Not in the child of a fork, which cannot read the bytes
 * either: they may lie in memory that it does not share. NULL is fine. */
void oche_data_free(void *data_owner);

struct oche_connect_options {
    size_t size;            /* sizeof(struct oche_connect_options), set by the caller */
    const uint8_t *address; /* network order */
    size_t address_length;  /* 4 or 16 */
    uint16_t port;          /* 1 to 65535 */
    const uint8_t *source_address;
    size_t source_address_length; /* 0: the system chooses; else as address_length */
    uint16_t source_port;         /* 0: the system chooses */
    uint32_t timeout_ms;          /* as with oche_limit, from this call on; 0: when the system gives up */
    uint32_t scope_id;            /* of a link-local IPv6 address: its interface, as if_nametoindex() has it; else 0 */
    uint32_t source_scope_id;
    int64_t tls_context;     /* of oche_tls_context: the connection is made when TLS is agreed upon; 0: no TLS */
    const char *server_name; /* with TLS: the name or the IP address that the server's certificate has to be for */
    bool tls_asks; /* if the certificate does not verify, it completes with its handle all the same, and `why`:
                      see oche_trust */
};

struct oche_listen_options {
    size_t size;            /* sizeof(struct oche_listen_options), set by the caller */
    const uint8_t *address; /* network order */
    size_t address_length;  /* 4 or 16 */
    uint16_t port;          /* 0: the system chooses */
    bool v6_only;
    bool shared;
    uint32_t backlog;    /* 0: as many as the system allows */
    uint32_t scope_id;   /* of a link-local IPv6 address: its interface, as if_nametoindex() has it; else 0 */
    bool durable;        /* the listener outlives its daemon, see oche_session_dispatch */
    int64_t tls_context; /* of oche_tls_context: what is accepted has TLS, and its handshake is done; not with
                            `durable`, for another daemon does not have it; 0: no TLS */
};

struct oche_endpoint {
    size_t size;           /* sizeof(struct oche_endpoint), set by the caller */
    uint8_t address[16];   /* network order */
    size_t address_length; /* 4 or 16 */
    uint16_t port;
    uint32_t scope_id; /* of a link-local IPv6 address: its interface; else 0 */
};

/* A certificate, and the key that belongs to it, in PEM; the texts need not end with 0. Or both as a PKCS#12. */
struct oche_tls_identity {
    const char *chain; /* the certificate, and those between it and a root; NULL: `key` is a PKCS#12 */
    size_t chain_length;
    const char *key;
    size_t key_length;
    const char *passphrase; /* of the key; NULL: it has none */
};

enum oche_tls_trust {
    OCHE_TLS_TRUST_SYSTEM, /* the roots of the daemon's system, as they were when the daemon started */
    OCHE_TLS_TRUST_OWN,    /* `roots` */
    OCHE_TLS_TRUST_NOBODY,
};

/* Of a server: whether it asks its clients for certificates. */
enum oche_tls_client_certificate {
    OCHE_TLS_CLIENT_NOT_ASKED,
    OCHE_TLS_CLIENT_MAY_SHOW, /* what it shows has to verify */
    OCHE_TLS_CLIENT_MUST_SHOW,
};

enum oche_tls_version {
    OCHE_TLS_1_2 = 0x0303,
    OCHE_TLS_1_3 = 0x0304,
};

struct oche_tls_options {
    size_t size;                                /* sizeof(struct oche_tls_options), set by the caller */
    const struct oche_tls_identity *identities; /* a server shows that whose certificate is for the name which the
                                                   client asks for, or the first; a client shows the first if asked */
    size_t identity_count;
    uint32_t trust;    /* enum oche_tls_trust */
    const char *roots; /* certificates in PEM: with OCHE_TLS_TRUST_OWN, or beside those of the system */
    size_t roots_length;
    const uint8_t *protocols; /* ALPN: names with their lengths before them, those that are liked most first */
    size_t protocols_length;
    uint32_t version_min; /* enum oche_tls_version; 0: 1.2 */
    uint32_t version_max; /* 0: the newest */
    const char *ciphers;  /* up to TLS 1.2, as OpenSSL names them; NULL: OpenSSL's choice */
    const char *suites;   /* of TLS 1.3 */
    const char *groups;
    uint32_t client_certificate; /* enum oche_tls_client_certificate */
};

/* What can be asked about a connection with TLS. Texts do not end with 0. */
enum oche_tls_item {
    OCHE_TLS_VERSION = 1,     /* "TLSv1.3" */
    OCHE_TLS_CIPHER,          /* "TLS_AES_128_GCM_SHA256" */
    OCHE_TLS_GROUP,           /* "x25519" */
    OCHE_TLS_PROTOCOL,        /* ALPN: "h2"; empty: none was agreed upon */
    OCHE_TLS_SERVER_NAME,     /* SNI; empty: the client named none */
    OCHE_TLS_RESUMED,         /* "1"; empty: it was a whole handshake */
    OCHE_TLS_VERIFICATION,    /* what is wrong with the peer's certificate; empty: nothing, or it has shown none */
    OCHE_TLS_FAILURE,         /* why TLS has failed since; empty: it has not */
    OCHE_TLS_CHAIN,           /* the peer's certificates in DER, its own first, as many as 64 KiB have; empty: none */
    OCHE_TLS_OWN_CERTIFICATE, /* in DER */
    OCHE_TLS_SUBJECT,         /* of the peer's certificate: "/C=DE/CN=host" */
    OCHE_TLS_ISSUER,
    OCHE_TLS_VALIDITY, /* "1700000000 1800000000": from and until, in seconds since 1970 */
    OCHE_TLS_SHA1,     /* 20 bytes */
};

struct oche_secure_options {
    size_t size; /* sizeof(struct oche_secure_options), set by the caller */
    int64_t tls_context;
    const char *server_name; /* as a client: as with oche_connect; NULL: as a server */
    const void *unread;      /* what was read of the other side's TLS already, which is copied */
    size_t unread_length;    /* bytes, 256 KiB at most */
    bool asks;               /* as a client: as with oche_connect; it completes with 0 and `why` */
};

struct oche_datagram_options {
    size_t size;            /* sizeof(struct oche_datagram_options), set by the caller */
    const uint8_t *address; /* where it receives, in network order; all zero: at all addresses of the family */
    size_t address_length;  /* 4 or 16 */
    uint16_t port;          /* 0: the system chooses */
    bool v6_only;
    uint32_t scope_id;           /* of a link-local IPv6 address: its interface, as if_nametoindex() has it; else 0 */
    const uint8_t *peer_address; /* the only end to receive from, and to send to */
    size_t peer_address_length;  /* 0: no such peer; else as address_length */
    uint16_t peer_port;          /* 1 to 65535 */
    uint32_t peer_scope_id;
};

int64_t oche_connect(oche_session *session, int64_t request_id, const struct oche_connect_options *options);
int64_t oche_listen(oche_session *session, int64_t request_id, const struct oche_listen_options *options);

/*
 * Gives up a request that is pending, by its request id; of several with that id, the one made last. It completes as
 * any request does, once: with TCP_ERR_CLOSED and ECANCELED if it could still be ended, else as it would have. The
 * daemon says which, so a request that is cancelled while the daemon is stopped is pending until the daemon goes on, is
 * lost, or the request's limit is over. What is cancelled completes like this:
 *
 *     connect, accept  with TCP_ERR_CLOSED, or, if it has just been made, with a handle. A connection that comes after
 *                      an accept was cancelled is for the next accept
 *     listen           with TCP_ERR_CLOSED: a listener that was made nevertheless is closed
 *     read             with TCP_ERR_CLOSED, at once. Nothing is lost: the next read brings what comes
 *     write            with TCP_ERR_CLOSED: nothing of it is sent, and the writes after it are. Or with `count`: it is
 *                      sent. Or, if a part of it is sent and the rest cannot be any more, with TCP_ERR_WRITE_FAILED and
 *                      ECANCELED, and so do all later ones: the connection can be read from, and when it is closed the
 *                      peer sees a reset. Which of these it is only the completion tells
 *     close_write      with TCP_ERR_CLOSED, and the connection may be written to again. Or, if the end is sent, or a
 *                      write after it was refused, with 0
 *
 * Closes, options and statistics are not cancelled: the daemon does them at once. 0, TCP_ERR_INVALID_ARGUMENT (no
 * request with that id is pending, or not any more, or it is one of these), TCP_ERR_OUT_OF_MEMORY, or
 * TCP_ERR_DAEMON_LOST.
 */
int64_t oche_cancel(oche_session *session, int64_t request_id);

/*
 * Limits the time of a request that is pending, found as by oche_cancel: `milliseconds` after this call it completes
 * with TCP_ERR_TIMED_OUT and ETIMEDOUT, if it has not completed by then; if it was cancelled, with TCP_ERR_CLOSED and
 * ECANCELED. Replaces an earlier limit, that of oche_connect_options included; 0 takes it away. Any request can have
 * one.
 *
 * The library keeps the time, so a limit holds whatever the daemon does, also while it is stopped or being looked for,
 * if the session is dispatched when its descriptor is readable. Then it tells the daemon that the request is not wanted
 * any more, as oche_cancel does, and nobody hears what becomes of it: a connection or a listener that was made
 * nevertheless is closed, one that was accepted nevertheless is for the next accept, and of a write all is sent, or
 * nothing, or a part; after a part, later writes complete with TCP_ERR_WRITE_FAILED. Until the daemon has answered,
 * what a write takes of the limit on queued bytes stays taken. A close, or an option that is set, is done nevertheless;
 * the memory of oche_get_option and oche_get_statistics is not touched any more.
 *
 * 0, TCP_ERR_INVALID_ARGUMENT (no request with that id is pending, or not any more), or TCP_ERR_DAEMON_LOST.
 */
int64_t oche_limit(oche_session *session, int64_t request_id, uint32_t milliseconds);

/*
 * A TLS context: who one is, whom one trusts, and what is negotiated. Completes with its handle, which oche_close
 * closes; connections that were begun with it keep it. TCP_ERR_INVALID_ARGUMENT: `why` says what is wrong. Files are
 * the caller's to read: the daemon opens none. All is copied. For its
 * memory it counts as 16 sockets of the user, as 16 more for each identity, and as one for each KiB of certificates
 * (TCP_ERR_QUOTA).
 * TCP_ERR_OUT_OF_MEMORY: this is more than 256 KiB, or there is no memory.
 */
int64_t oche_tls_context(oche_session *session, int64_t request_id, const struct oche_tls_options *options);

/* Replaces what a context consists of, for connections to come: certificates that have been renewed, say. Completes
 * with 0; or with TCP_ERR_INVALID_ARGUMENT as above, and nothing has changed. */
int64_t oche_tls_replace(oche_session *session, int64_t request_id, int64_t context,
                         const struct oche_tls_options *options);

/*
 * Puts TLS on a connection that is open, after both sides have agreed to (STARTTLS, CONNECT of a proxy). Completes with
 * 0 when it is done. What has come and was not read is TLS's, and so is `unread`. TCP_NODELAY is set, as for all
 * connections with TLS. Until it has completed nothing is read or written, and it takes that no read or write is
 * pending, and that there is no TLS yet: TCP_ERR_INVALID_ARGUMENT. It may complete with TCP_ERR_TLS_FAILED and `why`.
 * After that, after any other failure that it completes with, and after oche_limit, the connection can only be closed.
 */
int64_t oche_secure(oche_session *session, int64_t request_id, int64_t handle,
                    const struct oche_secure_options *options);

/*
 * The answer to a connect, or to oche_secure, that has asked because a certificate does not verify: the handshake goes
 * on all the same. Completes with 0 when it is done, or with TCP_ERR_TLS_FAILED. Until then nothing has been sent but
 * what a handshake begins with, and nothing can be read or written; who does not want to go on closes the handle.
 * TCP_ERR_INVALID_ARGUMENT: nobody has asked.
 */
int64_t oche_trust(oche_session *session, int64_t request_id, int64_t handle);

/* Completes with the count of bytes of the item, which are the data, as with a read. TCP_ERR_INVALID_ARGUMENT: the
 * connection has no TLS, or there is no such item. */
int64_t oche_tls_info(oche_session *session, int64_t request_id, int64_t handle, enum oche_tls_item item);

/*
 * A UDP socket. Completes with its handle, or with TCP_ERR_BIND_FAILED (it cannot receive there) or
 * TCP_ERR_CONNECT_FAILED (it cannot have that peer).
 *
 * oche_read brings the next datagram, whole, from whoever sent it, which oche_data_source says: it completes with the
 * count of bytes, which may be 0, and with data in any case. Nothing is received ahead of the first read, and then what
 * fits into a window of some KiB that grows; what comes beyond that the system keeps as far as it has room
 * (SO_RCVBUF), and drops. oche_close and oche_abort drop what the system has not taken. A socket of a session that is
 * lost is gone.
 */
int64_t oche_datagram(oche_session *session, int64_t request_id, const struct oche_datagram_options *options);

/*
 * Sends one datagram of at most 65,507 bytes (IPv4), which are copied, to `to`; NULL is the peer of the socket, and
 * only of one that has a peer. Completes with the count when the system has taken it, which does not say that it
 * arrives, or with TCP_ERR_WRITE_FAILED: among others EMSGSIZE, it is too long; EACCES, the daemon may not send there.
 * A failure concerns that datagram alone. TCP_ERR_INVALID_ADDRESS: nowhere to send it to, or an address of the other
 * family.
 */
int64_t oche_send(oche_session *session, int64_t request_id, int64_t handle, const struct oche_endpoint *to,
                  const void *data, size_t count);

/* Where a datagram came from, by the data_owner of its completion, before that is freed. 0 and *endpoint, or
 * TCP_ERR_INVALID_ARGUMENT: this is no datagram, or the size of *endpoint is not set. */
int64_t oche_data_source(const void *data_owner, struct oche_endpoint *endpoint);

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

/*
 * Options of a connection by the system's numbers, as setsockopt() and getsockopt() have them. Those that concern the
 * connection alone can be set and read: SO_KEEPALIVE, SO_RCVBUF, SO_SNDBUF; TCP_NODELAY, TCP_KEEPIDLE, TCP_KEEPINTVL,
 * TCP_KEEPCNT, TCP_USER_TIMEOUT; IP_TOS and IPV6_TCLASS. SO_LINGER can only be read: how a connection ends is said when
 * it ends.
 *
 * oche_set_option copies `size` bytes at `value`, and completes with 0. oche_get_option completes with how many bytes
 * it has written to `value`, `size` at most; the memory must be there until then. Both complete with
 * TCP_ERR_SOCKET_OPTION and the system's error otherwise: ENOPROTOOPT, the option is not one of these; EOPNOTSUPP, it
 * can only be read.
 */
int64_t oche_set_option(oche_session *session, int64_t request_id, int64_t handle, int level, int name,
                        const void *value, size_t size);
int64_t oche_get_option(oche_session *session, int64_t request_id, int64_t handle, int level, int name, void *value,
                        size_t size);

/* Answered from memory: 0 and *endpoint, TCP_ERR_INVALID_HANDLE, or TCP_ERR_INVALID_ARGUMENT (the
 * size of *endpoint is not set). A listener has no remote end, and a datagram socket only if it was made with a
 * peer. */
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
    size_t size; /* sizeof(struct oche_statistics), set by the caller */
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

    /* Of all sessions together of the user who asks. */
    uint64_t user; /* the system's number of the user */
    struct oche_quota user_sessions;
    struct oche_quota user_handles;         /* sockets, and one more for each listener that waits for a connection */
    struct oche_quota user_queued_bytes;    /* of writes, 64 more for each; also of what was closed and is still sent */
    struct oche_quota user_arena_bytes;     /* shared memory, in each direction */
    struct oche_quota user_requests;        /* accepts, connects and writes that are not answered yet */
    struct oche_quota user_session_rate;    /* new sessions within about a second; limit 0: none */
    struct oche_quota user_connection_rate; /* connects and accepts, the same */
    uint64_t handshakes;                    /* of TLS: those that were completed, */
    uint64_t handshakes_resumed;            /* those of them that resumed a session, */
    uint64_t handshakes_failed;             /* and the others */
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
    /* A connection that breaks when all its writes have succeeded and its stream has ended posts that at once, and
     * once: [id, TCP_ERR_READ_FAILED, …], where the id is that of its last tcp_write, negated if it was positive.
     * Without this, or if nothing was written, it shows with the next write only. */
    OCHE_FEATURE_BREAKS = 1 << 3,
    /* A connect, listen or accept that succeeds posts the ends of the new socket in the place of null, so that they are
     * known also when the daemon is lost in the same moment: a Uint8List of 48 bytes or, in later versions, more.
     * Numbers are little-endian, addresses in network order:
     *
     *      0  length of the local address, 4 or 16     1  of the remote one; 0: this is a listener
     *      2  local port, 2 bytes                      4  remote port, 2 bytes
     *      8  local address, 16 bytes                 24  remote address, 16 bytes
     *     40  scope id of the local one, 4 bytes      44  of the remote one, 4 bytes
     */
    OCHE_FEATURE_ENDPOINTS = 1 << 4,

    /* What needs words (`why` of struct oche_completion) posts them as a String, in the place of whatever else there
     * would be. */
    OCHE_FEATURE_WORDS = 1 << 5,
};

/*
 * tcp_init without waiting: makes the session of the calling isolate, and leaves it to a thread of the library to find
 * or start the daemon when the first tcp_connect or tcp_listen asks for something. If that fails these complete with
 * what tcp_init would have returned, and the next one tries again. 0, TCP_ERR_INVALID_ARGUMENT, TCP_ERR_OUT_OF_MEMORY,
 * TCP_ERR_DAEMON_UNAVAILABLE (there is no path of a socket). Does nothing if the isolate has a session with this port.
 * Not a leaf call.
 */
int64_t oche_isolate_open(void *dart_api_dl_data, int64_t send_port);

/* Why the last attempt to open the session of the calling isolate, or to open it anew, failed, as oche_last_error has
 * it. "" if it did not fail. Valid until the thread's next call of this function, tcp_init, oche_session_open or
 * oche_session_reopen. Not a leaf call. */
const char *oche_isolate_open_error(void);

/*
 * Turns on extensions of the messages to the calling isolate's port: `features` is the sum of oche_feature values, and
 * replaces what was on before. 0, TCP_ERR_NOT_INITIALIZED, or TCP_ERR_INVALID_ARGUMENT (a feature that this version
 * does not have; nothing changes). Not a leaf call.
 */
int64_t oche_isolate_enable(int64_t features);

/* The session of the calling isolate, for the requests of this header; what they complete with is posted to the
 * isolate's port. NULL: there is none. Valid in this isolate, until tcp_destroy. It must be neither dispatched nor
 * closed. Not a leaf call. */
oche_session *oche_isolate_session(void);

/* tcp_connect with a limit: `timeout_ms` milliseconds after the call it completes with TCP_ERR_TIMED_OUT, also if the
 * daemon does not answer, or is still being looked for. 0: when the system gives up, which takes minutes. Not a leaf
 * call. */
int64_t oche_isolate_connect(int64_t request_id, const uint8_t *addr, int64_t addr_len, int64_t port,
                             const uint8_t *source_addr, int64_t source_addr_len, int64_t source_port,
                             int64_t timeout_ms);

/*
 * Addresses with a scope id. Where oche_isolate_connect and oche_isolate_listen take addresses of 16 bytes they take 20
 * as well: the last four are the scope id, in the byte order of the machine. The getters write as many, to `out`, which
 * has room for 20: the address of this or of the other end, with its scope id if that is not 0. They return 4, 16 or
 * 20, or TCP_ERR_INVALID_HANDLE, and may be leaf calls.
 */
int64_t oche_isolate_get_local_address(int64_t handle, uint8_t *out);
int64_t oche_isolate_get_remote_address(int64_t handle, uint8_t *out);

/*
 * tcp_listen, for addresses with a scope id as well, and with one option more: a listener that is `durable` outlives
 * its daemon. When the daemon is lost the library finds or starts another one by itself, and opens the listener again,
 * with the options and at the port that it had; its handle stays, and so do the accepts that are pending, while all
 * other requests complete with TCP_ERR_DAEMON_LOST. If daemons end as soon as they begin, it waits longer and longer in
 * between, up to a second.
 *
 * If the listener cannot be opened again, because somebody has taken the port meanwhile, say, or because there was no
 * daemon for ten seconds, the accepts complete with the code of that failure, and the handle is gone. Not a leaf call.
 */
int64_t oche_isolate_listen(int64_t request_id, const uint8_t *addr, int64_t addr_len, int64_t port, bool v6_only,
                            int64_t backlog, bool shared, bool durable);

/* oche_cancel and oche_limit for the session of the calling isolate; TCP_ERR_NOT_INITIALIZED if there is none, and
 * TCP_ERR_INVALID_ARGUMENT also for less than 0 milliseconds, or more than 32 bits of them. Not leaf calls. */
int64_t oche_isolate_cancel(int64_t request_id);
int64_t oche_isolate_limit(int64_t request_id, int64_t milliseconds);

/* tcp_set_keep_alive and tcp_set_no_delay without waiting: the request is queued and completes with 0 or
 * TCP_ERR_SOCKET_OPTION. The getter has the new value from then on. oche_isolate_abort is oche_abort
 * for a connection of the calling isolate. May be leaf calls. */
int64_t oche_isolate_set_keep_alive(int64_t request_id, int64_t handle, bool enabled);
int64_t oche_isolate_set_no_delay(int64_t request_id, int64_t handle, bool enabled);
int64_t oche_isolate_abort(int64_t request_id, int64_t handle);

/* oche_set_option and oche_get_option, waiting for the daemon, for five seconds at most: 0 or the count of bytes, a
 * code of theirs with *os_error, or TCP_ERR_TIMED_OUT. They block, so they must not be leaf calls. */
int64_t oche_isolate_set_option(int64_t handle, int64_t level, int64_t name, const uint8_t *value, int64_t size,
                                int32_t *os_error);
int64_t oche_isolate_get_option(int64_t handle, int64_t level, int64_t name, uint8_t *value, int64_t size,
                                int32_t *os_error);

/* oche_tls_info, waiting for the daemon, for five seconds at most: the item is in `out`, and the count of its bytes is
 * returned; if that is more than `room` nothing is in `out`. Or a code, or TCP_ERR_TIMED_OUT. It blocks, so it must not
 * be a leaf call. */
int64_t oche_isolate_tls_info(int64_t handle, int64_t item, uint8_t *out, int64_t room);

/*
 * What has come on a connection behind the data of the last read, and that a tcp_read would bring next.
 * oche_isolate_take copies the first of it to `into`, from `offset` on, as far as it came in pieces that fit into
 * `count` bytes, and says how many bytes it copied; they count as read. oche_isolate_ahead says how many
 * oche_isolate_take would copy, which are 0 also while a read is pending. Both let as much again come as was read. Both
 * return TCP_ERR_INVALID_ARGUMENT for a negative count, and TCP_ERR_INVALID_HANDLE for what is no open connection.
 * They may be leaf calls.
 */
int64_t oche_isolate_ahead(int64_t handle, int64_t count);
int64_t oche_isolate_take(int64_t handle, uint8_t *into, int64_t offset, int64_t count);

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
