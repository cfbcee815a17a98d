// Several clients on one worker: none waits for how much another one wants. Figures are tools/fairness's business.
#include <catch2/catch.hpp>

#include <memory>
#include <vector>

#include "tests/support/companion.h"
#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/memory_wire.h"
#include "tests/support/wire.h"

using namespace test_support;

namespace
{
constexpr int flood_size = 3000;

// A connection of another process, which is served beside whatever this one does.
class Bystander
{
  public:
    Bystander()
    {
        REQUIRE(process_.number("init") == 0);
        handle_ = process_.number("connect " + std::to_string(listener_.port()));
        REQUIRE(handle_ > 0);
        peer_.push_back(listener_.accept());
    }

    void exchange(const std::string &text)
    {
        CHECK(process_.number("write " + std::to_string(handle_) + " " + text) == static_cast<int64_t>(text.size()));
        CHECK(peer_[0].receive(text.size()) == text);
    }

  private:
    PeerListener listener_;
    Companion process_;
    int64_t handle_ = 0;
    std::vector<Peer> peer_;
};

// Takes long, for so few bytes: each is a socket that is made, fails to connect, and is closed.
WireFrame expensive_frame(int64_t request_id, uint16_t unserved_port)
{
    return connect_frame(request_id, {loopback4(), unserved_port});
}

// A client that makes so many requests at once.
class Flood
{
  public:
    explicit Flood(const std::string &socket_path)
    {
        const uint16_t unserved = free_port();
        if (lane_under_test() == "memory") {
            memory_ = std::make_unique<MemoryWire>(socket_path);
            for (int i = 0; i < flood_size; i++) {
                REQUIRE(memory_->put(expensive_frame(i, unserved)));
            }
            memory_->publish();
        } else {
            plain_ = std::make_unique<Wire>(socket_path);
            plain_->hello();
            std::string bytes;
            for (int i = 0; i < flood_size; i++) {
                WireFrame frame = expensive_frame(i, unserved);
                frame.header.body_length = static_cast<uint16_t>(frame.body.size());
                bytes += encoded(frame.header) + frame.body;
            }
            plain_->send_bytes(bytes);
        }
    }

    void check_answers()
    {
        std::vector<bool> answered(flood_size);
        for (int i = 0; i < flood_size; i++) {
            const auto reply = memory_ ? memory_->receive() : plain_->receive();
            REQUIRE(reply);
            REQUIRE(reply->header.value == TCP_ERR_CONNECT_FAILED);
            const int64_t id = reply->header.request_id;
            REQUIRE((id >= 0 && id < flood_size));
            REQUIRE_FALSE(answered[id]);
            answered[id] = true;
        }
    }

    bool is_served()
    {
        return memory_ ? memory_->is_served() : plain_->is_served();
    }

  private:
    std::unique_ptr<MemoryWire> memory_; // or
    std::unique_ptr<Wire> plain_;
};
} // namespace

TEST_CASE("beside another client a flood of requests is answered, each of them once, and the other goes on meanwhile")
{
    const Daemon daemon({{"--workers", "1"}, 0, "info"});
    Bystander bystander;
    Flood flood(daemon.place().socket_path());
    bystander.exchange("hello");
    flood.check_answers();
    CHECK(flood.is_served());
    bystander.exchange("again");
}

TEST_CASE("a client that hangs up while its requests wait for their turn leaves nothing behind")
{
    const Daemon daemon({{"--workers", "1"}, 0, "info"});
    Bystander bystander;
    Flood(daemon.place().socket_path()); // and is gone
    CHECK(daemon.logs("event=end "));
    bystander.exchange("hello");
}
