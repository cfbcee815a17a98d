#include "daemon/session/starvation.h"

#include <assert.h>

static void on_timer(void *owner)
{
    struct starvation *starvation = owner;
    starvation->delay_ms = 0;
    starvation_retry(starvation);
}

void starvation_init(struct starvation *starvation, struct engine *engine)
{
    *starvation = (struct starvation){.engine = engine};
    list_init(&starvation->waiting);
    engine_timer_init(&starvation->timer, engine, on_timer, starvation);
}

void starvation_deinit(struct starvation *starvation)
{
    assert(!starvation->engine || list_is_empty(&starvation->waiting));
    engine_timer_deinit(&starvation->timer);
}

void starvation_wait(struct starvation *starvation, struct starved *starved, unsigned delay_ms)
{
    list_append(&starvation->waiting, &starved->node);
    if (delay_ms == 0 || (starvation->delay_ms && starvation->delay_ms <= delay_ms))
        return;
    starvation->delay_ms = delay_ms;
    engine_timer_set(&starvation->timer, delay_ms);
}

void starvation_retry(struct starvation *starvation)
{
    struct list trying;
    struct list *node;
    list_init(&trying);
    list_splice(&trying, &starvation->waiting);
    while ((node = list_take_first(&trying))) {
        struct starved *starved = list_entry(node, struct starved, node);
        starved->retry(starved);
    }
}

void starvation_relieve(struct starvation *starvation)
{
    if (!list_is_empty(&starvation->waiting))
        engine_wake(starvation->engine);
}
