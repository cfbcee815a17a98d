#include "client/session/public_struct.h"

#include <stdint.h>
#include <string.h>

/* No struct is near this: a larger size is what lay in memory, and nobody has set it. */
enum { SIZE_MAX_OF_ALL = 4096 };

static size_t size_of(const void *callers)
{
    size_t size;
    memcpy(&size, callers, sizeof size);
    return size;
}

bool public_struct_take(void *own, size_t size, const void *callers, size_t least)
{
    size_t callers_size = size_of(callers);
    if (callers_size < least || callers_size > SIZE_MAX_OF_ALL)
        return false;
    const uint8_t *bytes = callers;
    for (size_t i = size; i < callers_size; i++) {
        if (bytes[i] != 0)
            return false;
    }
    memset(own, 0, size);
    memcpy(own, callers, callers_size < size ? callers_size : size);
    return true;
}

bool public_struct_give(void *callers, const void *own, size_t size, size_t least)
{
    size_t callers_size = size_of(callers);
    if (callers_size < least)
        return false;
    size_t common = callers_size < size ? callers_size : size;
    memcpy((uint8_t *)callers + sizeof common, (const uint8_t *)own + sizeof common, common - sizeof common);
    return true;
}
