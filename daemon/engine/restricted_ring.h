/*
 * A ring of io_uring(7) that can do few things, and only in the thread that enables it.
 */
#ifndef OCHE_DAEMON_ENGINE_RESTRICTED_RING_H
#define OCHE_DAEMON_ENGINE_RESTRICTED_RING_H

struct io_uring;

/* 0 or a negative errno: the system has no io_uring, lacks something of it that is needed here, or denies it. Nothing
 * can be submitted yet. io_uring_queue_exit() closes the ring. */
int restricted_ring_open(struct io_uring *ring);

/* From now on the calling thread, and no other, can submit. 0 or a negative errno. */
int restricted_ring_enable(const struct io_uring *ring);

#endif
