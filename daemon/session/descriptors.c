#include "daemon/session/descriptors.h"

#include <sys/resource.h>

void descriptors_init(struct descriptors *descriptors, long at_most, long reserve, void (*freed)(void *context),
                      void *context)
{
    struct rlimit limit = {.rlim_cur = 1024, .rlim_max = 1024};
    getrlimit(RLIMIT_NOFILE, &limit);
    rlim_t wanted = limit.rlim_max;
    if (wanted > (rlim_t)at_most)
        wanted = (rlim_t)at_most;
    if (wanted != limit.rlim_cur) {
        struct rlimit raised = {.rlim_cur = wanted, .rlim_max = limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            limit.rlim_cur = wanted;
    }
    long available = (long)limit.rlim_cur;
    if (reserve > available / 4)
        reserve = available / 4;
    descriptors->limit = available - reserve;
    atomic_init(&descriptors->in_use, 0);
    atomic_init(&descriptors->wanted, false);
    descriptors->freed = freed;
    descriptors->context = context;
}

bool descriptors_take(struct descriptors *descriptors)
{
    if (atomic_fetch_add(&descriptors->in_use, 1) < descriptors->limit)
        return true;
    /* In this order: a descriptor that is given back after the flag is set calls `freed`; one that was given back
     * before is seen by the second look. */
    atomic_fetch_sub(&descriptors->in_use, 1);
    atomic_store(&descriptors->wanted, true);
    if (atomic_load(&descriptors->in_use) < descriptors->limit)
        descriptors->freed(descriptors->context);
    return false;
}

void descriptors_want(struct descriptors *descriptors)
{
    atomic_store(&descriptors->wanted, true);
}

void descriptors_give_back(struct descriptors *descriptors)
{
    atomic_fetch_sub(&descriptors->in_use, 1);
    if (atomic_load_explicit(&descriptors->wanted, memory_order_seq_cst) &&
        atomic_exchange(&descriptors->wanted, false))
        descriptors->freed(descriptors->context);
}
