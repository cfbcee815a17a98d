#include "client/session/ahead.h"

#include "client/session/operations.h"
#include "client/session/session.h"
#include "proto/errors.h"

#include <string.h>

/* The reading of a connection, or NULL. */
static struct reading *find_reading(struct oche_session *session, int64_t handle)
{
    struct handle_entry *entry = session_find(session, handle);
    return entry && entry->kind == HANDLE_CONNECTION && !entry->is_securing ? &entry->reading : NULL;
}

/* More may come while the application looks at what it has, as it may into the buffer of a system. */
static void let_more_come(struct oche_session *session, int64_t handle, struct reading *reading)
{
    if (reading_due(reading) > 0 && lane_reserve(&session->lane, 0, 0) == 0)
        operation_grant(session, handle, reading);
}

int64_t ahead_count(struct oche_session *session, int64_t handle, uint64_t count)
{
    struct reading *reading = find_reading(session, handle);
    if (!reading)
        return OCHE_ERR_INVALID_HANDLE;
    uint64_t fitting = 0;
    for (const struct data *data = reading->ahead.first; data && data->length <= count - fitting; data = data->next)
        fitting += data->length;
    if (!reading->ahead.first)
        let_more_come(session, handle, reading);
    return (int64_t)fitting;
}

int64_t ahead_take(struct oche_session *session, int64_t handle, uint8_t *into, uint64_t count)
{
    struct reading *reading = find_reading(session, handle);
    if (!reading)
        return OCHE_ERR_INVALID_HANDLE;
    uint64_t taken = 0;
    while (reading->ahead.first && reading->ahead.first->length <= count - taken) {
        struct data *data = data_queue_pop(&reading->ahead);
        memcpy(into + taken, data->bytes, data->length);
        taken += data->length;
        reading->consumed += data->length;
        lane_give_back(&session->lane, data);
    }
    let_more_come(session, handle, reading);
    return (int64_t)taken;
}
