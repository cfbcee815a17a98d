#include "daemon/estate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SMALLEST = 16 };

void estate_init(struct estate *estate)
{
    *estate = (struct estate){.count = 0};
    pthread_mutex_init(&estate->lock, NULL);
}

void estate_deinit(struct estate *estate)
{
    estate_close(estate);
    pthread_mutex_destroy(&estate->lock);
}

static int add(struct estate *estate, const struct estate_item *item)
{
    if (estate->count == estate->size) {
        uint32_t size = estate->size ? estate->size * 2 : SMALLEST;
        struct estate_item *items = realloc(estate->items, size * sizeof *items);
        if (!items)
            return -ENOMEM;
        estate->items = items;
        estate->size = size;
    }
    estate->items[estate->count++] = *item;
    return 0;
}

int estate_add(struct estate *estate, const uint8_t token[HANDOVER_TOKEN_SIZE], int64_t handle, int fd)
{
    struct estate_item item = {.handle = handle, .fd = fd};
    memcpy(item.token, token, sizeof item.token);
    pthread_mutex_lock(&estate->lock);
    int r = add(estate, &item);
    pthread_mutex_unlock(&estate->lock);
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

static uint32_t count_of(const struct estate *estate, const uint8_t token[HANDOVER_TOKEN_SIZE])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < estate->count; i++)
        count += is_same(estate->items[i].token, token);
    return count;
}

/* In the order in which they were added. */
static void take_out(struct estate *estate, const uint8_t token[HANDOVER_TOKEN_SIZE], struct estate_item *items)
{
    uint32_t taken = 0, left = 0;
    for (uint32_t i = 0; i < estate->count; i++) {
        const struct estate_item *item = &estate->items[i];
        if (!is_same(item->token, token))
            estate->items[left++] = *item;
        else if (items)
            items[taken++] = *item;
        else
            close(item->fd);
    }
    estate->count = left;
}

uint32_t estate_claim(struct estate *estate, const uint8_t token[HANDOVER_TOKEN_SIZE], struct estate_item **items)
{
    *items = NULL;
    pthread_mutex_lock(&estate->lock);
    uint32_t count = count_of(estate, token);
    if (count > 0) {
        *items = malloc(count * sizeof **items);
        take_out(estate, token, *items);
    }
    pthread_mutex_unlock(&estate->lock);
    return *items ? count : 0;
}

uint32_t estate_close(struct estate *estate)
{
    pthread_mutex_lock(&estate->lock);
    uint32_t count = estate->count;
    for (uint32_t i = 0; i < count; i++)
        close(estate->items[i].fd);
    free(estate->items);
    estate->items = NULL;
    estate->count = estate->size = 0;
    pthread_mutex_unlock(&estate->lock);
    return count;
}
