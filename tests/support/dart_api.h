// What of the Dart VM's native API version 2 meets the eye of a library: declared here a second time, so that the
// library's own declarations are checked against these and not against themselves.
#pragma once

#include <cstddef>
#include <cstdint>

namespace test_support
{
enum DartType : int32_t {
    dart_null = 0,
    dart_bool = 1,
    dart_int32 = 2,
    dart_int64 = 3,
    dart_double = 4,
    dart_string = 5,
    dart_array = 6,
    dart_typed_data = 7,
    dart_external_typed_data = 8,
};

constexpr int32_t dart_uint8 = 2;

using DartFinalizer = void (*)(void *isolate_callback_data, void *peer);

struct DartObject {
    DartType type;
    union {
        bool as_bool;
        int32_t as_int32;
        int64_t as_int64;
        double as_double;
        const char *as_string;
        struct {
            intptr_t length;
            DartObject **values;
        } as_array;
        struct {
            int32_t type;
            intptr_t length;
            uint8_t *data;
            void *peer;
            DartFinalizer callback;
        } as_external_typed_data;
    } value;
};

struct DartEntry {
    const char *name;
    void (*function)();
};

struct DartData {
    int major;
    int minor;
    const DartEntry *functions;
};
} // namespace test_support
