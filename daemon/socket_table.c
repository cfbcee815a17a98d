#include "daemon/socket_table.h"

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
    table->slots[index].object = NULL;
    table->slots[index].kind_or_next = table->size;
    if (table->first_free == table->size)
        table->first_free = index;
    else
        table->slots[table->last_free].kind_or_next = index;
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
        slots[table->last_free].kind_or_next = size;
    for (uint32_t index = old; index < size; index++) {
        slots[index].generation = table->generation;
        append_free(table, index);
    }
    return 0;
}

int64_t socket_table_add(struct socket_table *table, enum socket_kind kind, void *object)
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
    table->first_free = slot->kind_or_next;
    slot->object = object;
    slot->kind_or_next = kind;
    table->used++;
    return handle_make(index, slot->generation);
}

static void unlink_free(struct socket_table *table, uint32_t index)
{
    uint32_t next = table->slots[index].kind_or_next;
    if (table->first_free == index) {
        table->first_free = next;
        return;
    }
    uint32_t before = table->first_free;
    while (table->slots[before].kind_or_next != index)
        before = table->slots[before].kind_or_next;
    table->slots[before].kind_or_next = next;
    if (table->last_free == index)
        table->last_free = before;
}

int socket_table_restore(struct socket_table *table, int64_t handle, enum socket_kind kind, void *object)
{
    uint32_t index = handle_slot(handle);
    if (!handle_is_wellformed(handle) || index >= table->limit)
        return -EEXIST;
    int r = index < table->size ? 0 : grow(table, index + 1);
    if (r < 0)
        return r;
    struct socket_slot *slot = &table->slots[index];
    if (slot->object)
        return -EEXIST;
    unlink_free(table, index);
    *slot = (struct socket_slot){.object = object, .generation = handle_generation(handle), .kind_or_next = kind};
    table->used++;
    return 0;
}

void *socket_table_find(const struct socket_table *table, int64_t handle, enum socket_kind *kind)
{
    *kind = SOCKET_NONE;
    if (!handle_is_wellformed(handle) || handle_slot(handle) >= table->size)
        return NULL;
    const struct socket_slot *slot = &table->slots[handle_slot(handle)];
    if (!slot->object || slot->generation != handle_generation(handle))
        return NULL;
    *kind = (enum socket_kind)slot->kind_or_next;
    return slot->object;
}

void socket_table_remove(struct socket_table *table, int64_t handle)
{
    uint32_t index = handle_slot(handle);
    struct socket_slot *slot = &table->slots[index];
    assert(slot->object && slot->generation == handle_generation(handle));
    slot->generation = slot->generation % HANDLE_GENERATION_MAX + 1;
    append_free(table, index);
    table->used--;
}

void *socket_table_at(const struct socket_table *table, uint32_t index, enum socket_kind *kind)
{
    const struct socket_slot *slot = &table->slots[index];
    *kind = slot->object ? (enum socket_kind)slot->kind_or_next : SOCKET_NONE;
    return slot->object;
}
