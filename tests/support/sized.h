// A struct of oche.h with its size set, and all else 0.
#ifndef OCHE_TESTS_SUPPORT_SIZED_H
#define OCHE_TESTS_SUPPORT_SIZED_H

namespace test_support
{
template <typename Struct> Struct sized()
{
    Struct made{};
    made.size = sizeof made;
    return made;
}
} // namespace test_support

#endif
