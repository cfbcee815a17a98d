/*
 * The little of the Dart VM's native API that posting messages needs, version 2.x of what the Dart
 * SDK calls the "DL" interface: the VM passes a table of functions with their names.
 *
 * Layouts are the VM's, and are checked below for the word sizes that Dart runs on.
 */
#ifndef OCHE_CLIENT_PORT_DART_API_H
#define OCHE_CLIENT_PORT_DART_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DART_API_MAJOR = 2 };

struct dart_api_entry {
    const char *name; /* NULL ends the table */
    void (*function)(void);
};

struct dart_api {
    int major;
    int minor;
    const struct dart_api_entry *functions;
};

/* A message to a port: a tree of these. */
enum dart_object_type {
    DART_NULL = 0,
    DART_INT64 = 3,
    DART_STRING = 5, /* copied by the VM */
    DART_ARRAY = 6,
    DART_TYPED_DATA = 7, /* copied by the VM; as external typed data, up to its bytes */
    DART_EXTERNAL_TYPED_DATA = 8,
};

enum dart_typed_data_type { DART_UINT8 = 2 };

/* Called when Dart is done with external data, on any thread. */
typedef void dart_finalizer(void *isolate_data, void *peer);

struct dart_object {
    int32_t type; /* enum dart_object_type */
    union {
        int64_t as_int64;
        const char *as_string; /* UTF-8, ends with 0 */
        struct {
            intptr_t length;
            struct dart_object **values;
        } as_array;
        struct {
            int32_t type; /* enum dart_typed_data_type */
            intptr_t length;
            uint8_t *data; /* of DART_TYPED_DATA, which the VM copies, this is the last one */
            void *peer;
            dart_finalizer *finalizer;
        } as_external_typed_data;
        struct {
            int64_t port;
            int64_t origin;
        } as_send_port; /* never sent from here, but it makes the union as large as the VM's */
    } value;
};

typedef bool dart_post_function(int64_t port, struct dart_object *message);
typedef void *dart_current_isolate_function(void);

/* A local object of the VM, valid until its scope is left. */
typedef struct dart_handle_object *dart_handle;
struct dart_port_and_origin {
    int64_t port;
    int64_t origin; /* 0: the port is closed, for example because its isolate is gone */
};
typedef void dart_scope_function(void);
typedef dart_handle dart_new_send_port_function(int64_t port);
typedef dart_handle dart_port_of_send_port_function(dart_handle send_port, struct dart_port_and_origin *port);

#if UINTPTR_MAX == UINT64_MAX
_Static_assert(sizeof(struct dart_object) == 48, "Dart_CObject of a 64-bit VM");
_Static_assert(offsetof(struct dart_object, value) == 8, "Dart_CObject of a 64-bit VM");
_Static_assert(offsetof(struct dart_object, value.as_array.values) == 16, "Dart_CObject");
_Static_assert(offsetof(struct dart_object, value.as_external_typed_data.length) == 16, "Dart_CObject");
_Static_assert(offsetof(struct dart_object, value.as_external_typed_data.finalizer) == 40, "Dart_CObject");
_Static_assert(offsetof(struct dart_api, functions) == 8, "the API table of a 64-bit VM");
#else
/* i386 aligns an int64_t in a structure to 4 bytes, ARM to 8. */
enum { DART_UNION_OFFSET = _Alignof(struct { int64_t number; }) };
_Static_assert(sizeof(struct dart_object) == (DART_UNION_OFFSET == 4 ? 24 : 32), "Dart_CObject of a 32-bit VM");
_Static_assert(offsetof(struct dart_object, value) == DART_UNION_OFFSET, "Dart_CObject of a 32-bit VM");
_Static_assert(offsetof(struct dart_object, value.as_array.values) == DART_UNION_OFFSET + 4, "Dart_CObject");
_Static_assert(offsetof(struct dart_object, value.as_external_typed_data.finalizer) == DART_UNION_OFFSET + 16,
               "Dart_CObject");
_Static_assert(offsetof(struct dart_api, functions) == 8, "the API table of a 32-bit VM");
#endif

#endif
