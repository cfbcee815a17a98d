// Whether this program, and with it the daemon, is built with a sanitizer that takes much memory and time.
#pragma once

namespace test_support
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool is_sanitized = true;
#else
constexpr bool is_sanitized = false;
#endif

#if defined(__SANITIZE_THREAD__)
constexpr bool is_thread_sanitized = true;
#else
constexpr bool is_thread_sanitized = false;
#endif
} // namespace test_support
