/* What of the Dart VM's native API the stand-in (vm.c) and the reference exchange. */
#ifndef OCHE_BENCHMARK_DART_OBJECT_H
#define OCHE_BENCHMARK_DART_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

enum dart_type { DART_NULL = 0, DART_INT64 = 3, DART_ARRAY = 6, DART_EXTERNAL_TYPED_DATA = 8 };
enum { DART_UINT8 = 2 };

typedef void dart_finalizer(void *isolate_callback_data, void *peer);

struct dart_object {
    int32_t type;
    union {
        int64_t int64;
        struct {
            intptr_t length;
            struct dart_object **values;
        } array;
        struct {
            int32_t type;
            intptr_t length;
            uint8_t *data;
            void *peer;
            dart_finalizer *finalizer;
        } external;
    } value;
};

struct dart_entry {
    const char *name;
    void (*function)(void);
};

/* The list of functions ends with a null name. */
struct dart_data {
    int major;
    int minor;
    const struct dart_entry *functions;
};

typedef bool dart_post(int64_t port, struct dart_object *object);

#endif
