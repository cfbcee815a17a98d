// Operations of sockets, the same with every backend.

#include <catch2/catch.hpp>

extern "C" {
#include "daemon/engine/engine.h"
}

#include "tests/support/skip.h"
#include "tests/unit/daemon/loop.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <memory>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <string>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

using namespace test_support;

namespace
{

// What an owner of a socket does here: notes what it is told, and stops the loop.
struct Owner {
    Loop &loop;
    engine_socket *socket = nullptr;
    bool is_closed = false;
    ssize_t received = -1;
    int sent = -1;
    int accepted = -1;
    int unused = 0; // how often bytes that were offered were given back
    bool has_room = true;
    std::string text; // to be sent
    std::function<void()> asked_for_text;

    std::array<char, 64> bytes{};
    std::array<char, 128> control{};
    iovec vector{};
    engine_message incoming{};
    std::vector<engine_message *> outgoing;

    explicit Owner(Loop &loop_) : loop(loop_)
    {
    }
    Owner(const Owner &) = delete;
    Owner &operator=(const Owner &) = delete;

    void open(int fd)
    {
        REQUIRE(fd >= 0);
        socket = engine_socket_new(&loop.slice, fd, &handlers, this);
        REQUIRE(socket);
    }

    static Owner *of(void *owner)
    {
        return static_cast<Owner *>(owner);
    }
    static uint8_t *on_receive_buffer(void *owner, size_t *size)
    {
        *size = sizeof of(owner)->bytes;
        return of(owner)->has_room ? reinterpret_cast<uint8_t *>(of(owner)->bytes.data()) : nullptr;
    }
    static void on_received(void *owner, ssize_t result)
    {
        of(owner)->received = result;
        engine_stop(of(owner)->loop.get());
    }
    static int on_send_vectors(void *owner, iovec *vectors, int max)
    {
        Owner *self = of(owner);
        const int count = max < 2 ? 1 : static_cast<int>(std::min<size_t>(self->text.size(), 2));
        // In two pieces, if there are two.
        vectors[0] = {self->text.data(), count == 2 ? 1 : self->text.size()};
        vectors[1] = {self->text.data() + 1, self->text.size() - 1};
        if (self->asked_for_text) {
            self->asked_for_text();
        }
        return count;
    }
    static void on_sent(void *owner, ssize_t result)
    {
        of(owner)->sent = static_cast<int>(result);
    }
    static void on_bytes_unused(void *owner)
    {
        of(owner)->unused++;
    }
    static engine_message *on_message_room(void *owner)
    {
        Owner *self = of(owner);
        self->vector = {self->bytes.data(), self->bytes.size()};
        self->incoming = {};
        self->incoming.vectors = &self->vector;
        self->incoming.vector_count = 1;
        self->incoming.control = self->control.data();
        self->incoming.control_size = self->control.size();
        return &self->incoming;
    }
    static int on_messages(void *owner, engine_message **messages)
    {
        const auto &outgoing = of(owner)->outgoing;
        std::copy(outgoing.begin(), outgoing.end(), messages);
        return static_cast<int>(outgoing.size());
    }
    static void on_messages_sent(void *owner, int result)
    {
        of(owner)->sent = result;
    }
    static void on_accepted(void *owner, int result, const sockaddr_storage *)
    {
        of(owner)->accepted = result;
        engine_stop(of(owner)->loop.get());
    }
    static void on_closed(void *owner)
    {
        of(owner)->is_closed = true;
    }

    static const engine_handlers handlers;
};

engine_handlers make_handlers()
{
    engine_handlers made{};
    made.receive_buffer = Owner::on_receive_buffer;
    made.received = Owner::on_received;
    made.send_vectors = Owner::on_send_vectors;
    made.sent = Owner::on_sent;
    made.bytes_unused = Owner::on_bytes_unused;
    made.message_room = Owner::on_message_room;
    made.message_received = Owner::on_received;
    made.messages = Owner::on_messages;
    made.messages_sent = Owner::on_messages_sent;
    made.accepted = Owner::on_accepted;
    made.closed = Owner::on_closed;
    return made;
}

const engine_handlers Owner::handlers = make_handlers();

sockaddr_in bound_to_loopback(int fd)
{
    sockaddr_in address{};
    socklen_t length = sizeof address;
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(bind(fd, reinterpret_cast<sockaddr *>(&address), sizeof address) == 0);
    REQUIRE(getsockname(fd, reinterpret_cast<sockaddr *>(&address), &length) == 0);
    return address;
}

} // namespace

