/*
 * In the place of the system's header: atomic objects are plain ones, and what is done with them goes through the
 * explorer. So the product's code can be explored as it is.
 */
#ifndef OCHE_TESTS_EXPLORER_STDATOMIC_H
#define OCHE_TESTS_EXPLORER_STDATOMIC_H

#include "tests/explorer/explorer.h"

#include <stdbool.h>
#include <stdint.h>

#define _Atomic
#define ATOMIC_INT_LOCK_FREE 2

typedef bool atomic_bool;
typedef int atomic_int;
typedef long atomic_long;
typedef unsigned long long atomic_ullong;

/* What "sequentially consistent" is taken for. Where it is less, the explorer has to find what goes wrong. */
#ifndef EXPLORER_SEQ_CST
#define EXPLORER_SEQ_CST EXPLORER_SC
#endif

#define memory_order_relaxed EXPLORER_RELAXED
#define memory_order_acquire EXPLORER_ACQUIRE
#define memory_order_release EXPLORER_RELEASE
#define memory_order_seq_cst EXPLORER_SEQ_CST

#define EXPLORER_TYPE(object) __typeof__(*(object))

#define atomic_load_explicit(object, order) ((EXPLORER_TYPE(object))explorer_load(object, sizeof *(object), order))
#define atomic_store_explicit(object, value, order)                                                                    \
    explorer_store(object, sizeof *(object), (uint64_t)(EXPLORER_TYPE(object))(value), order)
#define EXPLORER_MODIFY(how, object, value)                                                                            \
    ((EXPLORER_TYPE(object))explorer_modify(object, sizeof *(object), how, (uint64_t)(EXPLORER_TYPE(object))(value),   \
                                            EXPLORER_SEQ_CST))
#define atomic_exchange(object, value) EXPLORER_MODIFY(EXPLORER_SET, object, value)
#define atomic_fetch_add(object, value) EXPLORER_MODIFY(EXPLORER_ADD, object, value)
#define atomic_fetch_sub(object, value) EXPLORER_MODIFY(EXPLORER_ADD, object, -(value))
#define atomic_fetch_or(object, value) EXPLORER_MODIFY(EXPLORER_OR, object, value)
#define atomic_init(object, value) (*(object) = (value))
#define atomic_load(object) atomic_load_explicit(object, EXPLORER_SEQ_CST)
#define atomic_store(object, value) atomic_store_explicit(object, value, EXPLORER_SEQ_CST)

#endif
