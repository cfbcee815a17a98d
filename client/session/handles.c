#include "client/session/handles.h"

#include "proto/handle.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_BITS = 8, PAGE_ENTRIES = 1 << PAGE_BITS };

struct handles_page {
    struct handle_entry entries[PAGE_ENTRIES];
};

static void free_page(struct handles_page *page)
{
    for (size_t i = 0; page && i < PAGE_ENTRIES; i++)
        reading_deinit(&page->entries[i].reading);
    free(page);
}

void handles_deinit(struct handles *handles)
{
    for (size_t i = 0; i < handles->page_count; i++)
        free_page(handles->pages[i]);
    free(handles->pages);
    *handles = (struct handles){0};
}

/* The entry of the slot, live or not; NULL if its page does not exist. */
static struct handle_entry *entry_of(const struct handles *handles, int64_t handle)
{
    uint32_t slot = handle_slot(handle);
    size_t page = slot >> PAGE_BITS;
    if (page >= handles->page_count || !handles->pages[page])
        return NULL;
    return &handles->pages[page]->entries[slot % PAGE_ENTRIES];
}

static bool make_page(struct handles *handles, size_t page)
{
    if (page >= handles->page_count) {
        size_t count = page + 1;
        struct handles_page **pages = realloc(handles->pages, count * sizeof(struct handles_page *));
        if (!pages)
            return false;
        for (size_t i = handles->page_count; i < count; i++)
            pages[i] = NULL;
        handles->pages = pages;
        handles->page_count = count;
    }
    if (!handles->pages[page])
        handles->pages[page] = calloc(1, sizeof(struct handles_page));
    return handles->pages[page];
}

struct handle_entry *handles_find(const struct handles *handles, int64_t handle)
{
    struct handle_entry *entry = entry_of(handles, handle);
    bool live = entry && entry->kind != HANDLE_NONE && entry->generation == handle_generation(handle);
    return live ? entry : NULL;
}

bool handles_slot_is_taken(const struct handles *handles, int64_t handle)
{
    const struct handle_entry *entry = entry_of(handles, handle);
    return entry && entry->kind != HANDLE_NONE;
}

struct handle_entry *handles_add(struct handles *handles, int64_t handle, enum handle_kind kind)
{
    if (!make_page(handles, handle_slot(handle) >> PAGE_BITS))
        return NULL;
    struct handle_entry *entry = entry_of(handles, handle);
    assert(entry->kind == HANDLE_NONE);
    *entry = (struct handle_entry){.generation = handle_generation(handle), .kind = kind};
    handles_note(handles, handle);
    return entry;
}

void handles_note(struct handles *handles, int64_t handle)
{
    if (handle_generation(handle) > handles->newest_generation)
        handles->newest_generation = handle_generation(handle);
}

void handles_remove(struct handle_entry *entry)
{
    assert(!entry->reading.ahead.first);
    entry->kind = HANDLE_NONE;
}

bool handles_keep_listeners(struct handles *handles)
{
    bool any = false;
    for (size_t i = 0; i < handles->page_count * PAGE_ENTRIES; i++) {
        struct handles_page *page = handles->pages[i / PAGE_ENTRIES];
        struct handle_entry *entry = page ? &page->entries[i % PAGE_ENTRIES] : NULL;
        if (!entry || entry->kind == HANDLE_NONE)
            continue;
        if (entry->kind == HANDLE_LISTENER && !entry->is_bound) {
            entry->unclaimed = 0;
            any = true;
        } else {
            reading_deinit(&entry->reading);
            handles_remove(entry);
        }
    }
    return any;
}

struct handle_entry *handles_next_accepted(const struct handles *handles, int64_t listener, size_t *position)
{
    while (*position < handles->page_count * PAGE_ENTRIES) {
        struct handles_page *page = handles->pages[*position / PAGE_ENTRIES];
        struct handle_entry *entry = page ? &page->entries[*position % PAGE_ENTRIES] : NULL;
        *position += page ? 1 : PAGE_ENTRIES;
        if (entry && entry->kind == HANDLE_CONNECTION && entry->listener == listener)
            return entry;
    }
    return NULL;
}
