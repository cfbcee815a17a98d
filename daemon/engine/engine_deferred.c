#include "daemon/engine/engine_deferred.h"

#include "daemon/engine/engine_core.h"

void engine_defer(struct engine *engine, struct engine_deferred *deferred)
{
    if (list_is_empty(&deferred->node))
        list_append(&engine->deferred, &deferred->node);
}

void engine_deferred_cancel(struct engine_deferred *deferred)
{
    list_remove(&deferred->node);
}

void engine_deferred_run_all(struct engine *engine)
{
    struct list batch;
    struct list *node;
    list_init(&batch);
    list_splice(&batch, &engine->deferred);
    while ((node = list_take_first(&batch))) {
        struct engine_deferred *deferred = list_entry(node, struct engine_deferred, node);
        deferred->run(deferred);
    }
}
