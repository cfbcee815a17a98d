// The descriptors that a process has open.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <sys/types.h>

namespace test_support
{
// Descriptor → what it is open on.
using DescriptorTable = std::map<int, std::string>;

DescriptorTable descriptors_of(pid_t pid);
size_t descriptor_count(pid_t pid);

// Waits until the process has as many descriptors as in `before`, for closing takes others a moment. "", or, when
// time is up, what came and what went, for people.
std::string changed_since(const DescriptorTable &before, pid_t pid);
} // namespace test_support
