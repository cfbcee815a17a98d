// How a daemon and its successor deal with each other, and what happens when one of them dies or is none.
#include <catch2/catch.hpp>

#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <netinet/in.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/successor.h"

extern "C" {
#include "proto/handover.h"
}

using namespace test_support;

namespace
{
// A daemon that the test plays: it serves a place, holds the lock, and has been asked to hand over.
class Predecessor
{
  public:
    explicit Predecessor(const Place &place)
        : lock_(open((place.socket_path() + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)),
          door_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
          listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        place.socket_path().copy(address.sun_path, sizeof address.sun_path - 1);
        REQUIRE(flock(lock_.get(), LOCK_EX | LOCK_NB) == 0);
        REQUIRE(bind(door_.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) == 0);
        REQUIRE(listen(door_.get(), 16) == 0);
        REQUIRE(listen(listener_.get(), 16) == 0);
    }

    void is_asked()
    {
        conversation_ = Descriptor(accept(door_.get(), nullptr, nullptr));
        hears(HANDOVER_ASK);
    }
    void hears(int64_t word) const
    {
        uint8_t bytes[FRAME_HEADER_SIZE];
        frame heard{};
        REQUIRE(recv(conversation_.get(), bytes, sizeof bytes, MSG_WAITALL) == sizeof bytes);
        REQUIRE(frame_decode(&heard, bytes) == 0);
        CHECK(heard.opcode == FRAME_HANDOVER);
        CHECK(heard.value == word);
    }
    void offers_door(size_t listeners) const
    {
        says(HANDOVER_DOOR, static_cast<int64_t>(listeners), "", {door_.get(), lock_.get()});
    }
    void offers_listener(const std::string &token) const
    {
        says(HANDOVER_LISTENER, int64_t{1} << 20, token, {listener_.get()});
    }
    void says(int64_t word, int64_t handle = 0, const std::string &payload = "",
              const std::vector<int> &descriptors = {}) const
    {
        WireFrame said = handover_frame(word);
        said.header.flags = FRAME_REPLY;
        said.header.request_id = 1;
        said.header.handle = handle;
        said.header.payload_length = static_cast<uint32_t>(payload.size());
        std::string bytes = encoded(said.header) + payload;
        alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))]{};
        iovec vector{bytes.data(), bytes.size()};
        msghdr message{};
        message.msg_iov = &vector;
        message.msg_iovlen = 1;
        if (!descriptors.empty()) {
            message.msg_control = control;
            message.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
            cmsghdr *header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
            memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size() * sizeof(int));
        }
        REQUIRE(sendmsg(conversation_.get(), &message, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
    }
    void hangs_up()
    {
        conversation_.reset();
    }
    void dies()
    {
        lock_.reset();
        door_.reset();
        listener_.reset();
        conversation_.reset();
    }
    Endpoint at() const
    {
        sockaddr_in address{};
        socklen_t size = sizeof address;
        REQUIRE(getsockname(listener_.get(), reinterpret_cast<sockaddr *>(&address), &size) == 0);
        return {loopback4(), ntohs(address.sin_port)};
    }

  private:
    Descriptor lock_, door_, listener_, conversation_;
};
} // namespace

TEST_CASE("a successor that dies before it has taken anything leaves the daemon serving")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Request accept = isolate.accept(listener);
    SECTION("when it has asked")
    {
        Wire(daemon.place().socket_path()).send(ask_frame(daemon.place()));
    }
    SECTION("when it was offered everything")
    {
        offered(daemon, 1);
    }
    SECTION("when it has said nonsense")
    {
        const auto wire = offered(daemon, 1);
        const auto reply = wire->ask(handover_frame(HANDOVER_YOURS));
        REQUIRE(reply);
        CHECK(reply->header.value == HANDOVER_KEPT);
        CHECK(wire->is_dropped());
    }
    SECTION("when it says nothing for too long")
    {
        const auto wire = offered(daemon, 1);
        const auto reply = wire->receive();
        REQUIRE(reply);
        CHECK(reply->header.value == HANDOVER_KEPT);
    }
    CHECK(daemon.logs("event=kept"));
    Peer peer = Peer::connect(Isolate::local(listener));
    const int64_t handle = isolate.value(accept);
    CHECK(echoes(isolate, Pair{handle, std::move(peer)}, "still here"));
    CHECK(daemon.place().server() == daemon.pid());
    Isolate newcomer;
    newcomer.start();
    CHECK(echoes(newcomer, accepted(newcomer, listening(newcomer))));
}

