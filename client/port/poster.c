/*
 * The thread sleeps in one epoll_wait(), on the session's descriptor; the bell is in that set as well. It wakes up for
 * four reasons: the daemon has said something; something is due; a request was made that needs a daemon, and the
 * session has rung the bell; or poster_end() has. It then dispatches, finds a daemon if the session awaits one, and
 * posts what has completed, until there is nothing left to post.
 *
 * While the thread looks for a daemon it is inside attachment_renew(), which calls back to post what has completed
 * because of its limit, and which returns early when the bell rings again.
 */
#include "client/port/poster.h"

#include "client/os/bell.h"
#include "client/os/diagnostics.h"
#include "client/session/attachment.h"
#include "client/session/dispatch.h"
#include "client/session/lifecycle.h"
#include "client/session/session.h"
#include "proto/errors.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    /* Bytes. The thread itself needs a few KiB, the VM's part of a post little more; the C library
     * takes the thread-local variables of the whole process from it, too. */
    STACK_SIZE = 256 * 1024,
    BELL_EPOLL_DATA = SESSION_EPOLL_DATA_END,
};

/* Posts what was popped: each completion by itself, or all in one message. False: the isolate is gone. */
static bool post_batch(const struct poster *poster, const struct oche_completion *completions, size_t count)
{
    int64_t features = atomic_load_explicit(&poster->features, memory_order_relaxed);
    bool error_detail = features & OCHE_FEATURE_ERROR_DETAIL;
    if (features & OCHE_FEATURE_BATCHED_POSTS)
        return dart_port_post(poster->port, completions, count, error_detail);
    bool listening = true;
    for (size_t i = 0; i < count; i++) {
        if (!dart_port_post(poster->port, &completions[i], 1, error_detail))
            listening = false;
    }
    return listening;
}

/* Posts what has completed; *settled: and there is nothing more to do for now. False: the isolate is gone. All that was
 * taken is posted or freed. */
static bool post_completions(struct poster *poster, bool *settled)
{
    struct oche_completion completions[DART_PORT_BATCH_MAX];
    size_t count;
    do {
        count = dispatch_take(poster->session, completions, DART_PORT_BATCH_MAX, settled);
        if (count > 0 && !post_batch(poster, completions, count))
            return false;
    } while (count == DART_PORT_BATCH_MAX);
    return true;
}

/* While the session opens. An isolate that is gone needs no daemon. */
static void post_meanwhile(void *context)
{
    struct poster *poster = context;
    if (poster->deserted || post_completions(poster, &(bool){false}))
        return;
    poster->deserted = true;
    bell_ring(poster->bell_fd);
}

/* Sleeps until there is something to do, and returns what. */
static unsigned sleep_until_needed(const struct poster *poster)
{
    unsigned ready = lane_wait(&poster->session->lane, -1);
    if (ready & 1u << BELL_EPOLL_DATA)
        bell_silence(poster->bell_fd);
    return ready;
}

static bool is_awaited(struct oche_session *session)
{
    session_lock(session);
    bool awaited = session->state == SESSION_AWAITED;
    session_unlock(session);
    return awaited;
}

/* Drains the bell, which the request rang that waits for this. A later ring, by poster_end() or post_meanwhile(), ends
 * the opening early. */
static void open_session(const struct poster *poster)
{
    bell_silence(poster->bell_fd);
    if (!atomic_load(&poster->stops))
        attachment_renew(poster->session);
}

/* Dispatches and posts until it is stopped or the isolate is gone. */
static void serve(struct poster *poster)
{
    bool settled = false;
    while (!atomic_load(&poster->stops)) {
        unsigned ready = settled ? sleep_until_needed(poster) : 0;
        dispatch_ready(poster->session, ready);
        if (ready & 1u << BELL_EPOLL_DATA && is_awaited(poster->session))
            open_session(poster);
        if (poster->deserted || !post_completions(poster, &settled))
            return;
    }
}

static void free_poster(struct poster *poster)
{
    lifecycle_free(poster->session); /* before the bell, which the session may ring */
    close(poster->bell_fd);
    free(poster);
}

static void *run_thread(void *argument)
{
    struct poster *poster = argument;
    pthread_setname_np(pthread_self(), "oche-poster");
    serve(poster);
    if (poster->unregister(poster)) {
        diagnostics_say("an isolate ended without tcp_destroy(); its session is closed");
        pthread_detach(pthread_self());
        lifecycle_end(poster->session);
        free_poster(poster);
    }
    return NULL; /* otherwise somebody is in poster_end() and joins */
}

/* Signals are the host's: the thread takes none. */
static int start_thread(struct poster *poster)
{
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error)
        return error;
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&poster->thread, &attributes, run_thread, poster);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

/* Hangs the bell where the session can ring it and the thread hears it. Returns 0 or an errno. */
static int hang_bell(struct poster *poster)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = BELL_EPOLL_DATA};
    poster->bell_fd = bell_new();
    if (poster->bell_fd < 0)
        return -poster->bell_fd;
    if (epoll_ctl(session_fd(poster->session), EPOLL_CTL_ADD, poster->bell_fd, &event) < 0)
        return errno;
    session_lock(poster->session);
    poster->session->bell_fd = poster->bell_fd;
    poster->session->deliver = post_meanwhile;
    poster->session->deliver_context = poster;
    session_unlock(poster->session);
    return 0;
}

int64_t poster_new(struct dart_isolate isolate, int64_t port, bool opens, poster_unregister *unregister,
                   struct poster **poster)
{
    struct oche_session *session;
    int64_t status =
        opens ? lifecycle_open(NULL, isolate.address, &session) : lifecycle_prepare(NULL, isolate.address, &session);
    if (status < 0)
        return status;

    struct poster *made = malloc(sizeof *made);
    int error = ENOMEM;
    if (made) {
        *made = (struct poster){
            .isolate = isolate, .port = port, .session = session, .unregister = unregister, .bell_fd = -1};
        error = hang_bell(made);
        if (!error)
            error = start_thread(made);
    }
    if (error) {
        diagnostics_fail(error, "cannot start the thread that posts completions");
        lifecycle_end(session);
        lifecycle_free(session);
        if (made && made->bell_fd >= 0)
            close(made->bell_fd);
        free(made);
        return OCHE_ERR_OUT_OF_MEMORY;
    }
    *poster = made;
    return 0;
}

void poster_end(struct poster *poster)
{
    atomic_store(&poster->stops, true);
    bell_ring(poster->bell_fd);
    pthread_join(poster->thread, NULL);
    lifecycle_end(poster->session);
    post_completions(poster, &(bool){false});
    free_poster(poster);
}

void poster_forget(struct poster *poster)
{
    close(poster->bell_fd);
    free(poster);
}
