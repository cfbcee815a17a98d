#include "daemon/process/door.h"

#include "daemon/log/errno_text.h"
#include "daemon/log/log.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    RETRY_MS = 500,   /* after running out of descriptors */
    REMOVE_MS = 1000, /* for the respawner to remove the files */
    BACKLOG = 511,
};

static void on_accepted(void *owner, int result, const struct sockaddr_storage *peer)
{
    struct door *door = owner;
    (void)peer;
    if (result >= 0) {
        door->user->entered(door->context, result);
        if (door->listener)
            engine_accept(door->listener);
        return;
    }
    log_failure(LOG_ERROR, "event=accept-client error=\"%s\" errno=%d", errno_text(-result), -result);
    engine_timer_set(&door->timer, RETRY_MS);
}

static void on_retry(void *owner)
{
    struct door *door = owner;
    if (door->listener)
        engine_accept(door->listener);
}

static void on_closed(void *owner)
{
    (void)owner;
}

static const struct engine_handlers handlers = {
    .accepted = on_accepted,
    .closed = on_closed,
};

/* ---- what the respawner says ---- */

static void move(struct door *door, int fd)
{
    struct engine_socket *listener = NULL;
    int error = listen(fd, BACKLOG) < 0 ? errno : 0;
    if (!error) {
        listener = engine_socket_new(door->slice, fd, &handlers, door);
        error = listener ? 0 : ENOMEM;
    }
    if (error) {
        close(fd);
        log_line(LOG_ERROR, "event=door-lost socket=\"%s\" error=\"%s\" errno=%d", door->rendezvous->address.sun_path,
                 errno_text(error), error);
        return;
    }
    /* Clients that wait in the backlog of the old one are hung up on, and come again. */
    engine_timer_cancel(&door->timer);
    engine_socket_close(door->listener);
    door->listener = listener;
    engine_accept(listener);
    log_line(LOG_WARNING, "event=door-moved socket=\"%s\" why=\"somebody has removed the file\"",
             door->rendezvous->address.sun_path);
}

static void take(struct door *door, const struct respawner_news *news)
{
    struct rendezvous *rendezvous = door->rendezvous;
    bool lacks_lock = news->lock_fd < 0 && !file_id_is_same(news->own.lock, rendezvous->own.lock);
    bool lacks_socket = news->listen_fd < 0 && !file_id_is_same(news->own.socket, rendezvous->own.socket);
    if (!door->listener || lacks_lock || lacks_socket) {
        /* The daemon leaves. Or it had no number left for a descriptor; then the respawner is to make all anew. */
        if (news->lock_fd >= 0)
            close(news->lock_fd);
        if (news->listen_fd >= 0)
            close(news->listen_fd);
        if (door->listener)
            respawner_say(door->respawner, RESPAWNER_WATCH, &rendezvous->own);
        return;
    }
    rendezvous->own = news->own;
    if (news->lock_fd >= 0) {
        if (rendezvous->lock_fd >= 0)
            close(rendezvous->lock_fd);
        rendezvous->lock_fd = news->lock_fd;
    }
    if (news->listen_fd >= 0) {
        if (door->next >= 0)
            close(door->next);
        door->next = news->listen_fd;
    }
    door_go_on(door);
}

static void on_bell(void *owner)
{
    struct door *door = owner;
    struct respawner_news news;
    char strokes[16];
    while (read(door->bell_fd, strokes, sizeof strokes) > 0) {
    }
    while (respawner_hear(door->respawner, 0, &news)) {
        if (news.word == RESPAWNER_MADE_ANEW) {
            take(door, &news);
        } else if (news.word == RESPAWNER_ORPHAN && door->listener) {
            log_line(LOG_WARNING, "event=orphaned socket=\"%s\" why=\"another daemon has the place\"",
                     door->rendezvous->address.sun_path);
            door->user->lost(door->context);
        }
    }
}

/* ---- the door itself ---- */

int door_init(struct door *door, struct time_slice *slice, struct rendezvous *rendezvous, struct respawner *respawner,
              const struct door_user *user, void *context)
{
    *door = (struct door){
        .user = user,
        .context = context,
        .slice = slice,
        .rendezvous = rendezvous,
        .respawner = respawner,
        .next = -1,
    };
    engine_timer_init(&door->timer, slice->engine, on_retry, door);
    if (respawner->bell >= 0) {
        door->bell = engine_bell_new(slice->engine, respawner->bell, on_bell, door);
        if (!door->bell)
            return -ENOMEM;
        door->bell_fd = respawner->bell;
        respawner->bell = -1;
    }
    door->listener = engine_socket_new(slice, rendezvous->listen_fd, &handlers, door);
    if (!door->listener)
        return -ENOMEM;
    rendezvous_take_listener(rendezvous);
    return 0;
}

void door_deinit(struct door *door)
{
    if (!door->user)
        return;
    door_close(door);
    engine_bell_free(door->bell);
    engine_timer_deinit(&door->timer);
}

void door_open(struct door *door)
{
    engine_accept(door->listener);
    respawner_say(door->respawner, RESPAWNER_WATCH, &door->rendezvous->own);
}

int door_fd(const struct door *door)
{
    return engine_socket_fd(door->listener);
}

void door_look(struct door *door)
{
    if (door->listener)
        respawner_say(door->respawner, RESPAWNER_LOOK, NULL);
}

void door_go_on(struct door *door)
{
    if (door->next < 0 || !door->listener || door->user->is_held(door->context))
        return;
    int fd = door->next;
    door->next = -1;
    move(door, fd);
}

static void shut(struct door *door)
{
    if (door->listener)
        engine_socket_close(door->listener);
    door->listener = NULL;
    if (door->next >= 0)
        close(door->next);
    door->next = -1;
}

/* Returns when the respawner has removed the files, for a daemon that has left shall have left nothing behind. */
static void have_files_removed(const struct door *door)
{
    struct respawner_news news = {.word = RESPAWNER_ORPHAN};
    if (respawner_say(door->respawner, RESPAWNER_REMOVE, NULL) < 0)
        return;
    while (news.word != RESPAWNER_REMOVED && respawner_hear(door->respawner, REMOVE_MS, &news)) {
        if (news.lock_fd >= 0)
            close(news.lock_fd);
        if (news.listen_fd >= 0)
            close(news.listen_fd);
    }
}

void door_close(struct door *door)
{
    if (door->listener)
        have_files_removed(door);
    shut(door);
    rendezvous_close(door->rendezvous);
}

void door_leave(struct door *door)
{
    respawner_say(door->respawner, RESPAWNER_FORGET, NULL);
    rendezvous_leave(door->rendezvous);
    shut(door);
}
