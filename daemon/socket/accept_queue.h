/*
 * The accept queue: a listening socket of the system, and the listeners that take connections from it.
 *
 * Shared listeners of one user at the same address have one queue, in whatever sessions and workers they live. Each of
 * them has a descriptor of its own for the same socket (dup(2)): one that is closed leaves the connections that wait to
 * the others, and nothing is reset before the last one is closed. A listener that is not shared has a queue to itself.
 *
 * Connections are dealt out in rounds. A listener that has got one does not wait for the next as long as others wait
 * that have got none in this round; when nobody waits any more, the next round begins. Left to the system, the loop
 * that happens to be woken first would get almost all of them.
 *
 * The socket also has SO_REUSEPORT if it is shared, so that other programs of the user can share the port with the
 * daemon. What they listen with is a queue of its own: the system spreads connections over the queues.
 */
#ifndef OCHE_DAEMON_SOCKET_ACCEPT_QUEUE_H
#define OCHE_DAEMON_SOCKET_ACCEPT_QUEUE_H

#include "daemon/engine/list.h"
#include "daemon/socket/address.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct account;
struct accept_queue;
struct engine;

enum { ACCEPT_QUEUE_BUCKETS = 256 };

/* All queues of the daemon. Its workers use them from their threads. */
struct accept_queues {
    pthread_mutex_t lock;
    struct list buckets[ACCEPT_QUEUE_BUCKETS]; /* of queues, by their ports */
};

/* A listener as its queue knows it. Guarded by the lock of the queues. */
struct accept_member {
    struct accept_queue *queue;
    struct list node;      /* in queue->members */
    struct engine *engine; /* that of the listener, which is woken when the listener may wait again */
    int fd;                /* the listener's own descriptor of the socket */
    uint64_t round;        /* in which the listener got its last connection; 0: it has got none */
    bool waits;            /* for a connection */
    bool passes;           /* it would wait, but others come first */
};

/* What to listen on. */
struct listener_target {
    struct tls_context *tls; /* NULL: none */
    struct address local;
    bool v6_only;
    bool shared;
    uint32_t backlog; /* 0: as many as the system allows */
};

void accept_queues_init(struct accept_queues *queues);
/* All queues must be gone. */
void accept_queues_deinit(struct accept_queues *queues);

/* Listens, or joins those who share the address. `member` becomes one of the queue. Returns a descriptor, which the
 * caller closes after accept_queue_leave(); or a negative code with *os_error, and nothing has changed. */
int accept_queue_open(struct accept_queues *queues, struct accept_member *member, const struct account *account,
                      struct engine *engine, const struct listener_target *target, int *os_error);

/* The same for a socket that listens already: `fd` comes from another daemon, and stays the caller's. Other descriptors
 * of the same socket, when they come, join the same queue. False: out of memory, or the socket cannot be read. */
bool accept_queue_adopt(struct accept_queues *queues, struct accept_member *member, const struct account *account,
                        struct engine *engine, int fd);

/* Before the descriptor is closed. True: this was the last descriptor of the queue in this daemon, and no successor has
 * the socket either. */
bool accept_queue_leave(struct accept_queues *queues, struct accept_member *member);

/* A successor has the socket, and goes on with it. */
void accept_queue_hand_over(struct accept_queues *queues, struct accept_member *member);

/* Whether other listeners have the queue, too. */
bool accept_queue_has_others(struct accept_queues *queues, const struct accept_member *member);

/* Whether the listener may wait for a connection now. False: others come first, and its engine is woken when that
 * changes. */
bool accept_queue_has_turn(struct accept_queues *queues, struct accept_member *member);

/* The listener, which has its turn, waits for a connection. */
void accept_queue_wait(struct accept_queues *queues, struct accept_member *member);

/* It does not wait any more. `got_one`: because it has got a connection. */
void accept_queue_stop_waiting(struct accept_queues *queues, struct accept_member *member, bool got_one);

#endif
