// What functions.h says, for C++.
#pragma once

#include "tests/torture/functions.h"

namespace torture
{
inline const char *const function_names[] = {
#define NAME(name, errors) #name,
    TORTURE_FUNCTIONS(NAME)
#undef NAME
};

// Each list ends with 0.
inline const int function_errors[][TORTURE_ERRORS_MOST] = {
#define ERRORS(name, ...) __VA_ARGS__,
    TORTURE_FUNCTIONS(ERRORS)
#undef ERRORS
};
} // namespace torture
