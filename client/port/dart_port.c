#include "client/port/dart_port.h"

#include "client/lane/lane.h"
#include "client/port/dart_api.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

enum { MESSAGE_LENGTH = 3 };

/* Atomic because isolates may initialise at the same time; they all find the same. */
static _Atomic(dart_post_function *) post;
static _Atomic(dart_current_isolate_function *) current_isolate;
static _Atomic(dart_scope_function *) enter_scope;
static _Atomic(dart_scope_function *) exit_scope;
static _Atomic(dart_new_send_port_function *) new_send_port;
static _Atomic(dart_port_of_send_port_function *) port_of_send_port;

bool dart_port_resolve(const void *api_data)
{
    const struct dart_api *api = api_data;
    if (!api || api->major != DART_API_MAJOR || !api->functions)
        return false;

    dart_post_function *found_post = NULL;
    dart_current_isolate_function *found_isolate = NULL;
    for (const struct dart_api_entry *entry = api->functions; entry->name; entry++) {
        if (strcmp(entry->name, "Dart_PostCObject") == 0)
            found_post = (dart_post_function *)entry->function;
        else if (strcmp(entry->name, "Dart_CurrentIsolate") == 0)
            found_isolate = (dart_current_isolate_function *)entry->function;
        else if (strcmp(entry->name, "Dart_EnterScope") == 0)
            atomic_store(&enter_scope, (dart_scope_function *)entry->function);
        else if (strcmp(entry->name, "Dart_ExitScope") == 0)
            atomic_store(&exit_scope, (dart_scope_function *)entry->function);
        else if (strcmp(entry->name, "Dart_NewSendPort") == 0)
            atomic_store(&new_send_port, (dart_new_send_port_function *)entry->function);
        else if (strcmp(entry->name, "Dart_SendPortGetIdEx") == 0)
            atomic_store(&port_of_send_port, (dart_port_of_send_port_function *)entry->function);
    }
    if (!found_post || !found_isolate)
        return false;
    atomic_store(&post, found_post);
    atomic_store(&current_isolate, found_isolate);
    return true;
}

struct dart_isolate dart_port_current_isolate(void)
{
    struct dart_isolate isolate = {.address = NULL};
    dart_current_isolate_function *ask_isolate = atomic_load(&current_isolate);
    if (ask_isolate)
        isolate.address = ask_isolate();
    return isolate;
}

bool dart_port_is_open(int64_t port)
{
    dart_scope_function *enter = atomic_load(&enter_scope), *leave = atomic_load(&exit_scope);
    dart_new_send_port_function *new_port = atomic_load(&new_send_port);
    dart_port_of_send_port_function *ask = atomic_load(&port_of_send_port);
    if (!enter || !leave || !new_port || !ask)
        return true;
    struct dart_port_and_origin found = {.origin = 0};
    enter();
    ask(new_port(port), &found); /* an error handle is no port: then the answer stays 0 */
    leave();
    return found.origin != 0;
}

static void finalize(void *isolate_data, void *peer)
{
    (void)isolate_data;
    lane_free_data(peer);
}

static struct dart_object int64_object(int64_t value)
{
    return (struct dart_object){.type = DART_INT64, .value.as_int64 = value};
}

static struct dart_object data_object(const struct oche_completion *completion)
{
    const struct data *data = completion->data_owner;
    return (struct dart_object){
        /* Endpoints are so few bytes that a copy costs the VM less than a finalizer. */
        .type = data->endpoints ? DART_TYPED_DATA : DART_EXTERNAL_TYPED_DATA,
        .value.as_external_typed_data =
            {
                .type = DART_UINT8,
                .length = (intptr_t)data->length,
                .data = completion->data,
                .peer = completion->data_owner,
                .finalizer = finalize,
            },
    };
}

static struct dart_object last_object(const struct oche_completion *completion, bool error_detail)
{
    if (completion->why)
        return (struct dart_object){.type = DART_STRING, .value.as_string = completion->why};
    if (completion->data)
        return data_object(completion);
    if (error_detail && completion->result < 0)
        return int64_object(completion->os_error);
    return (struct dart_object){.type = DART_NULL};
}

bool dart_port_post(int64_t port, const struct oche_completion *completions, size_t count, bool error_detail)
{
    enum { TRIPLE = 3 };
    struct dart_object objects[TRIPLE * DART_PORT_BATCH_MAX];
    struct dart_object *values[TRIPLE * DART_PORT_BATCH_MAX];
    struct dart_object *object = objects;
    assert(count > 0 && count <= DART_PORT_BATCH_MAX);
    for (size_t i = 0; i < count; i++) {
        *object++ = int64_object(completions[i].request_id);
        *object++ = int64_object(completions[i].result);
        *object++ = last_object(&completions[i], error_detail);
    }
    for (size_t i = 0; i < TRIPLE * count; i++)
        values[i] = &objects[i];

    struct dart_object message = {
        .type = DART_ARRAY,
        .value.as_array = {.length = (intptr_t)(TRIPLE * count), .values = values},
    };
    bool posted = atomic_load(&post)(port, &message);
    for (size_t i = 0; i < count; i++) {
        int32_t type = objects[TRIPLE * i + 2].type;
        bool copied = type == DART_TYPED_DATA || type == DART_STRING;
        if (!posted || copied) /* still ours, for no finalizer will run; else it may be gone already */
            lane_free_data(completions[i].data_owner);
    }
    return posted;
}
