// UDP sockets: oche_datagram, oche_send, oche_read and oche_data_source.
#include <catch2/catch.hpp>

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <set>
#include <sys/socket.h>

#include "oche/oche.h"
#include "oche/tcp_socket.h"
#include "tests/support/client_session.h"
#include "tests/support/daemon.h"
#include "tests/support/sized.h"
#include "tests/support/skip.h"
#include "tests/support/wire.h"

extern "C" {
#include "proto/endpoints.h"
#include "proto/errors.h"
}

using namespace test_support;

namespace
{
enum { OPEN = 1, SEND = 2, READ = 3, CLOSE = 4, OPTION = 5 };

oche_endpoint end_of(const Endpoint &from)
{
    auto endpoint = sized<oche_endpoint>();
    std::copy(from.address.begin(), from.address.end(), endpoint.address);
    endpoint.address_length = from.address.size();
    endpoint.port = from.port;
    return endpoint;
}

oche_datagram_options at(const Endpoint &local, const Endpoint &peer = {})
{
    auto options = sized<oche_datagram_options>();
    options.address = local.address.data();
    options.address_length = local.address.size();
    options.port = local.port;
    options.peer_address = peer.address.data();
    options.peer_address_length = peer.address.size();
    options.peer_port = peer.port;
    return options;
}

struct Client : ClientSession {
    Completed open(const Endpoint &local, const Endpoint &peer = {})
    {
        const oche_datagram_options options = at(local, peer);
        REQUIRE(oche_datagram(get(), OPEN, &options) == 0);
        return next();
    }
    int64_t socket_at(const Endpoint &local, const Endpoint &peer = {})
    {
        const Completed opened = open(local, peer);
        REQUIRE(opened.result > 0);
        return opened.result;
    }
    Endpoint name(int64_t handle)
    {
        auto endpoint = sized<oche_endpoint>();
        REQUIRE(oche_get_local(get(), handle, &endpoint) == 0);
        return {Address(endpoint.address, endpoint.address + endpoint.address_length), endpoint.port};
    }
    Completed send(int64_t handle, const std::string &bytes, const Endpoint &to)
    {
        const oche_endpoint endpoint = end_of(to);
        REQUIRE(oche_send(get(), SEND, handle, to.address.empty() ? nullptr : &endpoint, bytes.data(), bytes.size()) ==
                0);
        return next();
    }
    Completed read(int64_t handle)
    {
        REQUIRE(oche_read(get(), READ, handle) == 0);
        return next();
    }
};

bool is_same(const Endpoint &one, const Endpoint &other)
{
    return one.address == other.address && one.port == other.port;
}

// A plain socket on the other side.
class PlainDatagram
{
  public:
    PlainDatagram() : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0))
    {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(bind(fd_.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) == 0);
        const timeval limit{patience.count() / 1000, 0};
        setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    }
    Endpoint name() const
    {
        sockaddr_in address{};
        socklen_t length = sizeof address;
        getsockname(fd_.get(), reinterpret_cast<sockaddr *>(&address), &length);
        return {loopback4(), ntohs(address.sin_port)};
    }
    void send(const std::string &bytes, const Endpoint &to) const
    {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(to.port);
        REQUIRE(sendto(fd_.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr *>(&address),
                       sizeof address) == static_cast<ssize_t>(bytes.size()));
    }
    std::string receive(Endpoint *from = nullptr) const
    {
        char bytes[70000];
        sockaddr_in address{};
        socklen_t length = sizeof address;
        const ssize_t count =
            recvfrom(fd_.get(), bytes, sizeof bytes, 0, reinterpret_cast<sockaddr *>(&address), &length);
        REQUIRE(count >= 0);
        if (from) {
            *from = {loopback4(), ntohs(address.sin_port)};
        }
        return std::string(bytes, static_cast<size_t>(count));
    }

  private:
    Descriptor fd_;
};
} // namespace

