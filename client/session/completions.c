#include "client/session/completions.h"

#include "client/lane/data.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

enum { SMALLEST = 16 };

void completions_deinit(struct completions *completions)
{
    struct oche_completion completion;
    while (completions_pop(completions, &completion))
        data_free(completion.data_owner);
    free(completions->ring);
    *completions = (struct completions){0};
}

bool completions_reserve(struct completions *completions, size_t room)
{
    if (completions->capacity - completions->count >= room)
        return true;
    if (room > SIZE_MAX / sizeof *completions->ring / 4 - completions->count)
        return false;

    size_t capacity = completions->capacity ? completions->capacity * 2 : SMALLEST;
    while (capacity - completions->count < room)
        capacity *= 2;
    struct oche_completion *ring = malloc(capacity * sizeof *ring);
    if (!ring)
        return false;
    for (size_t i = 0; i < completions->count; i++)
        ring[i] = completions->ring[(completions->first + i) & (completions->capacity - 1)];
    free(completions->ring);
    completions->ring = ring;
    completions->capacity = capacity;
    completions->first = 0;
    return true;
}

void completions_push(struct completions *completions, const struct oche_completion *completion)
{
    assert(completions->count < completions->capacity);
    size_t last = (completions->first + completions->count) & (completions->capacity - 1);
    completions->ring[last] = *completion;
    completions->count++;
}

bool completions_pop(struct completions *completions, struct oche_completion *completion)
{
    if (completions->count == 0)
        return false;
    *completion = completions->ring[completions->first];
    completions->first = (completions->first + 1) & (completions->capacity - 1);
    completions->count--;
    return true;
}
