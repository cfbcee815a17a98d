#include "tools/benchmark/vm.h"

#include "tools/benchmark/clock.h"
#include "tools/benchmark/dart_object.h"

#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

/* ---- the port ---- */

enum { PORT = 0x0c4e };

/* A message as the VM keeps it: memory of its own, in a list. */
struct posted {
    struct posted *next;
    size_t count;
    struct vm_message completions[];
};

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t arrived;
    bool waited_for;
    struct posted *first;
    struct posted **last;
    struct posted *taken; /* the isolate's */
} port = {.mutex = PTHREAD_MUTEX_INITIALIZER, .last = &port.first};

static _Thread_local bool in_isolate;

static struct vm_message completion_of(struct dart_object *const *values)
{
    struct vm_message message = {
        .request_id = values[0]->value.int64,
        .result = values[1]->value.int64,
    };
    if (values[2]->type == DART_EXTERNAL_TYPED_DATA) {
        message.data = values[2]->value.external.data;
        message.peer = values[2]->value.external.peer;
        message.finalizer = values[2]->value.external.finalizer;
    }
    return message;
}

/* One completion, or a batch of them: [id, result, data, id, result, data, ...]. */
static bool post(int64_t number, struct dart_object *object)
{
    if (number != PORT || object->type != DART_ARRAY || object->value.array.length % 3 != 0)
        errx(1, "a message that is not for us");
    size_t count = (size_t)object->value.array.length / 3;
    struct posted *posted = malloc(sizeof *posted + count * sizeof posted->completions[0]);
    if (!posted)
        err(1, "malloc");
    posted->next = NULL;
    posted->count = count;
    for (size_t i = 0; i < count; i++)
        posted->completions[i] = completion_of(object->value.array.values + 3 * i);

    pthread_mutex_lock(&port.mutex);
    *port.last = posted;
    port.last = &posted->next;
    bool wake = port.waited_for;
    port.waited_for = false;
    pthread_mutex_unlock(&port.mutex);
    if (wake)
        pthread_cond_signal(&port.arrived);
    return true;
}

static void *current_isolate(void)
{
    return in_isolate ? &port : NULL;
}

static const struct dart_entry functions[] = {
    {"Dart_PostCObject", (void (*)(void))post},
    {"Dart_CurrentIsolate", (void (*)(void))current_isolate},
    {NULL, NULL},
};

static struct dart_data data = {.major = 2, .minor = 5, .functions = functions};

/* ---- for the isolate ---- */

void vm_enter(void)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&port.arrived, &attributes);
    pthread_condattr_destroy(&attributes);
    in_isolate = true;
}

void *vm_data(void)
{
    return &data;
}

int64_t vm_port(void)
{
    return PORT;
}

static struct timespec after(int ms)
{
    uint64_t time = clock_now() + (uint64_t)ms * NS_PER_MS;
    return (struct timespec){.tv_sec = (time_t)(time / NS_PER_S), .tv_nsec = (long)(time % NS_PER_S)};
}

/* The mutex is held. */
static void wait_for_message(int timeout_ms)
{
    struct timespec limit = after(timeout_ms);
    int error = 0;
    while (!port.first && error != ETIMEDOUT) {
        port.waited_for = true;
        if (timeout_ms < 0)
            pthread_cond_wait(&port.arrived, &port.mutex);
        else
            error = pthread_cond_timedwait(&port.arrived, &port.mutex, &limit);
    }
    port.waited_for = false;
}

size_t vm_take(const struct vm_message **messages, int timeout_ms)
{
    free(port.taken);
    pthread_mutex_lock(&port.mutex);
    wait_for_message(timeout_ms);
    struct posted *taken = port.first;
    if (taken && !(port.first = taken->next))
        port.last = &port.first;
    pthread_mutex_unlock(&port.mutex);
    port.taken = taken;
    if (!taken)
        return 0;
    *messages = taken->completions;
    return taken->count;
}

void vm_finalize(const struct vm_message *message)
{
    if (message->finalizer)
        message->finalizer(NULL, message->peer);
}
