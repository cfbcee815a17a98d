#include "daemon/session/socket_table.h"

#include "proto/handle.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { SMALLEST = 16 };

void socket_table_init(struct socket_table *table, uint32_t limit)
{
    *table = (struct socket_table){.limit = limit, .generation = 1};
}

void socket_table_deinit(struct socket_table *table)
{
    assert(table->used == 0);
    free(table->slots);
    *table = (struct socket_table){0};
}

void socket_table_begin_after(struct socket_table *table, uint32_t generation)
{
    assert(table->size == 0);
    table->generation = generation % HANDLE_GENERATION_MAX + 1;
}

static void append_free(struct socket_table *table, uint32_t index)
{
    table->slots[index].socket = NULL;
    table->slots[index].next = table->size;
    if (table->first_free == table->size)
        table->first_free = index;
    else
        table->slots[table->last_free].next = index;
    table->last_free = index;
}

/* Slots for more, at least for `needed`, which is within the limit. */
static int grow(struct socket_table *table, uint32_t needed)
{
    uint32_t old = table->size;
    uint32_t size = old ? old * 2 : SMALLEST;
    if (size < needed)
        size = needed;
    if (size > table->limit)
        size = table->limit;
    struct socket_slot *slots = realloc(table->slots, size * sizeof *slots);
    if (!slots)
        return -ENOMEM;
    table->slots = slots;
    table->size = size;
    if (table->first_free == old)
        table->first_free = size;
    else
        slots[table->last_free].next = size;
    for (uint32_t index = old; index < size; index++) {
        slots[index].generation = table->generation;
        append_free(table, index);
    }
    return 0;
}

int64_t socket_table_add(struct socket_table *table, struct socket *socket)
{
    if (table->first_free == table->size) {
        if (table->size == table->limit)
            return 0;
        int r = grow(table, table->size + 1);
        if (r < 0)
            return r;
    }
    uint32_t index = table->first_free;
    struct socket_slot *slot = &table->slots[index];
    table->first_free = slot->next;
    slot->socket = socket;
    table->used++;
    return handle_make(index, slot->generation);
}

static void unlink_free(struct socket_table *table, uint32_t index)
{
    uint32_t next = table->slots[index].next;
    if (table->first_free == index) {
        table->first_free = next;
        return;
    }
    uint32_t before = table->first_free;
    while (table->slots[before].next != index)
        before = table->slots[before].next;
    table->slots[before].next = next;
    if (table->last_free == index)
        table->last_free = before;
}

int socket_table_restore(struct socket_table *table, int64_t handle, struct socket *socket)
{
    uint32_t index = handle_slot(handle);
    if (!handle_is_wellformed(handle) || index >= table->limit)
        return -EEXIST;
    int r = index < table->size ? 0 : grow(table, index + 1);
    if (r < 0)
        return r;
    struct socket_slot *slot = &table->slots[index];
    if (slot->socket)
        return -EEXIST;
    unlink_free(table, index);
    *slot = (struct socket_slot){.socket = socket, .generation = handle_generation(handle)};
    table->used++;
    return 0;
}

struct socket *socket_table_find(const struct socket_table *table, int64_t handle)
{
    if (!handle_is_wellformed(handle) || handle_slot(handle) >= table->size)
        return NULL;
    const struct socket_slot *slot = &table->slots[handle_slot(handle)];
    return slot->generation == handle_generation(handle) ? slot->socket : NULL;
}

void socket_table_remove(struct socket_table *table, int64_t handle)
{
    uint32_t index = handle_slot(handle);
    struct socket_slot *slot = &table->slots[index];
    assert(slot->socket && slot->generation == handle_generation(handle));
    slot->generation = slot->generation % HANDLE_GENERATION_MAX + 1;
    append_free(table, index);
    table->used--;
}

struct socket *socket_table_next(const struct socket_table *table, uint32_t *index)
{
    while (*index < table->size) {
        struct socket *socket = table->slots[(*index)++].socket;
        if (socket)
            return socket;
    }
    return NULL;
}