TEST_CASE("a datagram goes out with the address of its socket, and the answer comes with that of its sender")
{
    const Daemon daemon;
    Client client;
    const PlainDatagram peer;
    const int64_t handle = client.socket_at({loopback4(), 0});

    Endpoint from;
    CHECK(client.send(handle, "question", peer.name()).result == 8);
    CHECK(peer.receive(&from) == "question");
    CHECK(is_same(from, client.name(handle)));

    peer.send("answer", from);
    const Completed read = client.read(handle);
    CHECK(read.request_id == READ);
    CHECK(read.text() == "answer");
    CHECK(is_same(read.source(), peer.name()));
}

TEST_CASE("IPv6 datagrams are like those of IPv4")
{
    if (!has_ipv6()) {
        SKIP("there is no IPv6 on this machine");
    }
    const Daemon daemon;
    Client client;
    const int64_t one = client.socket_at({loopback6(), 0});
    const int64_t other = client.socket_at({any6(), 0});
    CHECK(client.send(one, "six", {loopback6(), client.name(other).port}).result == 3);
    const Completed read = client.read(other);
    CHECK(read.text() == "six");
    CHECK(is_same(read.source(), client.name(one)));
}

TEST_CASE("datagrams keep their boundaries and their order, empty ones and the longest included")
{
    const Daemon daemon;
    Client client;
    const int64_t sender = client.socket_at({loopback4(), 0});
    const int64_t receiver = client.socket_at({loopback4(), 0});
    const std::string texts[] = {"one", "", std::string(65507, 'x'), "another", ""};
    for (const std::string &text : texts) {
        const Completed sent = client.send(sender, text, client.name(receiver));
        CHECK(sent.os_error == 0);
        CHECK(sent.result == static_cast<int64_t>(text.size()));
        const Completed read = client.read(receiver);
        CHECK(read.result == static_cast<int64_t>(text.size()));
        CHECK(read.data != nullptr);
        CHECK(read.text() == text);
    }
    for (const std::string &text : texts) {
        CHECK(client.send(sender, text, client.name(receiver)).result == static_cast<int64_t>(text.size()));
    }
    for (const std::string &text : texts) {
        CHECK(client.read(receiver).text() == text);
    }
}

TEST_CASE("many datagrams both ways are all answered, and each is whole")
{
    const Daemon daemon;
    Client client;
    const int64_t one = client.socket_at({loopback4(), 0});
    const int64_t other = client.socket_at({loopback4(), 0});
    const int rounds = 2000;
    for (int round = 0; round < rounds; round++) {
        const std::string text = std::string(static_cast<size_t>(round * 37 % 1400), 'a') + std::to_string(round);
        REQUIRE(client.send(one, text, client.name(other)).result == static_cast<int64_t>(text.size()));
        REQUIRE(client.read(other).text() == text);
    }
    CHECK(client.is_quiet());
}

TEST_CASE("what comes while nobody reads is dropped beyond what the system keeps, and the rest is read")
{
    const Daemon daemon;
    Client client;
    const PlainDatagram peer;
    const int64_t handle = client.socket_at({loopback4(), 0});
    const int small = 4096;
    REQUIRE(oche_set_option(client.get(), OPTION, handle, SOL_SOCKET, SO_RCVBUF, &small, sizeof small) == 0);
    REQUIRE(client.next().result == 0);
    // From the first read on there is a window; the flood is many times as large.
    peer.send("first", client.name(handle));
    REQUIRE(client.read(handle).text() == "first");
    const int sent = 1000;
    for (int i = 0; i < sent; i++) {
        peer.send(std::to_string(i) + std::string(1000, '.'), client.name(handle));
    }
    CHECK(client.read(handle).text().substr(0, 2) == "0.");
    CHECK(client.read(handle).text().substr(0, 2) == "1.");
    // The last one comes after all that the system has kept.
    peer.send("end", client.name(handle));
    int kept = 2;
    while (client.read(handle).text() != "end") {
        kept++;
        if (kept % 8 == 0) {
            peer.send("end", client.name(handle)); // it may have been dropped as well
        }
    }
    CHECK(kept < sent);
}

