#include "client/dart_port.h"

#include "client/dart_api.h"

#include <stdatomic.h>
#include <string.h>

enum { MESSAGE_LENGTH = 3 };

/* Atomic because isolates may initialise at the same time; they all find the same. */
static _Atomic(dart_post_function *) post;
static _Atomic(dart_current_isolate_function *) current_isolate;
static _Atomic(dart_main_port_function *) main_port;

bool dart_port_resolve(const void *api_data)
{
    const struct dart_api *api = api_data;
    if (!api || api->major != DART_API_MAJOR || !api->functions)
        return false;

    dart_post_function *found_post = NULL;
    dart_current_isolate_function *found_isolate = NULL;
    dart_main_port_function *found_port = NULL;
    for (const struct dart_api_entry *entry = api->functions; entry->name; entry++) {
        if (strcmp(entry->name, "Dart_PostCObject") == 0)
            found_post = (dart_post_function *)entry->function;
        else if (strcmp(entry->name, "Dart_CurrentIsolate") == 0)
            found_isolate = (dart_current_isolate_function *)entry->function;
        else if (strcmp(entry->name, "Dart_GetMainPortId") == 0)
            found_port = (dart_main_port_function *)entry->function;
    }
    if (!found_post || !found_isolate)
        return false;
    atomic_store(&main_port, found_port);
    atomic_store(&post, found_post);
    atomic_store(&current_isolate, found_isolate);
    return true;
}

struct dart_isolate dart_port_current_isolate(void)
{
    struct dart_isolate isolate = {.address = NULL};
    dart_current_isolate_function *ask_isolate = atomic_load(&current_isolate);
    dart_main_port_function *ask_port = atomic_load(&main_port);
    if (ask_isolate)
        isolate.address = ask_isolate();
    if (isolate.address && ask_port)
        isolate.main_port = ask_port();
    return isolate;
}

static void finalize(void *isolate_data, void *peer)
{
    (void)isolate_data;
    oche_data_free(peer);
}

static struct dart_object int64_object(int64_t value)
{
    return (struct dart_object){.type = DART_INT64, .value.as_int64 = value};
}

static struct dart_object data_object(const struct oche_completion *completion)
{
    return (struct dart_object){
        .type = DART_EXTERNAL_TYPED_DATA,
        .value.as_external_typed_data =
            {
                .type = DART_UINT8,
                .length = (intptr_t)completion->result,
                .data = completion->data,
                .peer = completion->data_owner,
                .finalizer = finalize,
            },
    };
}

bool dart_port_post(int64_t port, const struct oche_completion *completion, bool error_detail)
{
    struct dart_object request_id = int64_object(completion->request_id);
    struct dart_object result = int64_object(completion->result);
    struct dart_object last = {.type = DART_NULL};
    if (completion->data)
        last = data_object(completion);
    else if (error_detail && completion->result < 0)
        last = int64_object(completion->os_error);

    struct dart_object *values[MESSAGE_LENGTH] = {&request_id, &result, &last};
    struct dart_object message = {
        .type = DART_ARRAY,
        .value.as_array = {.length = MESSAGE_LENGTH, .values = values},
    };
    if (atomic_load(&post)(port, &message))
        return true;
    oche_data_free(completion->data_owner); /* still ours: the finalizer will not run */
    return false;
}
