// Several clients on one worker: none waits for how much another one wants. Figures are tools/fairness's business.
#include <catch2/catch.hpp>

#include <memory>
#include <optional>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "tests/support/companion.h"
#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/memory_wire.h"
#include "tests/support/wire.h"

using namespace test_support;

namespace
{
// Connects, which take long for so few bytes: each is a socket that is made, fails to connect, and is closed.
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

// A client that makes many requests at once.
class Flood
{
  public:
    explicit Flood(const std::string &socket_path)
    {
        if (lane_under_test() == "memory") {
            memory_ = std::make_unique<MemoryWire>(socket_path);
        } else {
            plain_ = std::make_unique<Wire>(socket_path);
            plain_->hello();
        }
    }

    // Connects to the port, over and over.
    void begin(uint16_t port, int count)
    {
        std::string bytes;
        for (int i = 0; i < count; i++) {
            WireFrame frame = connect_frame(i, {loopback4(), port});
            if (memory_) {
                REQUIRE(memory_->put(frame));
            } else {
                frame.header.body_length = static_cast<uint16_t>(frame.body.size());
                bytes += encoded(frame.header) + frame.body;
            }
        }
        if (memory_) {
            memory_->publish();
        } else {
            plain_->send_bytes(bytes);
        }
    }

    // So many connections are made.
    void check_connected(int count)
    {
        for (int i = 0; i < count; i++) {
            const auto reply = receive();
            REQUIRE(reply);
            REQUIRE(reply->header.value > 0);
        }
    }

    void check_answers()
    {
        std::vector<bool> answered(flood_size);
        for (int i = 0; i < flood_size; i++) {
            const auto reply = receive();
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
    std::optional<WireFrame> receive()
    {
        return memory_ ? memory_->receive() : plain_->receive();
    }

    std::unique_ptr<MemoryWire> memory_; // or
    std::unique_ptr<Wire> plain_;
};
// Such a client in a process of its own.
class Flooder
{
  public:
    // Returns when it is connected. At a word it floods.
    Flooder(const std::string &socket_path, uint16_t port, int count)
    {
        int ends[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        word_ = Peer(Descriptor(ends[0]));
        process_ = fork();
        if (process_ == 0) {
            word_.close();
            _exit(run(Peer(Descriptor(ends[1])), socket_path, port, count));
        }
        close(ends[1]);
        REQUIRE(process_ > 0);
        REQUIRE(word_.receive(1) == "c");
    }
    ~Flooder()
    {
        int status = 0;
        word_.close();
        CHECK(waitpid(process_, &status, 0) == process_);
        CHECK(status == 0);
    }
    Flooder(const Flooder &) = delete;
    Flooder &operator=(const Flooder &) = delete;

    // Returns when the requests are where the daemon finds them.
    void flood() const
    {
        word_.send("f");
        REQUIRE(word_.receive(1) == "d");
    }

  private:
    static int run(const Peer &word, const std::string &socket_path, uint16_t port, int count)
    {
        try {
            Flood flood(socket_path);
            word.send("c");
            if (word.receive(1) == "f") {
                flood.begin(port, count);
                word.send("d");
            }
            return word.end() == End::fin ? 0 : 1; // the test is over
        } catch (...) {
            return 1;
        }
    }

    Peer word_{Descriptor()};
    pid_t process_ = -1;
};
} // namespace

TEST_CASE("beside another client a flood of requests is answered, each of them once, and the other goes on meanwhile")
{
    const Daemon daemon({{"--workers", "1"}, 0, "info"});
    Bystander bystander;
    Flood flood(daemon.place().socket_path());
    flood.begin(free_port(), flood_size);
    bystander.exchange("hello");
    flood.check_answers();
    CHECK(flood.is_served());
    bystander.exchange("again");
}

// The order in which the daemon connects is the order in which a listener has the connections. With select it may be
// that the later one has its turn first.
TEST_CASE("a request is served before all of a flood that came before it")
{
    constexpr int count = 400;
    const Daemon daemon({{"--workers", "1"}, 0, "info"});
    const PeerListener listener(loopback4(), 2 * count);
    const Flooder flooder(daemon.place().socket_path(), listener.port(), count);
    Isolate isolate;
    isolate.start();
    Request request{};
    {
        const Stopped stopped(daemon.pid());
        flooder.flood();
        request = isolate.connect({loopback4(), listener.port()});
        REQUIRE(request.returned == 0);
    }
    const uint16_t port = Isolate::local(isolate.value(request)).port;
    int before = 0;
    while (listener.accept().remote().port != port) {
        before++;
    }
    CHECK(before < count);
}

// Its sockets are so many that it takes more than a slice to close them: what waits then must not be served.
TEST_CASE("a client that hangs up while its requests wait for their turn leaves nothing behind")
{
    constexpr int sockets = 400;
    const Daemon daemon({{"--workers", "1"}, 0, "info"});
    const PeerListener listener(loopback4(), 2 * sockets);
    Bystander bystander;
    {
        Flood flood(daemon.place().socket_path());
        flood.begin(listener.port(), sockets);
        flood.check_connected(sockets);
        flood.begin(free_port(), flood_size);
    }
    CHECK(daemon.logs("event=end "));
    bystander.exchange("hello");
}
