// Several clients on one worker: none waits for how much another one wants. Figures are tools/fairness's business.
#include <catch2/catch.hpp>

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

template <typename Client> void check_answers(Client &client)
{
    std::vector<bool> answered(flood_size);
    for (int i = 0; i < flood_size; i++) {
        const auto reply = client.receive();
        REQUIRE(reply);
        REQUIRE(reply->header.value == TCP_ERR_CONNECT_FAILED);
        const int64_t id = reply->header.request_id;
        REQUIRE((id >= 0 && id < flood_size));
        REQUIRE_FALSE(answered[id]);
        answered[id] = true;
    }
}
} // namespace

TEST_CASE("beside another client a flood of requests is answered, each of them once, and the other goes on meanwhile")
{
    const Daemon daemon({{"--workers", "1"}, 0, "info"});
    Bystander bystander;
    const uint16_t unserved = free_port();
    if (lane_under_test() == "memory") {
        MemoryWire client(daemon.place().socket_path());
        for (int i = 0; i < flood_size; i++) {
            REQUIRE(client.put(expensive_frame(i, unserved)));
        }
        client.publish();
        bystander.exchange("hello");
        check_answers(client);
        CHECK(client.is_served());
    } else {
        const Wire client(daemon.place().socket_path());
        client.hello();
        std::string bytes;
        for (int i = 0; i < flood_size; i++) {
            WireFrame frame = expensive_frame(i, unserved);
            frame.header.body_length = static_cast<uint16_t>(frame.body.size());
            bytes += encoded(frame.header) + frame.body;
        }
        client.send_bytes(bytes);
        bystander.exchange("hello");
        check_answers(client);
        CHECK(client.is_served());
    }
    bystander.exchange("again");
}

TEST_CASE("a client that hangs up while its requests wait for their turn leaves nothing behind")
{
    const Daemon daemon({{"--workers", "1"}, 0, "info"});
    Bystander bystander;
    const uint16_t unserved = free_port();
    if (lane_under_test() == "memory") {
        MemoryWire client(daemon.place().socket_path());
        for (int i = 0; i < flood_size; i++) {
            REQUIRE(client.put(expensive_frame(i, unserved)));
        }
        client.publish();
    } else {
        const Wire client(daemon.place().socket_path());
        client.hello();
        for (int i = 0; i < flood_size; i++) {
            client.send(expensive_frame(i, unserved));
        }
    }
    CHECK(daemon.logs("event=end "));
    bystander.exchange("hello");
}