TEST_CASE("a successor that dies when it has taken everything makes room for a clean one")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Request accept = isolate.accept(listener);
    {
        const auto wire = offered(daemon, 1);
        const auto reply = wire->ask(handover_frame(HANDOVER_TAKE));
        REQUIRE(reply);
        CHECK(reply->header.value == HANDOVER_YOURS);
    }
    CHECK(daemon.wait() == 0);
    CHECK(isolate.result(accept) == TCP_ERR_DAEMON_LOST);
    CHECK(isolate.result(isolate.accept(listener)) == TCP_ERR_INVALID_HANDLE);
    CHECK(isolate.value(isolate.listen({loopback4(), 0})) > 0); // starts a daemon
    CHECK(daemon.place().starts() == 1);
}

TEST_CASE("a daemon that is told to leave while it hands over keeps what it has, and leaves")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Request accept = isolate.accept(listening(isolate));
    {
        const auto wire = offered(daemon, 1);
        daemon.kill(SIGTERM);
    }
    CHECK(daemon.wait() == 0);
    CHECK(isolate.result(accept) == TCP_ERR_CLOSED);
    CHECK_FALSE(std::filesystem::exists(daemon.place().socket_path()));
}

TEST_CASE("who asks for a handover and then takes its time holds nobody up")
{
    Daemon daemon({{"--handover-timeout", "3600"}});
    Isolate isolate;
    isolate.start();
    const auto others_are_served = [&] {
        Isolate newcomer;
        newcomer.start();
        CHECK(echoes(newcomer, connected(newcomer)));
        CHECK(echoes(isolate, connected(isolate)));
        const size_t reopened = daemon.count_lines("event=log-reopened");
        daemon.kill(SIGHUP);
        CHECK(daemon.logs("event=log-reopened", reopened + 1));
    };
    const std::string take = encoded(handover_frame(HANDOVER_TAKE).header);
    std::unique_ptr<Wire> wire;
    SECTION("it says nothing")
    {
        listening(isolate);
        wire = offered(daemon, 1);
        others_are_served();
        wire->send_bytes(take);
    }
    SECTION("it says it byte by byte")
    {
        wire = offered(daemon, 0);
        for (size_t i = 0; i < take.size(); i++) {
            wire->send_bytes(take.substr(i, 1));
            if (i % 16 == 0)
                others_are_served();
        }
    }
    SECTION("it does not read what it is offered, which is more than the socket holds")
    {
        constexpr size_t listeners = 400;
        for (size_t i = 0; i < listeners; i++)
            listening(isolate);
        wire = std::make_unique<Wire>(daemon.place().socket_path());
        wire->send(ask_frame(daemon.place()));
        pollfd offer{wire->fd(), POLLIN, 0};
        REQUIRE(poll(&offer, 1, -1) == 1);
        others_are_served();
        for (size_t i = 0; i <= listeners; i++) {
            const auto offered = wire->receive();
            REQUIRE(offered);
            CHECK(offered->header.value == (i == 0 ? HANDOVER_DOOR : HANDOVER_LISTENER));
        }
        wire->send_bytes(take);
    }
    const auto reply = wire->receive();
    REQUIRE(reply);
    CHECK(reply->header.value == HANDOVER_YOURS);
    CHECK(daemon.wait() == 0);
}

TEST_CASE("a daemon that is told to leave while a successor takes its time leaves at once, and says so")
{
    Daemon daemon({{"--handover-timeout", "3600"}});
    Isolate isolate;
    isolate.start();
    const Request accept = isolate.accept(listening(isolate));
    const auto wire = offered(daemon, 1);
    daemon.kill(SIGTERM);
    const auto reply = wire->receive();
    REQUIRE(reply);
    CHECK(reply->header.value == HANDOVER_KEPT);
    CHECK(daemon.wait() == 0);
    CHECK(isolate.result(accept) == TCP_ERR_CLOSED);
}