TEST_CASE("a socket with a peer sends there without an address, and hears nobody else")
{
    const Daemon daemon;
    Client client;
    const PlainDatagram peer;
    const PlainDatagram stranger;
    const int64_t handle = client.socket_at({loopback4(), 0}, peer.name());
    auto remote = sized<oche_endpoint>();
    REQUIRE(oche_get_remote(client.get(), handle, &remote) == 0);
    CHECK(remote.port == peer.name().port);

    CHECK(client.send(handle, "to the peer", {}).result == 11);
    CHECK(peer.receive() == "to the peer");
    stranger.send("from a stranger", client.name(handle));
    peer.send("from the peer", client.name(handle));
    CHECK(client.read(handle).text() == "from the peer");

    const oche_endpoint to = end_of(stranger.name());
    CHECK(oche_send(client.get(), SEND, handle, &to, "x", 1) == TCP_ERR_INVALID_ARGUMENT);
    const int64_t without = client.socket_at({loopback4(), 0});
    CHECK(oche_send(client.get(), SEND, without, nullptr, "x", 1) == TCP_ERR_INVALID_ADDRESS);
    CHECK(oche_get_remote(client.get(), without, &remote) == TCP_ERR_INVALID_HANDLE);
}

TEST_CASE("a datagram that nobody takes fails one later send at most, and the socket goes on")
{
    const Daemon daemon;
    Client client;
    Endpoint gone;
    {
        const PlainDatagram peer;
        gone = peer.name();
    }
    const int64_t handle = client.socket_at({loopback4(), 0}, gone);
    REQUIRE(oche_read(client.get(), READ, handle) == 0);
    CHECK(client.send(handle, "anybody?", {}).result == 8);
    CHECK(client.is_quiet()); // the read waits on
    const Completed second = client.send(handle, "anybody?", {});
    CHECK((second.result == 8 || (second.result == TCP_ERR_WRITE_FAILED && second.os_error == ECONNREFUSED)));
}

TEST_CASE("a datagram that is too long fails with EMSGSIZE, and the next one is sent")
{
    const Daemon daemon;
    Client client;
    const PlainDatagram peer;
    const int64_t handle = client.socket_at({loopback4(), 0});
    const Completed failed = client.send(handle, std::string(65508, 'x'), peer.name());
    CHECK(failed.result == TCP_ERR_WRITE_FAILED);
    CHECK(failed.os_error == EMSGSIZE);
    CHECK(client.send(handle, "short", peer.name()).result == 5);
    CHECK(peer.receive() == "short");
    const oche_endpoint to = end_of(peer.name());
    const std::string longest(65536, 'x');
    CHECK(oche_send(client.get(), SEND, handle, &to, longest.data(), longest.size()) == TCP_ERR_INVALID_ARGUMENT);
}

TEST_CASE("a port that is taken is BIND_FAILED with EADDRINUSE, and an address of another family is none")
{
    const Daemon daemon;
    Client client;
    const PlainDatagram peer;
    const Completed taken = client.open(peer.name());
    CHECK(taken.result == TCP_ERR_BIND_FAILED);
    CHECK(taken.os_error == EADDRINUSE);

    const int64_t handle = client.socket_at({loopback4(), 0});
    const oche_endpoint six = end_of({loopback6(), 9});
    CHECK(oche_send(client.get(), SEND, handle, &six, "x", 1) == TCP_ERR_INVALID_ADDRESS);
    auto no_size = end_of(peer.name());
    no_size.size = 0;
    CHECK(oche_send(client.get(), SEND, handle, &no_size, "x", 1) == TCP_ERR_INVALID_ARGUMENT);
    const Endpoint local{loopback4(), 0};
    const Endpoint peer6{loopback6(), 9};
    oche_datagram_options options = at(local, peer6);
    CHECK(oche_datagram(client.get(), OPEN, &options) == TCP_ERR_INVALID_ADDRESS);
    options = at(local, local);
    CHECK(oche_datagram(client.get(), OPEN, &options) == TCP_ERR_INVALID_ARGUMENT);
}

