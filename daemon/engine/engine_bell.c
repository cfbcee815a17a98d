#include "daemon/engine/engine_bell.h"

#include "daemon/engine/backend.h"

#include <stdlib.h>

struct engine_bell *engine_bell_new(struct engine *engine, int fd, void (*rung)(void *owner), void *owner)
{
    struct engine_bell *bell = calloc(1, engine->backend->bell_size);
    if (!bell)
        return NULL;
    *bell = (struct engine_bell){.engine = engine, .fd = fd, .rung = rung, .owner = owner};
    if (engine->backend->bell_init(bell) < 0) {
        free(bell);
        return NULL;
    }
    return bell;
}

void engine_bell_free(struct engine_bell *bell)
{
    if (bell)
        bell->engine->backend->bell_free(bell);
}
