/*
 * Waking a loop: from other threads, and from handlers of signals.
 */
#ifndef OCHE_DAEMON_ENGINE_ENGINE_WAKE_H
#define OCHE_DAEMON_ENGINE_ENGINE_WAKE_H

struct engine;

/* Makes `woken` of engine_new() run soon; from any thread. */
void engine_wake(struct engine *engine);

/* `caught` runs in the loop when the process gets the signal. For one engine in the process. 0 or -errno. */
int engine_catch_signal(struct engine *engine, int signal, void (*caught)(void *context, int signal));

/* For engine_new() and engine_free(). 0 or -errno; then engine_wake_deinit() is to follow, too. */
int engine_wake_init(struct engine *engine);
void engine_wake_deinit(struct engine *engine);

#endif
