#include "client/lane/data.h"

#include "client/os/region.h"

#include <stdlib.h>
#include <string.h>

/* A copy shares one allocation with what describes it. */
static uint8_t *bytes_behind(struct data *data)
{
    return (uint8_t *)(data + 1);
}

struct data *data_new_empty(uint32_t length)
{
    struct data *data = malloc(sizeof *data + length);
    if (data)
        *data = (struct data){.bytes = bytes_behind(data), .length = length};
    return data;
}

struct data *data_new_copy(const uint8_t *bytes, uint32_t length)
{
    struct data *data = data_new_empty(length);
    if (data)
        memcpy(data->bytes, bytes, length);
    return data;
}

struct data *data_new_adopting(uint8_t *bytes, uint32_t length)
{
    struct data *data = malloc(sizeof *data);
    if (data)
        *data = (struct data){.bytes = bytes, .length = length};
    return data;
}

struct data *data_new_in_region(struct region *region, uint8_t *bytes, uint32_t offset, uint32_t length)
{
    struct data *data = malloc(sizeof *data);
    if (data)
        *data = (struct data){.region = region_ref(region), .bytes = bytes, .length = length, .offset = offset};
    return data;
}

void data_free(struct data *data)
{
    if (!data)
        return;
    if (data->region)
        region_unref(data->region);
    else if (data->bytes != bytes_behind(data))
        free(data->bytes);
    free(data);
}

void data_queue_push(struct data_queue *queue, struct data *data)
{
    data->next = NULL;
    if (queue->last)
        queue->last->next = data;
    else
        queue->first = data;
    queue->last = data;
}

void data_queue_push_back(struct data_queue *queue, struct data *data)
{
    data->next = queue->first;
    queue->first = data;
    if (!queue->last)
        queue->last = data;
}

struct data *data_queue_pop(struct data_queue *queue)
{
    struct data *data = queue->first;
    if (data) {
        queue->first = data->next;
        if (!queue->first)
            queue->last = NULL;
    }
    return data;
}

void data_queue_deinit(struct data_queue *queue)
{
    struct data *data;
    while ((data = data_queue_pop(queue)))
        data_free(data);
}
