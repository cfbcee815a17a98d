/*
 * The peers of the daemon's connections, which an input plays: some that connect to its listeners, and some that its
 * connections reach. They are on the loopback device.
 */
#ifndef OCHE_TESTS_FUZZ_PEERS_H
#define OCHE_TESTS_FUZZ_PEERS_H

#include "tests/fuzz/input.h"

enum { PEERS = 8 };

struct peers {
    int home;       /* listens, for the daemon's connections */
    int fds[PEERS]; /* -1: not in use */
};

/* `home` is the caller's, and the first listener of loopback.h. */
void peers_init(struct peers *peers, int home);

/* Nobody is left, nor waits at home. */
void peers_deinit(struct peers *peers);

/* One of them does something, with bytes of the input. */
void peers_act(struct peers *peers, struct input *input);

/* A listener for all inputs. */
int peers_open_home(void);

#endif
