#include "tests/support/counters.h"

#include <poll.h>
#include <stdexcept>

#include "tests/support/patience.h"
#include "tests/support/sized.h"

namespace test_support
{
Counters::Counters()
{
    if (oche_session_open(nullptr, &session_) < 0) {
        throw std::runtime_error(oche_last_error());
    }
}

Counters::~Counters()
{
    oche_session_close(session_);
}

oche_statistics Counters::look() const
{
    auto statistics = sized<oche_statistics>();
    if (oche_get_statistics(session_, 1, &statistics) < 0) {
        throw std::runtime_error("the daemon cannot be asked for its counters");
    }
    auto completion = sized<oche_completion>();
    while (!oche_session_pop(session_, &completion)) {
        pollfd readable{oche_session_get_fd(session_), POLLIN, 0};
        if (poll(&readable, 1, static_cast<int>(patience.count())) <= 0 || oche_session_dispatch(session_) < 0) {
            throw std::runtime_error("the daemon does not tell its counters");
        }
    }
    if (completion.result < 0) {
        throw std::runtime_error("the daemon refuses to tell its counters");
    }
    return statistics;
}

bool Counters::have_received(uint64_t count) const
{
    return eventually([&] { return look().bytes_received >= count; });
}
} // namespace test_support