TEST_CASE("datagrams move with their addresses and with ancillary data")
{
    const auto method = GENERATE(ENGINE_EPOLL, ENGINE_SELECT, ENGINE_IO_URING);
    INFO(engine_method_name(method));
    if (!has_method(method)) {
        SKIP("this system has no io_uring for us");
    }
    Loop loop(method);
    Owner sender(loop);
    Owner receiver(loop);
    const int from = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int to = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const sockaddr_in source = bound_to_loopback(from);
    const sockaddr_in target = bound_to_loopback(to);
    const int on = 1;
    REQUIRE(setsockopt(to, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) == 0);
    sender.open(from);
    receiver.open(to);

    std::string texts[] = {"one", "another", ""};
    iovec vectors[3];
    engine_message messages[3] = {};
    for (int i = 0; i < 3; i++) {
        vectors[i] = {texts[i].data(), texts[i].size()};
        messages[i].vectors = &vectors[i];
        messages[i].vector_count = 1;
        messages[i].address_length = sizeof target;
        memcpy(&messages[i].address, &target, sizeof target);
        sender.outgoing.push_back(&messages[i]);
    }
    engine_recv_message(receiver.socket);
    engine_send_messages(sender.socket);
    for (const std::string &text : texts) {
        if (&text != texts) {
            engine_recv_message(receiver.socket);
        }
        loop.run();
        sockaddr_in peer{};
        memcpy(&peer, &receiver.incoming.address, sizeof peer);
        CHECK(std::string(receiver.bytes.data(), static_cast<size_t>(receiver.received)) == text);
        CHECK(receiver.incoming.address_length == sizeof peer);
        CHECK(peer.sin_port == source.sin_port);
        CHECK(peer.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
        CHECK(receiver.incoming.control_size == CMSG_SPACE(sizeof(in_pktinfo)));
        CHECK((receiver.incoming.flags & (MSG_TRUNC | MSG_CTRUNC)) == 0);
    }
    CHECK(sender.sent == 3);
    engine_socket_close(sender.socket);
    engine_socket_close(receiver.socket);
    loop.run_a_little();
    CHECK(sender.is_closed);
    CHECK(receiver.is_closed);
}

TEST_CASE("a receive for which there is no room waits until there is, and a socket that is closed tells nothing more")
{
    const auto method = GENERATE(ENGINE_EPOLL, ENGINE_SELECT, ENGINE_IO_URING);
    INFO(engine_method_name(method));
    if (!has_method(method)) {
        SKIP("this system has no io_uring for us");
    }
    Loop loop(method);
    Owner owner(loop);
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    owner.open(pair[0]);
    owner.has_room = false;
    REQUIRE(write(pair[1], "x", 1) == 1);
    engine_recv(owner.socket);
    engine_timer timer;
    engine_timer_init(
        &timer, loop.get(),
        [](void *context) {
            auto *self = static_cast<Owner *>(context);
            self->has_room = true;
            engine_recv_retry(self->socket);
        },
        &owner);
    engine_timer_set(&timer, 1);
    loop.run();
    CHECK(owner.received == 1);
    engine_timer_deinit(&timer);

    owner.received = -1;
    REQUIRE(write(pair[1], "y", 1) == 1);
    engine_recv(owner.socket);
    engine_socket_close(owner.socket);
    loop.run_a_little();
    CHECK(owner.is_closed);
    CHECK(owner.received == -1);
    char byte;
    CHECK(recv(pair[1], &byte, 1, 0) <= 0);
    close(pair[1]);
}

TEST_CASE("a send that the system takes nothing of gives its bytes back, and can be withdrawn, and made again")
{
    const auto method = GENERATE(ENGINE_EPOLL, ENGINE_SELECT, ENGINE_IO_URING);
    INFO(engine_method_name(method));
    if (!has_method(method)) {
        SKIP("this system has no io_uring for us");
    }
    Loop loop(method);
    Owner owner(loop);
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    const std::string much(1 << 16, 'x');
    size_t filled = 0;
    for (ssize_t sent; (sent = write(pair[0], much.data(), much.size())) > 0;) {
        filled += static_cast<size_t>(sent);
    }
    owner.open(pair[0]);
    owner.text = "yz";
    engine_send(owner.socket);
    loop.run_a_little();
    CHECK(owner.unused == 1);
    CHECK(owner.sent == -1);
    engine_send_withdraw(owner.socket);
    const auto drain = [&] {
        std::string bytes(filled + 16, '\0');
        size_t received = 0;
        for (ssize_t count; (count = read(pair[1], &bytes[received], bytes.size() - received)) > 0;) {
            received += static_cast<size_t>(count);
        }
        return bytes.substr(0, received);
    };
    CHECK(drain().size() == filled);
    loop.run_a_little();
    CHECK(owner.sent == -1);
    CHECK(drain().empty());
    engine_send(owner.socket);
    loop.run_a_little();
    CHECK(owner.sent == 2);
    CHECK(owner.unused == 1);
    CHECK(drain() == "yz");
    engine_socket_close(owner.socket);
    loop.run_a_little();
    close(pair[1]);
}

TEST_CASE("an accept that is withdrawn leaves the connection that comes to the next one")
{
    const auto method = GENERATE(ENGINE_EPOLL, ENGINE_SELECT, ENGINE_IO_URING);
    INFO(engine_method_name(method));
    if (!has_method(method)) {
        SKIP("this system has no io_uring for us");
    }
    Loop loop(method);
    Owner owner(loop);
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const sockaddr_in address = bound_to_loopback(listener);
    REQUIRE(listen(listener, 1) == 0);
    owner.open(listener);
    engine_accept(owner.socket);
    loop.run_a_little();
    engine_accept_withdraw(owner.socket);
    const int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(connect(peer, reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0);
    loop.run_a_little();
    CHECK(owner.accepted == -1);
    engine_accept(owner.socket);
    loop.run();
    CHECK(owner.accepted >= 0);
    close(owner.accepted);
    close(peer);
    engine_socket_close(owner.socket);
    loop.run_a_little();
}

// More than a ring takes at a time, so some of it is with the system already and some is not.
TEST_CASE("what sockets were to send or receive is not touched any more when they are closed, however many they are")
{
    const auto method = GENERATE(ENGINE_EPOLL, ENGINE_IO_URING);
    INFO(engine_method_name(method));
    if (!has_method(method)) {
        SKIP("this system has no io_uring for us");
    }
    constexpr size_t count = 300;
    Loop loop(method);
    std::vector<std::unique_ptr<Owner>> owners;
    std::vector<int> peers;
    for (size_t i = 0; i < count; i++) {
        int pair[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
        owners.push_back(std::make_unique<Owner>(loop));
        owners.back()->open(pair[0]);
        owners.back()->text = "abc";
        peers.push_back(pair[1]);
        engine_recv(owners.back()->socket);
    }
    loop.run_a_little();
    // All in one round, and at its end all are closed: what was theirs, memory and descriptors, is then somebody
    // else's.
    int stranger[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, stranger) == 0);
    std::vector<int> duplicates;
    for (const auto &owner : owners) {
        engine_send(owner->socket);
    }
    owners.back()->asked_for_text = [&] {
        // Those first that the system has not.
        for (auto next = owners.rbegin(); next != owners.rend(); next++) {
            Owner *owner = next->get();
            engine_socket_close(owner->socket);
            owner->text = "XYZ";
            owner->sent = -1;
            duplicates.push_back(fcntl(stranger[0], F_DUPFD_CLOEXEC, 0));
        }
    };
    for (const int peer : peers) {
        REQUIRE(write(peer, "in", 2) == 2);
    }
    loop.run_a_little();
    for (size_t i = 0; i < count; i++) {
        CHECK(owners[i]->is_closed);
        CHECK(owners[i]->sent == -1);
        char bytes[8];
        const ssize_t got = recv(peers[i], bytes, sizeof bytes, 0);
        CHECK((got <= 0 || std::string(bytes, static_cast<size_t>(got)) == "abc"));
        close(peers[i]);
    }
    char byte;
    CHECK(recv(stranger[1], &byte, 1, 0) == -1);
    CHECK(errno == EAGAIN);
    duplicates.insert(duplicates.end(), stranger, stranger + 2);
    for (const int fd : duplicates) {
        close(fd);
    }
}

TEST_CASE("what is sent in pieces arrives whole, while much else is sent")
{
    const auto method = GENERATE(ENGINE_EPOLL, ENGINE_IO_URING);
    INFO(engine_method_name(method));
    if (!has_method(method)) {
        SKIP("this system has no io_uring for us");
    }
    Loop loop(method);
    std::vector<std::unique_ptr<Owner>> owners;
    std::vector<int> peers;
    for (size_t i = 0; i < 400; i++) {
        int pair[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
        owners.push_back(std::make_unique<Owner>(loop));
        owners.back()->open(pair[0]);
        owners.back()->text = "number " + std::to_string(i);
        peers.push_back(pair[1]);
        engine_send(owners.back()->socket);
    }
    loop.run_a_little();
    for (size_t i = 0; i < owners.size(); i++) {
        char bytes[32];
        const ssize_t got = recv(peers[i], bytes, sizeof bytes, 0);
        CHECK(got == owners[i]->sent);
        CHECK(std::string(bytes, static_cast<size_t>(std::max<ssize_t>(got, 0))) == owners[i]->text);
        engine_socket_close(owners[i]->socket);
        close(peers[i]);
    }
    loop.run_a_little();
}

// More than a ring has room for at a time: the system then ends polls that were to go on.
TEST_CASE("bells are heard, however many are rung at once, and again and again")
{
    const auto method = GENERATE(ENGINE_EPOLL, ENGINE_IO_URING);
    INFO(engine_method_name(method));
    if (!has_method(method)) {
        SKIP("this system has no io_uring for us");
    }
    constexpr size_t count = 5000;
    rlimit before{};
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    if (before.rlim_max < count + 100) {
        SKIP("this process may not have so many descriptors");
    }
    rlimit raised = before;
    raised.rlim_cur = raised.rlim_max;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &raised) == 0);
    struct Bell {
        engine_bell *bell;
        size_t heard;
        size_t *waits;
        engine *loop;
    };
    const int all = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    REQUIRE(all >= 0);
    {
        Loop loop(method);
        size_t waits = 0;
        std::vector<Bell> bells(count);
        for (size_t i = 0; i < count; i++) {
            bells[i] = {nullptr, 0, &waits, loop.get()};
            if (i % 100 == 0) {
                loop.run_a_little(); // before it runs, a ring has room for a few
            }
            const int fd = fcntl(all, F_DUPFD_CLOEXEC, 0);
            bells[i].bell = engine_bell_new(
                loop.get(), fd,
                [](void *owner) {
                    auto *self = static_cast<Bell *>(owner);
                    if (self->heard++ == 0 && --*self->waits == 0) {
                        engine_stop(self->loop);
                    }
                },
                &bells[i]);
            REQUIRE(bells[i].bell);
        }
        for (int round = 0; round < 3; round++) {
            loop.run_a_little();
            waits = count;
            for (Bell &bell : bells) {
                bell.heard = 0;
            }
            const uint64_t one = 1;
            REQUIRE(write(all, &one, sizeof one) == sizeof one);
            loop.run();
            CHECK(waits == 0);
        }
        for (Bell &bell : bells) {
            engine_bell_free(bell.bell);
        }
    }
    close(all);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
}

TEST_CASE("a closed listener's port is free at once")
{
    const auto method = GENERATE(ENGINE_EPOLL, ENGINE_SELECT, ENGINE_IO_URING);
    INFO(engine_method_name(method));
    if (!has_method(method)) {
        SKIP("this system has no io_uring for us");
    }
    Loop loop(method);
    Owner owner(loop);
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const sockaddr_in address = bound_to_loopback(listener);
    REQUIRE(listen(listener, 1) == 0);
    owner.open(listener);
    engine_accept(owner.socket);
    loop.run_a_little(); // it is watched
    engine_socket_close(owner.socket);
    const int next = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(next, reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0);
    CHECK(listen(next, 1) == 0);
    close(next);
    loop.run_a_little();
    CHECK(owner.is_closed);
}