TEST_CASE("a daemon that is idle does not leave while a successor takes its time")
{
    Daemon daemon({{"--handover-timeout", "3600", "--idle-exit", "1"}});
    const auto wire = offered(daemon, 0);
    {
        Daemon other({{"--idle-exit", "1"}}); // which began to be idle later
        CHECK(other.wait() == 0);
    }
    const auto taken = wire->ask(handover_frame(HANDOVER_TAKE));
    REQUIRE(taken);
    CHECK(taken->header.value == HANDOVER_YOURS);
    CHECK(daemon.wait() == 0);
}

TEST_CASE("a predecessor that hangs up before all is offered leaves a clean start, if it is gone")
{
    const Place place;
    Predecessor predecessor(place);
    Successor successor(place);
    predecessor.is_asked();
    SECTION("it dies when it was asked")
    {
        predecessor.dies();
        CHECK(successor.serves());
    }
    SECTION("it dies half-way")
    {
        predecessor.offers_door(2);
        predecessor.offers_listener(std::string(HANDOVER_TOKEN_SIZE, 't'));
        predecessor.dies();
        CHECK(successor.serves());
        CHECK(successor.logs("event=inherited listeners=0"));
    }
    SECTION("it hangs up, and lives")
    {
        predecessor.offers_door(2);
        predecessor.hangs_up();
        CHECK(successor.wait() == 3);
        CHECK(std::filesystem::exists(place.socket_path()));
    }
    SECTION("it says nonsense, and lives")
    {
        predecessor.says(HANDOVER_LISTENER, 1, "too short");
        predecessor.hangs_up();
        CHECK(successor.wait() == 3);
    }
}

TEST_CASE("a predecessor that dies when all is offered leaves it to the successor")
{
    const std::string token(HANDOVER_TOKEN_SIZE, 't');
    const Place place;
    Predecessor predecessor(place);
    const Endpoint at = predecessor.at();
    Successor successor(place);
    predecessor.is_asked();
    predecessor.offers_door(1);
    predecessor.offers_listener(token);
    predecessor.hears(HANDOVER_TAKE);
    SECTION("it dies")
    {
        predecessor.dies();
        CHECK(successor.logs("event=inherited listeners=1"));
        const Wire client(place.socket_path());
        CHECK(greet(client, token).resumed);
        const Peer peer = Peer::connect(at);
        const auto reply = client.ask(plain_frame(FRAME_ACCEPT, 5, int64_t{1} << 20));
        REQUIRE(reply);
        CHECK(reply->header.value > 0);
    }
    SECTION("it lives, but says nothing")
    {
        predecessor.hangs_up();
        CHECK(successor.wait() == 1);
        CHECK(std::filesystem::exists(place.socket_path()));
        CHECK(std::filesystem::exists(place.socket_path() + ".lock"));
    }
    SECTION("it keeps everything")
    {
        predecessor.says(HANDOVER_KEPT);
        CHECK(successor.wait() == 1);
        CHECK(std::filesystem::exists(place.socket_path()));
    }
}

TEST_CASE("who asks for a handover in a wrong way is dropped, and nobody else is touched")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    std::vector<WireFrame> wrong;
    for (const int64_t word : {INT64_MIN, int64_t{-1}, int64_t{0}, int64_t{HANDOVER_DOOR}, int64_t{HANDOVER_TAKE},
                               int64_t{HANDOVER_YOURS}, INT64_MAX})
        wrong.push_back(handover_frame(word));
    wrong.push_back(handover_frame(HANDOVER_ASK));
    wrong.back().header.flags = FRAME_REPLY;
    wrong.push_back(handover_frame(HANDOVER_ASK));
    wrong.back().payload = "payload";
    wrong.push_back(handover_frame(HANDOVER_ASK));
    wrong.back().body = "body";
    wrong.push_back(handover_frame(HANDOVER_ASK));
    wrong.back().header.handle = 1;
    size_t lines = 0;
    for (const WireFrame &frame : wrong) {
        const Wire wire(daemon.place().socket_path());
        wire.send(frame);
        CHECK(wire.is_dropped());
        CHECK(daemon.logs("event=malformed", ++lines));
    }
    const Wire session(daemon.place().socket_path());
    session.hello();
    session.send(handover_frame(HANDOVER_ASK));
    CHECK(session.is_dropped());
    CHECK(daemon.logs("event=malformed", ++lines));
    CHECK(daemon.count_lines("event=(kept|handed-over)") == 0);
    CHECK(echoes(isolate, accepted(isolate, listener)));
}
