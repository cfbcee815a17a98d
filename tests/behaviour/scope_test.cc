// Link-local IPv6 addresses, which mean something only together with the number of an interface: their scope id.
#include <catch2/catch.hpp>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include "oche/oche.h"
#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/process.h"
#include "tests/support/sized.h"
#include "tests/support/skip.h"

using namespace test_support;

namespace
{
const Address link_local{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

// A network of its own for this process, and what it starts: two interfaces, both of which have the address fe80::1.
// The one of before comes back at the end.
class Network
{
  public:
    Network() : before_(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC))
    {
        if (unshare(CLONE_NEWNET) < 0) {
            why_not_ = std::string("no network of its own: ") + strerror(errno);
            return;
        }
        made_ = true;
        for (const char *arguments : {"link set lo up", "link add v0 type veth peer name v1"})
            ip(arguments);
        for (const std::string interface : {"v0", "v1"}) {
            ip("link set " + interface + " addrgenmode none");
            ip("link set " + interface + " up");
            ip("addr add fe80::1/64 dev " + interface + " nodad");
        }
    }
    ~Network()
    {
        if (made_)
            setns(before_.get(), CLONE_NEWNET);
    }
    Network(const Network &) = delete;
    Network &operator=(const Network &) = delete;

    const std::string &why_not() const
    {
        return why_not_;
    }

  private:
    void ip(const std::string &arguments)
    {
        ProcessOptions options;
        options.arguments = {"/bin/sh", "-c", "PATH=/usr/sbin:/sbin:$PATH exec ip " + arguments};
        const ProcessResult result = run(options);
        if (result.status != 0 && why_not_.empty())
            why_not_ = "ip " + arguments + ": " + result.error;
    }

    Descriptor before_;
    bool made_ = false;
    std::string why_not_;
};

struct SessionCloser {
    void operator()(oche_session *session) const
    {
        oche_session_close(session);
    }
};
using Session = std::unique_ptr<oche_session, SessionCloser>;

Session open_session()
{
    oche_session *session = nullptr;
    REQUIRE(oche_session_open(nullptr, &session) == 0);
    return Session(session);
}

oche_completion completion_of(const Session &session, int64_t returned)
{
    REQUIRE(returned == 0);
    auto completion = sized<oche_completion>();
    REQUIRE(eventually([&] {
        pollfd waited{oche_session_get_fd(session.get()), POLLIN, 0};
        poll(&waited, 1, 10);
        oche_session_dispatch(session.get());
        return oche_session_pop(session.get(), &completion);
    }));
    return completion;
}

oche_completion listen_at(const Session &session, uint32_t scope_id, uint16_t port = 0, bool shared = false)
{
    auto options = sized<oche_listen_options>();
    options.address = link_local.data();
    options.address_length = link_local.size();
    options.scope_id = scope_id;
    options.port = port;
    options.shared = shared;
    return completion_of(session, oche_listen(session.get(), 1, &options));
}

oche_completion connect_to(const Session &session, uint32_t scope_id, uint16_t port, uint32_t source_scope_id = 0)
{
    auto options = sized<oche_connect_options>();
    options.address = link_local.data();
    options.address_length = link_local.size();
    options.scope_id = scope_id;
    options.port = port;
    if (source_scope_id) {
        options.source_address = link_local.data();
        options.source_address_length = link_local.size();
        options.source_scope_id = source_scope_id;
    }
    return completion_of(session, oche_connect(session.get(), 2, &options));
}

oche_endpoint local_of(const Session &session, int64_t handle)
{
    auto endpoint = sized<oche_endpoint>();
    CHECK(oche_get_local(session.get(), handle, &endpoint) == 0);
    return endpoint;
}

oche_endpoint remote_of(const Session &session, int64_t handle)
{
    auto endpoint = sized<oche_endpoint>();
    CHECK(oche_get_remote(session.get(), handle, &endpoint) == 0);
    return endpoint;
}

// An address as isolates have it.
Address scoped(uint32_t scope_id)
{
    Address bytes = link_local;
    bytes.resize(20);
    memcpy(&bytes[16], &scope_id, sizeof scope_id);
    return bytes;
}
} // namespace

