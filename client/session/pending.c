/*
 * A table of slots that grows by doubling and never shrinks; free slots form a list. A slot counts its generation up
 * each time it is freed, and the id on the wire names both: a late, repeated or made-up answer finds no request.
 *
 * Freeing leaves the slot where it is, so that whoever walks through all requests with pending_next() may complete the
 * one that it is at.
 */
#include "client/session/pending.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    SMALLEST = 16,
    MOST = 1 << 24, /* more than any daemon takes; and the bytes of so many fit a 32-bit size_t */
};

static const uint32_t GENERATION_MAX = INT32_MAX; /* so that ids on the wire are positive */

void pending_deinit(struct pending *pending)
{
    for (uint32_t i = 0; i < pending->capacity; i++)
        free(pending->requests[i].body);
    free(pending->requests);
    *pending = (struct pending){0};
}

static void release(struct pending *pending, uint32_t index, uint32_t generation)
{
    pending->requests[index] = (struct pending_request){
        .generation = generation,
        .next_free = pending->first_free,
    };
    pending->first_free = index + 1;
}

static bool grow(struct pending *pending)
{
    uint32_t capacity = pending->capacity ? pending->capacity * 2 : SMALLEST;
    if (capacity > MOST)
        return false;
    struct pending_request *requests = realloc(pending->requests, capacity * sizeof *pending->requests);
    if (!requests)
        return false;
    pending->requests = requests;
    for (uint32_t i = capacity; i-- > pending->capacity;)
        release(pending, i, 1);
    pending->capacity = capacity;
    return true;
}

struct pending_request *pending_add(struct pending *pending, uint16_t opcode)
{
    if (!pending->first_free && !grow(pending))
        return NULL;
    struct pending_request *request = &pending->requests[pending->first_free - 1];
    pending->first_free = request->next_free;
    pending->count++;
    pending->owed += pending_is_owed(opcode);
    *request = (struct pending_request){
        .generation = request->generation,
        .opcode = opcode,
        .serial = ++pending->made,
        .owed = pending_is_owed(opcode),
    };
    pending->newest = pending_number(pending, request);
    return request;
}

void pending_owe(struct pending *pending, struct pending_request *request)
{
    pending->owed += !request->owed;
    request->owed = true;
}

void pending_remove(struct pending *pending, struct pending_request *request)
{
    assert(request->opcode != 0);
    free(request->body);
    pending->owed -= request->owed;
    uint32_t generation = request->generation < GENERATION_MAX ? request->generation + 1 : 1;
    release(pending, (uint32_t)(request - pending->requests), generation);
    pending->count--;
}

bool pending_keep_body(struct pending_request *request, const uint8_t *body, size_t length)
{
    request->body = malloc(length);
    if (!request->body)
        return false;
    memcpy(request->body, body, length);
    request->body_length = (uint16_t)length;
    return true;
}

void pending_drop_body(struct pending_request *request)
{
    free(request->body);
    request->body = NULL;
    request->body_length = 0;
}

int64_t pending_wire_id(const struct pending *pending, const struct pending_request *request)
{
    return (int64_t)request->generation << 32 | (uint32_t)(request - pending->requests);
}

uint32_t pending_number(const struct pending *pending, const struct pending_request *request)
{
    return (uint32_t)(request - pending->requests) + 1;
}

struct pending_request *pending_numbered(const struct pending *pending, uint32_t number)
{
    assert(number > 0 && number <= pending->capacity && pending->requests[number - 1].opcode != 0);
    return &pending->requests[number - 1];
}

struct pending_request *pending_find(const struct pending *pending, int64_t wire_id)
{
    uint32_t index = (uint32_t)wire_id;
    if (index >= pending->capacity)
        return NULL;
    struct pending_request *request = &pending->requests[index];
    return request->opcode && request->generation == wire_id >> 32 ? request : NULL;
}

struct pending_request *pending_newest(const struct pending *pending)
{
    struct pending_request *request = pending->newest ? &pending->requests[pending->newest - 1] : NULL;
    return request && request->opcode && request->serial == pending->made ? request : NULL;
}

struct pending_request *pending_next(const struct pending *pending, const struct pending_request *request)
{
    uint32_t index = request ? (uint32_t)(request - pending->requests) + 1 : 0;
    for (; index < pending->capacity; index++) {
        if (pending->requests[index].opcode)
            return &pending->requests[index];
    }
    return NULL;
}
