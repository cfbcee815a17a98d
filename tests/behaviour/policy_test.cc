// --allow-connect and --allow-listen.
#include <catch2/catch.hpp>

#include <cerrno>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/skip.h"

using namespace test_support;

namespace
{
const Address any4{0, 0, 0, 0};

// ::ffff:127.0.0.`last`
Address mapped(uint8_t last)
{
    return {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, last};
}

DaemonOptions allowing(const std::vector<std::string> &arguments)
{
    DaemonOptions options;
    options.arguments = arguments;
    return options;
}

struct Client {
    Client()
    {
        isolate.start();
        REQUIRE(isolate.enable(OCHE_FEATURE_ERROR_DETAIL) == 0);
    }

    void check_denied(const Request &request, int64_t code)
    {
        const Outcome outcome = isolate.outcome(request);
        CAPTURE(outcome.text());
        CHECK(outcome.result == code);
        CHECK(outcome.os_error == EACCES);
    }

    Isolate isolate;
};
} // namespace

TEST_CASE(
    "connect reaches what --allow-connect names; all else gives CONNECT_FAILED with EACCES, and a line in the log")
{
    const PeerListener here;
    const PeerListener there(loopback4(2), 128, here.port());
    const std::string port = std::to_string(here.port());
    const Daemon daemon(allowing({"--allow-connect", "127.0.0.1:" + port, "--allow-connect", "192.0.2.0/24"}));
    Client client;

    const int64_t handle = client.isolate.value(client.isolate.connect({loopback4(), here.port()}));
    const Peer peer = here.accept();
    CHECK(client.isolate.result(client.isolate.write(handle, "in")) == 2);
    CHECK(peer.receive(2) == "in");

    client.check_denied(client.isolate.connect({loopback4(2), here.port()}), TCP_ERR_CONNECT_FAILED);
    client.check_denied(client.isolate.connect({loopback4(), free_port()}), TCP_ERR_CONNECT_FAILED);
    client.check_denied(client.isolate.connect({loopback6(), here.port()}), TCP_ERR_CONNECT_FAILED);
    client.check_denied(client.isolate.connect({any4, here.port()}), TCP_ERR_CONNECT_FAILED);
    CHECK(daemon.count_lines(" warning session=[0-9]+ event=denied operation=connect address=127\\.0\\.0\\.2:" +
                             port) == 1);
    CHECK(daemon.count_lines("event=denied operation=connect address=\\[::1\\]:" + port) == 1);
    // It is not the client's fault: it goes on.
    CHECK(client.isolate.value(client.isolate.connect({loopback4(), here.port()})) > 0);
}

TEST_CASE("an IPv4-mapped IPv6 address does not lead around --allow-connect, and is let through where IPv4 is")
{
    if (!has_ipv6()) {
        SKIP("there is no ::1 here");
    }
    const PeerListener one(loopback4(1));
    const PeerListener two(loopback4(2));
    const Daemon daemon(allowing({"--allow-connect", "127.0.0.1", "--allow-connect", "::/0"}));
    Client client;
    client.check_denied(client.isolate.connect({mapped(2), two.port()}), TCP_ERR_CONNECT_FAILED);
    CHECK(client.isolate.value(client.isolate.connect({mapped(1), one.port()})) > 0);
}

TEST_CASE("listen takes what --allow-listen names; all else gives BIND_FAILED with EACCES, and a line in the log")
{
    const uint16_t port = free_port(loopback4(3));
    const std::string range = std::to_string(port) + "-" + std::to_string(port);
    const Daemon daemon(allowing({"--allow-listen", "127.0.0.3:" + range, "--allow-listen", "127.0.0.4:0"}));
    Client client;

    const int64_t listener = client.isolate.value(client.isolate.listen({loopback4(3), port}));
    CHECK(accepted(client.isolate, listener).handle > 0);
    CHECK(client.isolate.value(client.isolate.listen({loopback4(4), 0})) > 0);

    client.check_denied(client.isolate.listen({loopback4(3), 0}), TCP_ERR_BIND_FAILED);
    client.check_denied(client.isolate.listen({loopback4(1), port}), TCP_ERR_BIND_FAILED);
    client.check_denied(client.isolate.listen({any4, port}), TCP_ERR_BIND_FAILED);
    client.check_denied(client.isolate.listen({any6(), port}), TCP_ERR_BIND_FAILED);
    client.check_denied(client.isolate.listen({mapped(1), port}), TCP_ERR_BIND_FAILED);
    CHECK(daemon.count_lines(" warning session=[0-9]+ event=denied operation=listen address=0\\.0\\.0\\.0:" +
                             std::to_string(port)) == 1);
    // Connections elsewhere are another matter.
    CHECK(connected(client.isolate).handle > 0);
}

TEST_CASE("a listener at :: takes IPv4 connections only where IPv4 is allowed too")
{
    if (!has_ipv6()) {
        SKIP("there is no ::1 here");
    }
    ListenOptions v6_only;
    v6_only.v6_only = true;
    {
        const Daemon daemon(allowing({"--allow-listen", "::"}));
        Client client;
        client.check_denied(client.isolate.listen({any6(), 0}), TCP_ERR_BIND_FAILED);
        CHECK(client.isolate.value(client.isolate.listen({any6(), 0}, v6_only)) > 0);
    }
    const Daemon daemon(allowing({"--allow-listen", "::", "--allow-listen", "0.0.0.0"}));
    Client client;
    CHECK(client.isolate.value(client.isolate.listen({any6(), 0})) > 0);
}

TEST_CASE("the source of a connection is a local address like any other: --allow-listen says which")
{
    const PeerListener listener;
    const Daemon daemon(allowing({"--allow-listen", "127.0.0.5"}));
    Client client;
    const Endpoint to{loopback4(), listener.port()};
    client.check_denied(client.isolate.connect(to, {loopback4(6), 0}), TCP_ERR_BIND_FAILED);
    CHECK(client.isolate.value(client.isolate.connect(to, {loopback4(5), 0})) > 0);
    CHECK(listener.accept().remote().address == loopback4(5));
    CHECK(client.isolate.value(client.isolate.connect(to)) > 0);
    CHECK(daemon.count_lines("event=denied operation=bind address=127\\.0\\.0\\.6:0") == 1);
}

TEST_CASE("connections that are accepted may come from everywhere")
{
    const Daemon daemon(allowing({"--allow-connect", "192.0.2.1"}));
    Client client;
    const int64_t listener = listening(client.isolate);
    CHECK(accepted(client.isolate, listener).handle > 0);
}

TEST_CASE("a rule that is none is a wrong command line, and named")
{
    for (const char *option : {"--allow-connect", "--allow-listen"}) {
        const ProcessResult result = run({{oched_path(), option, "192.0.2.1/8:80"}, {}, -1, -1, -1, 0, 0});
        CHECK(result.status == 2);
        CHECK(result.error.find(option) != std::string::npos);
        CHECK(result.error.find("192.0.2.1/8:80") != std::string::npos);
    }
}