TEST_CASE("a datagram socket takes no requests of connections, and is closed like one")
{
    const Daemon daemon;
    Client client;
    const int64_t handle = client.socket_at({loopback4(), 0});
    CHECK(oche_write(client.get(), SEND, handle, "x", 1) == TCP_ERR_INVALID_HANDLE);
    CHECK(oche_close_write(client.get(), SEND, handle) == TCP_ERR_INVALID_HANDLE);
    CHECK(oche_accept(client.get(), SEND, handle) == TCP_ERR_INVALID_HANDLE);
    CHECK(oche_data_source(nullptr, nullptr) == TCP_ERR_INVALID_ARGUMENT);

    const Endpoint name = client.name(handle);
    REQUIRE(oche_read(client.get(), READ, handle) == 0);
    REQUIRE(oche_close(client.get(), CLOSE, handle) == 0);
    const Completed read = client.next();
    CHECK(read.request_id == READ);
    CHECK(read.result == TCP_ERR_CLOSED);
    CHECK(client.next().result == 0);
    CHECK(oche_read(client.get(), READ, handle) == TCP_ERR_INVALID_HANDLE);
    CHECK(client.socket_at(name) > 0); // the port is free
}

TEST_CASE("policies judge where a datagram socket receives, and every destination")
{
    const PlainDatagram allowed;
    const PlainDatagram other;
    DaemonOptions options;
    options.arguments = {"--allow-connect", "127.0.0.1:" + std::to_string(allowed.name().port), "--allow-listen",
                         "127.0.0.1"};
    const Daemon daemon(options);
    Client client;
    const Completed denied = client.open({Address{0, 0, 0, 0}, 0});
    CHECK(denied.result == TCP_ERR_BIND_FAILED);
    CHECK(denied.os_error == EACCES);
    const Completed denied_peer = client.open({loopback4(), 0}, other.name());
    CHECK(denied_peer.result == TCP_ERR_CONNECT_FAILED);
    CHECK(denied_peer.os_error == EACCES);
    CHECK(client.socket_at({Address{0, 0, 0, 0}, 0}, allowed.name()) > 0);

    const int64_t handle = client.socket_at({loopback4(), 0});
    CHECK(client.send(handle, "in", allowed.name()).result == 2);
    const Completed out = client.send(handle, "out", other.name());
    CHECK(out.result == TCP_ERR_WRITE_FAILED);
    CHECK(out.os_error == EACCES);
    CHECK(allowed.receive() == "in");
    CHECK(daemon.logs("event=denied operation=send"));
}

TEST_CASE("a client that ends leaves no datagram socket behind")
{
    const Daemon daemon; // counts its descriptors at the end
    Endpoint name;
    {
        Client client;
        const int64_t handle = client.socket_at({loopback4(), 0});
        name = client.name(handle);
        REQUIRE(oche_read(client.get(), READ, handle) == 0);
    }
    Client next;
    CHECK(eventually([&] { return next.open(name).result > 0; }));
}

TEST_CASE("a client that takes nothing is sent no more than the lane holds, whatever it has granted")
{
    const Daemon daemon;
    const Wire wire(daemon.place().socket_path());
    wire.hello();
    const auto made = wire.ask(datagram_frame(1, {loopback4(), 0}));
    REQUIRE(made);
    REQUIRE(made->header.value > 0);
    endpoints ends{};
    REQUIRE(endpoints_decode(&ends, reinterpret_cast<const uint8_t *>(made->payload.data()), made->payload.size()));
    const Endpoint name{loopback4(), ends.local.port};
    wire.send(plain_frame(FRAME_READ, 0, made->header.value, FRAME_CREDIT_MAX));

    // 16 MiB, a part at a time, so that the kernel drops none that the daemon would take.
    const PlainDatagram peer;
    const std::string bytes(32 * 1024, 'x');
    const int sent = 480;
    for (int i = 0; i < sent; i++) {
        peer.send(bytes, name);
        if (i % 4 == 3) {
            Client().socket_at({loopback4(), 0}); // the daemon has had its turn
        }
    }
    int came = 0;
    while (wire.receive(came == 0 ? patience : moment)) {
        came++;
    }
    CHECK(came > 0);
    CHECK(came < sent / 2);
}

