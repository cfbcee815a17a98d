/*
 * An intrusive doubly linked list. A node is in at most one list; a node that is in none points to itself.
 */
#ifndef OCHE_DAEMON_ENGINE_LIST_H
#define OCHE_DAEMON_ENGINE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *previous;
};

#define list_entry(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void list_init(struct list *list)
{
    list->next = list->previous = list;
}

static inline bool list_is_empty(const struct list *list)
{
    return list->next == list;
}

static inline void list_append(struct list *list, struct list *node)
{
    node->previous = list->previous;
    node->next = list;
    list->previous->next = node;
    list->previous = node;
}

/* Fine for a node that is in no list. */
static inline void list_remove(struct list *node)
{
    node->previous->next = node->next;
    node->next->previous = node->previous;
    list_init(node);
}

/* The first node, taken out; NULL if the list is empty. */
static inline struct list *list_take_first(struct list *list)
{
    struct list *node = list->next;
    if (node == list)
        return NULL;
    /* The analyzer does not see that a node which was taken out, and freed, is not the first any more. */
    list_remove(node); /* NOLINT(clang-analyzer-unix.Malloc) */
    return node;
}

/* Moves everything from `source` to the end of `list`. */
static inline void list_splice(struct list *list, struct list *source)
{
    if (list_is_empty(source))
        return;
    source->next->previous = list->previous;
    list->previous->next = source->next;
    source->previous->next = list;
    list->previous = source->previous;
    list_init(source);
}

#endif
