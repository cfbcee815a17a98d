/*
 * The door: the listening socket through which clients come, in the server's loop, and the files by which they find it.
 *
 * The files are made and removed by the respawner (daemon/process/respawner.h), for the filter leaves the daemon no way
 * to do that. When somebody has removed the socket file, the respawner makes another socket, and the door is moved
 * there.
 */
#ifndef OCHE_DAEMON_PROCESS_DOOR_H
#define OCHE_DAEMON_PROCESS_DOOR_H

#include "daemon/engine/engine.h"
#include "daemon/process/rendezvous.h"
#include "daemon/process/respawner.h"

#include <stdbool.h>

struct door_user {
    /* Somebody has come in; the descriptor is the user's. */
    void (*entered)(void *context, int fd);
    /* True: the descriptor of the door is in use by others, so that the door cannot be moved. */
    bool (*is_held)(void *context);
    /* Nobody will come any more, for another daemon has the place. */
    void (*lost)(void *context);
};

struct door {
    const struct door_user *user;
    void *context;
    struct time_slice *slice;
    struct rendezvous *rendezvous;
    const struct respawner *respawner;
    struct engine_socket *listener; /* NULL: closed */
    struct engine_timer timer;      /* accepting goes on then */
    struct engine_bell *bell;       /* the respawner has something to say; NULL: there is none */
    int bell_fd;                    /* the descriptor of the bell */
    int next;                       /* the socket to move to, when the door is not held; -1: none */
};

/* With the rendezvous open, whose listening socket it takes, and the respawner, whose bell it takes. `door` is all
 * zero. 0 or a negative errno; then door_deinit() is to follow, too. */
int door_init(struct door *door, struct time_slice *slice, struct rendezvous *rendezvous, struct respawner *respawner,
              const struct door_user *user, void *context);
void door_deinit(struct door *door);

/* Lets clients in, and has the files looked after. */
void door_open(struct door *door);

/* The descriptor of the listening socket. */
int door_fd(const struct door *door);

/* Has the files looked after now. */
void door_look(struct door *door);

/* It may not be held any more. */
void door_go_on(struct door *door);

/* The daemon leaves: nobody can come any more, and the files go. Idempotent. */
void door_close(struct door *door);

/* A successor has the door: nobody comes in here any more, and the files stay. */
void door_leave(struct door *door);

#endif
