#include "daemon/handover/handover_items.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SMALLEST = 16 };

void handover_items_init(struct handover_items *all)
{
    *all = (struct handover_items){.count = 0};
    pthread_mutex_init(&all->lock, NULL);
}

void handover_items_deinit(struct handover_items *all)
{
    handover_items_close(all);
    pthread_mutex_destroy(&all->lock);
}

static int add(struct handover_items *all, const struct handover_item *item)
{
    if (all->count == all->size) {
        uint32_t size = all->size ? all->size * 2 : SMALLEST;
        struct handover_item *items = realloc(all->items, size * sizeof *items);
        if (!items)
            return -ENOMEM;
        all->items = items;
        all->size = size;
    }
    all->items[all->count++] = *item;
    return 0;
}

int handover_items_add(struct handover_items *all, const uint8_t token[HANDOVER_TOKEN_SIZE], int64_t handle, int fd)
{
    struct handover_item item = {.handle = handle, .fd = fd};
    memcpy(item.token, token, sizeof item.token);
    pthread_mutex_lock(&all->lock);
    int r = add(all, &item);
    pthread_mutex_unlock(&all->lock);
    return r;
}

/* In the same time whatever the difference is, so that nobody can find a token byte by byte. */
static bool is_same(const uint8_t *one, const uint8_t *other)
{
    uint8_t difference = 0;
    for (size_t i = 0; i < HANDOVER_TOKEN_SIZE; i++)
        difference |= one[i] ^ other[i];
    return difference == 0;
}

static uint32_t count_of(const struct handover_items *all, const uint8_t token[HANDOVER_TOKEN_SIZE])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < all->count; i++)
        count += is_same(all->items[i].token, token);
    return count;
}

/* In the order in which they were added. */
static void take_out(struct handover_items *all, const uint8_t token[HANDOVER_TOKEN_SIZE], struct handover_item *items)
{
    uint32_t taken = 0, left = 0;
    for (uint32_t i = 0; i < all->count; i++) {
        const struct handover_item *item = &all->items[i];
        if (!is_same(item->token, token))
            all->items[left++] = *item;
        else if (items)
            items[taken++] = *item;
        else
            close(item->fd);
    }
    all->count = left;
}

uint32_t handover_items_claim(struct handover_items *all, const uint8_t token[HANDOVER_TOKEN_SIZE],
                              struct handover_item **items)
{
    *items = NULL;
    pthread_mutex_lock(&all->lock);
    uint32_t count = count_of(all, token);
    if (count > 0) {
        *items = malloc(count * sizeof **items);
        take_out(all, token, *items);
    }
    pthread_mutex_unlock(&all->lock);
    return *items ? count : 0;
}

uint32_t handover_items_close(struct handover_items *all)
{
    pthread_mutex_lock(&all->lock);
    uint32_t count = all->count;
    for (uint32_t i = 0; i < count; i++)
        close(all->items[i].fd);
    free(all->items);
    all->items = NULL;
    all->count = all->size = 0;
    pthread_mutex_unlock(&all->lock);
    return count;
}