TEST_CASE("a link-local address keeps its scope id on the way in and on the way back")
{
    const Network network;
    if (!network.why_not().empty())
        SKIP(network.why_not());
    const uint32_t v0 = if_nametoindex("v0"), v1 = if_nametoindex("v1");
    const Daemon daemon;
    const Session session = open_session();

    const int64_t zero = listen_at(session, v0).result;
    REQUIRE(zero > 0);
    const oche_endpoint at = local_of(session, zero);
    CHECK(at.scope_id == v0);

    SECTION("without one there is no such address")
    {
        CHECK(listen_at(session, 0).result == TCP_ERR_BIND_FAILED);
        CHECK(connect_to(session, 0, at.port).os_error == EINVAL);
    }
    SECTION("it tells two interfaces with the same address apart")
    {
        const int64_t one = listen_at(session, v1, at.port).result;
        REQUIRE(one > 0);
        CHECK(local_of(session, one).scope_id == v1);
        CHECK(oche_listener_close(session.get(), 3, zero, false) == 0);
        CHECK(completion_of(session, 0).result == 0);
        CHECK(connect_to(session, v0, at.port).os_error == ECONNREFUSED);
        CHECK(connect_to(session, v1, at.port).result > 0);
    }
    SECTION("both ends of a connection have it")
    {
        const int64_t made = connect_to(session, v0, at.port, GENERATE(0, 1) ? v0 : 0).result;
        REQUIRE(made > 0);
        const int64_t taken = completion_of(session, oche_accept(session.get(), 4, zero)).result;
        REQUIRE(taken > 0);
        for (const int64_t handle : {made, taken}) {
            CHECK(local_of(session, handle).scope_id == v0);
            CHECK(remote_of(session, handle).scope_id == v0);
        }
    }
    SECTION("a source address of another interface is refused, or reaches nobody")
    {
        CHECK(connect_to(session, v0, at.port, 9999).result == TCP_ERR_BIND_FAILED);
    }
    SECTION("shared listeners of two interfaces have two queues")
    {
        const int64_t first = listen_at(session, v0, 0, true).result;
        const uint16_t port = local_of(session, first).port;
        REQUIRE(listen_at(session, v1, port, true).result > 0);
        REQUIRE(connect_to(session, v0, port).result > 0);
        CHECK(completion_of(session, oche_accept(session.get(), 5, first)).result > 0);
    }
}

TEST_CASE("an isolate says and gets the scope id behind the address")
{
    const Network network;
    if (!network.why_not().empty())
        SKIP(network.why_not());
    const uint32_t v0 = if_nametoindex("v0");
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Address address = scoped(v0);
    const auto listen = [&](auto *call, auto... more) {
        return isolate.inside([&] {
            const int64_t id = isolate.next_id();
            return isolate.made(id, call(id, address.data(), 20, 0, false, 0, false, more...));
        });
    };
    // The contract knows 4 and 16.
    CHECK(isolate.result(listen(tcp_listen)) == TCP_ERR_INVALID_ADDRESS);
    const int64_t listener = isolate.value(listen(oche_isolate_listen, false));
    Address out(20);
    CHECK(oche_isolate_get_local_address(listener, out.data()) == 20);
    CHECK(out == address);
    CHECK(tcp_get_local_address(listener, out.data()) == 16);

    const uint16_t port = Isolate::local(listener).port;
    const Request accept = isolate.accept(listener);
    const Request connect = isolate.inside([&] {
        const int64_t id = isolate.next_id();
        return isolate.made(id, oche_isolate_connect(id, address.data(), 20, port, nullptr, 0, 0, 0));
    });
    for (const int64_t handle : {isolate.value(connect), isolate.value(accept)}) {
        std::fill(out.begin(), out.end(), uint8_t{0});
        CHECK(oche_isolate_get_remote_address(handle, out.data()) == 20);
        CHECK(out == address);
    }
    CHECK(isolate.result(isolate.inside([&] {
        const int64_t id = isolate.next_id();
        return isolate.made(id, tcp_connect(id, address.data(), 20, port, nullptr, 0, 0));
    })) == TCP_ERR_INVALID_ADDRESS);
}

TEST_CASE("addresses of other kinds have no scope id")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = isolate.value(isolate.listen({loopback4(), 0}));
    Address out(20, 0xaa);
    CHECK(oche_isolate_get_local_address(listener, out.data()) == 4);
    CHECK(out[4] == 0xaa);
    CHECK(oche_isolate_get_remote_address(listener, out.data()) == TCP_ERR_INVALID_HANDLE);
    CHECK(oche_isolate_get_local_address(listener, nullptr) == TCP_ERR_INVALID_ARGUMENT);
}
