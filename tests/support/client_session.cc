#include "tests/support/client_session.h"

#include <catch2/catch.hpp>

#include <poll.h>
#include <stdexcept>

#include "tests/support/patience.h"
#include "tests/support/sized.h"

namespace test_support
{
std::string Completed::text() const
{
    return data ? std::string(reinterpret_cast<const char *>(data), static_cast<size_t>(result)) : std::string();
}

Endpoint Completed::source() const
{
    auto endpoint = sized<oche_endpoint>();
    REQUIRE(oche_data_source(owner.get(), &endpoint) == 0);
    return {Address(endpoint.address, endpoint.address + endpoint.address_length), endpoint.port};
}

ClientSession::ClientSession(const oche_session_options *options)
{
    oche_session *session = nullptr;
    const int64_t result = oche_session_open(options, &session);
    INFO(oche_last_error());
    REQUIRE(result == 0);
    session_.reset(session);
}

bool ClientSession::pop(Completed &completed)
{
    auto completion = sized<oche_completion>();
    if (!oche_session_pop(session_.get(), &completion)) {
        return false;
    }
    completed = {completion.request_id,
                 completion.result,
                 completion.os_error,
                 completion.data,
                 completion.why ? completion.why : "",
                 std::shared_ptr<void>(completion.data_owner, oche_data_free)};
    return true;
}

Completed ClientSession::next()
{
    Completed completed;
    const auto deadline = Clock::now() + patience;
    while (!pop(completed)) {
        pollfd waited{oche_session_get_fd(session_.get()), POLLIN, 0};
        poll(&waited, 1, 100);
        oche_session_dispatch(session_.get());
        if (Clock::now() > deadline) {
            throw std::runtime_error("no completion comes");
        }
    }
    return completed;
}

bool ClientSession::is_quiet()
{
    Completed completed;
    const auto end = Clock::now() + moment;
    while (Clock::now() < end) {
        pollfd waited{oche_session_get_fd(session_.get()), POLLIN, 0};
        poll(&waited, 1, 10);
        oche_session_dispatch(session_.get());
        if (pop(completed)) {
            return false;
        }
    }
    return true;
}
} // namespace test_support
