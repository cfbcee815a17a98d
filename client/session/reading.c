#include "client/session/reading.h"

#include "proto/endpoints.h"

void reading_deinit(struct reading *reading)
{
    data_queue_deinit(&reading->ahead);
}

static uint32_t next_window(const struct reading *reading)
{
    if (reading->window == 0)
        return READING_WINDOW_FIRST;
    return reading->window < READING_WINDOW_LAST ? reading->window * 2 : reading->window;
}

uint32_t reading_due(const struct reading *reading)
{
    if (reading->end || reading->consumed < reading->window / 2)
        return 0;
    return next_window(reading) - reading->window + reading->consumed;
}

void reading_grant(struct reading *reading)
{
    reading->credit += reading_due(reading);
    reading->window = next_window(reading);
    reading->consumed = 0;
}

bool reading_come(struct reading *reading, uint32_t length)
{
    if (reading->end || reading->credit == 0 || (length > reading->credit && !reading->datagrams))
        return false;
    reading->credit -= length < reading->credit ? length : reading->credit;
    return true;
}

struct oche_completion reading_deliver(struct reading *reading, struct data *data)
{
    const uint32_t prefix = reading->datagrams ? ENDPOINT_SIZE : 0;
    reading->consumed += data->length;
    return (struct oche_completion){
        .result = data->length - prefix,
        .data = data->bytes + prefix,
        .data_owner = data,
    };
}

bool reading_finish(struct reading *reading, int32_t code, uint16_t os_error)
{
    if (reading->end)
        return false;
    reading->end = code;
    reading->end_error = os_error;
    return true;
}

struct oche_completion reading_deliver_end(const struct reading *reading)
{
    return (struct oche_completion){.result = reading->end, .os_error = reading->end_error};
}
