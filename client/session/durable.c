#include "client/session/durable.h"

#include "client/session/pending.h"
#include "client/session/public_handle.h"
#include "proto/oche.pb-c.h"

#include <stdlib.h>

void durable_deinit(struct durable *durable)
{
    while (durable->first)
        durable_remove(durable, durable->first);
}

struct durable_listener *durable_find(const struct durable *durable, int64_t handle)
{
    bool is_ours = handle_generation(public_to_wire(handle)) == 0;
    struct durable_listener *listener = is_ours ? durable->first : NULL;
    while (listener && listener->handle != handle)
        listener = listener->next;
    return listener;
}

struct durable_listener *durable_at(const struct durable *durable, int64_t wire)
{
    struct durable_listener *listener = durable->first;
    while (listener && listener->wire != wire)
        listener = listener->next;
    return listener;
}

bool durable_is_open(const struct durable *durable)
{
    const struct durable_listener *listener = durable->first;
    while (listener && listener->wire == 0)
        listener = listener->next;
    return listener;
}

/* One that no listener has now. */
static int64_t new_handle(struct durable *durable, int64_t tag)
{
    int64_t handle;
    do {
        durable->last_number = durable->last_number % HANDLE_SLOT_MAX + 1;
        handle = tag | durable->last_number;
    } while (durable_find(durable, handle));
    return handle;
}

struct durable_listener *durable_add(struct durable *durable, int64_t tag, const struct pending_request *listen,
                                     int64_t wire, const struct endpoints *endpoints)
{
    Oche__Listen *message = oche__listen__unpack(NULL, listen->body_length, listen->body);
    if (!message)
        return NULL;
    message->port = endpoints->local.port; /* which the system may have chosen */
    size_t length = oche__listen__get_packed_size(message);
    struct durable_listener *listener = malloc(sizeof *listener + length);
    if (listener) {
        *listener = (struct durable_listener){
            .next = durable->first,
            .handle = new_handle(durable, tag),
            .wire = wire,
            .entry = {.kind = HANDLE_LISTENER, .endpoints = *endpoints},
            .body_length = (uint16_t)length,
        };
        oche__listen__pack(message, listener->body);
        durable->first = listener;
    }
    oche__listen__free_unpacked(message, NULL);
    return listener;
}

void durable_remove(struct durable *durable, struct durable_listener *listener)
{
    struct durable_listener **place = &durable->first;
    while (*place != listener)
        place = &(*place)->next;
    *place = listener->next;
    free(listener);
}
