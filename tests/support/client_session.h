// A session of oche.h, dispatched by whoever waits for its completions.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "oche/oche.h"
#include "tests/support/peer.h"

namespace test_support
{
// What a request came to. The bytes, if there are any, are freed with it.
struct Completed {
    int64_t request_id = 0;
    int64_t result = 0;
    int32_t os_error = 0;
    uint8_t *data = nullptr;
    std::string why; // "": without words
    std::shared_ptr<void> owner;

    std::string text() const;
    // Of a datagram.
    Endpoint source() const;
};

class ClientSession
{
  public:
    // Opens a session; the test fails if that does not work.
    explicit ClientSession(const oche_session_options *options = nullptr);

    oche_session *get() const
    {
        return session_.get();
    }

    // The next completion; throws if none comes.
    Completed next();
    // True if nothing completes for a moment.
    bool is_quiet();

  private:
    struct Closer {
        void operator()(oche_session *session) const
        {
            oche_session_close(session);
        }
    };
    bool pop(Completed &completed);

    std::unique_ptr<oche_session, Closer> session_;
};
} // namespace test_support
