/*
 * Waking a loop.
 *
 * A bell of the engine's own is rung by engine_wake(), unless a wake is pending already, and by handlers of signals,
 * which do nothing else than to note the signal in a word that is shared by the process (signal-safety(7)). So a signal
 * is a wake like any other, and no backend has to know of signals.
 */
#include "daemon/engine/engine_wake.h"

#include "daemon/engine/engine_bell.h"
#include "daemon/engine/engine_core.h"

#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Bits, by the number of the signal; and where the bell is that tells of them. */
static atomic_ullong signals_caught;
static atomic_int signal_wake_fd = -1;

static void ring(int wake_fd)
{
    uint64_t one = 1;
    /* Cannot fail: the counter never comes near its maximum. */
    ssize_t written = write(wake_fd, &one, sizeof one);
    assert(written == sizeof one);
    (void)written;
}

/* ---- signals ---- */

static void on_signal(int signal)
{
    int error = errno;
    atomic_fetch_or(&signals_caught, 1ULL << signal);
    int fd = atomic_load(&signal_wake_fd);
    if (fd >= 0)
        ring(fd);
    errno = error;
}

static void tell_signals(struct engine *engine)
{
    if (engine->signal_count == 0)
        return;
    unsigned long long caught = atomic_exchange(&signals_caught, 0);
    for (size_t i = 0; i < engine->signal_count; i++) {
        if (caught & 1ULL << engine->signals[i].signal)
            engine->caught(engine->context, engine->signals[i].signal);
    }
}

int engine_catch_signal(struct engine *engine, int signal, void (*caught)(void *context, int signal))
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    assert(engine->signal_count < ENGINE_SIGNALS_MAX && signal < 64);
    sigfillset(&action.sa_mask);
    engine->caught = caught;
    atomic_store(&signal_wake_fd, engine->wake_fd);
    if (sigaction(signal, &action, &engine->signals[engine->signal_count].before) < 0)
        return -errno;
    engine->signals[engine->signal_count++].signal = signal;
    return 0;
}

static void release_signals(struct engine *engine)
{
    for (size_t i = 0; i < engine->signal_count; i++)
        sigaction(engine->signals[i].signal, &engine->signals[i].before, NULL);
    if (engine->signal_count > 0)
        atomic_store(&signal_wake_fd, -1);
    engine->signal_count = 0;
}

/* ---- wakes ---- */

static void on_bell(void *owner)
{
    struct engine *engine = owner;
    /* An exchange and not a store: it reads what the last engine_wake() has written, and with that acquires all that
     * its thread has done before. After a store, what `woken` loads might be older than that (processors delay stores
     * behind loads), while that engine_wake() has seen a wake that is pending and has written nothing: then it would be
     * lost. */
    if (atomic_exchange(&engine->wake_pending, false))
        engine->woken(engine->context);
    tell_signals(engine);
}

void engine_wake(struct engine *engine)
{
    if (!atomic_exchange(&engine->wake_pending, true))
        ring(engine->wake_fd);
}

int engine_wake_init(struct engine *engine)
{
    engine->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (engine->wake_fd < 0)
        return -errno;
    engine->wake_bell = engine_bell_new(engine, engine->wake_fd, on_bell, engine);
    return engine->wake_bell ? 0 : -ENOMEM;
}

void engine_wake_deinit(struct engine *engine)
{
    release_signals(engine);
    if (engine->wake_bell)
        engine_bell_free(engine->wake_bell);
    else if (engine->wake_fd >= 0)
        close(engine->wake_fd);
    engine->wake_bell = NULL;
    engine->wake_fd = -1;
}