TEST_CASE("a datagram without a destination, or in several parts, is refused, and the session goes on")
{
    const Daemon daemon;
    const Wire wire(daemon.place().socket_path());
    wire.hello();
    const auto made = wire.ask(datagram_frame(1, {loopback4(), 0}));
    REQUIRE(made);
    const int64_t handle = made->header.value;

    WireFrame write = plain_frame(FRAME_WRITE, 2, handle);
    write.payload = "short";
    auto reply = wire.ask(write);
    REQUIRE(reply);
    CHECK(reply->header.value == OCHE_ERR_INVALID_ADDRESS);

    write.payload.assign(ENDPOINT_SIZE + 5, '\0');
    reply = wire.ask(write);
    REQUIRE(reply);
    CHECK(reply->header.value == OCHE_ERR_INVALID_ADDRESS);

    const uint8_t port_of_nobody[] = {4, 0, 0, 0};
    std::copy(std::begin(port_of_nobody), std::end(port_of_nobody), write.payload.begin());
    reply = wire.ask(write);
    REQUIRE(reply);
    CHECK(reply->header.value == OCHE_ERR_INVALID_ARGUMENT);

    write.payload[2] = 9;
    write.header.flags = FRAME_MORE;
    wire.send(write);
    write.header.flags = 0;
    reply = wire.ask(write);
    REQUIRE(reply);
    CHECK(reply->header.value == OCHE_ERR_INVALID_ARGUMENT);

    reply = wire.ask(plain_frame(FRAME_CLOSE_WRITE, 3, handle));
    REQUIRE(reply);
    CHECK(reply->header.value == OCHE_ERR_INVALID_HANDLE);
    reply = wire.ask(plain_frame(FRAME_CLOSE, 4, handle));
    REQUIRE(reply);
    CHECK(reply->header.value == 0);
}

TEST_CASE("a datagram that is cancelled before its turn is not sent, and the next one is")
{
    const Daemon daemon;
    const Wire wire(daemon.place().socket_path());
    wire.hello();
    const auto made = wire.ask(datagram_frame(1, {loopback4(), 0}));
    REQUIRE(made);
    const PlainDatagram peer;
    endpoint to{};
    to.address_length = 4;
    to.port = peer.name().port;
    const Address address = loopback4();
    std::copy(address.begin(), address.end(), to.address);
    uint8_t record[ENDPOINT_SIZE];
    endpoint_encode(&to, record);

    WireFrame write = plain_frame(FRAME_WRITE, 2, made->header.value);
    write.payload.assign(reinterpret_cast<const char *>(record), sizeof record);
    write.payload += "cancelled";
    {
        // So that all three come to the daemon at once.
        const Stopped stopped(daemon.pid());
        wire.send(write);
        wire.send(plain_frame(FRAME_CANCEL, 0, 0, 2));
        write.header.request_id = 3;
        write.payload.replace(ENDPOINT_SIZE, std::string::npos, "sent");
        wire.send(write);
    }
    const auto first = wire.receive();
    REQUIRE(first);
    CHECK(first->header.request_id == 2);
    CHECK(first->header.value == OCHE_ERR_CLOSED);
    CHECK(first->header.os_error == ECANCELED);
    const auto second = wire.receive();
    REQUIRE(second);
    CHECK(second->header.request_id == 3);
    CHECK(second->header.value == 4);
    CHECK(peer.receive() == "sent");
}

TEST_CASE("the limit of a datagram that nobody sends ends its read, and the next read gets what comes")
{
    const Daemon daemon;
    Client client;
    const PlainDatagram peer;
    const int64_t handle = client.socket_at({loopback4(), 0});
    REQUIRE(oche_read(client.get(), READ, handle) == 0);
    REQUIRE(oche_limit(client.get(), READ, 20) == 0);
    const Completed timed_out = client.next();
    CHECK(timed_out.result == TCP_ERR_TIMED_OUT);
    CHECK(timed_out.os_error == ETIMEDOUT);
    peer.send("late", client.name(handle));
    CHECK(client.read(handle).text() == "late");
}

TEST_CASE("a datagram socket that is cancelled while it is made is closed")
{
    const Daemon daemon; // counts its descriptors at the end
    Client client;
    const Endpoint local{loopback4(), 0};
    const oche_datagram_options options = at(local);
    REQUIRE(oche_datagram(client.get(), OPEN, &options) == 0);
    REQUIRE(oche_cancel(client.get(), OPEN) == 0);
    const Completed opened = client.next();
    CHECK(opened.result == TCP_ERR_CLOSED);
    CHECK(opened.os_error == ECANCELED);
}
