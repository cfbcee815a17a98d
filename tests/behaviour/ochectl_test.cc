// The tool that asks a running daemon about itself.
#include <catch2/catch.hpp>

#include <csignal>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/others.h"
#include "tests/support/pair.h"
#include "tests/support/text.h"

using namespace test_support;

namespace
{
ProcessResult run_ochectl(std::vector<std::string> arguments)
{
    arguments.insert(arguments.begin(), runfile("client/ochectl"));
    ProcessOptions options;
    options.arguments = std::move(arguments);
    return run(options);
}

// A row of the table: the text, then numbers.
std::string row(const std::string &text, const std::vector<std::string> &numbers)
{
    std::string expression = "^" + text;
    for (const std::string &number : numbers) {
        expression += " +" + number;
    }
    return expression + "$";
}
} // namespace

TEST_CASE("ochectl statistics prints what there is, what there may be and what was refused")
{
    DaemonOptions options;
    options.arguments = {"--user-max-handles", "2", "--user-max-requests", "77", "--max-sessions", "9"};
    const Daemon daemon(options);
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    CHECK(isolate.result(isolate.write(pair.handle, "12345")) == 5);
    listening(isolate);
    CHECK(isolate.result(isolate.listen({loopback4(), 0})) == TCP_ERR_QUOTA);

    for (const auto &arguments : std::vector<std::vector<std::string>>{
             {"statistics"}, {"statistics", "--socket", daemon.place().socket_path()}}) {
        const ProcessResult result = run_ochectl(arguments);
        CAPTURE(result.output, result.error);
        CHECK(result.status == 0);
        CHECK(result.error.empty());
        CHECK(count_lines(result.output, row("sockets open", {"2"})) == 1);
        CHECK(count_lines(result.output, row("connections made", {"1"})) == 1);
        CHECK(count_lines(result.output, row("bytes sent", {"5"})) == 1);
        CHECK(count_lines(result.output, row("sessions", {"2", "9", "0"})) == 1);
        CHECK(count_lines(result.output, row("sockets", {"2", "2", "1"})) == 1);
        CHECK(count_lines(result.output, row("unanswered requests", {"0", "77", "0"})) == 1);
    }
}

TEST_CASE("ochectl --json prints the same as an object")
{
    DaemonOptions options;
    options.arguments = {"--user-max-handles", "2", "--user-max-connection-rate", "33"};
    const Daemon daemon(options);
    const ProcessResult result = run_ochectl({"--json", "statistics"});
    CAPTURE(result.output, result.error);
    CHECK(result.status == 0);
    CHECK(count_lines(result.output, "^  \"sessions_open\": 1,$") == 1);
    CHECK(count_lines(result.output, "^    \"id\": " + std::to_string(geteuid()) + ",$") == 1);
    CHECK(count_lines(result.output, "^    \"handles\": \\{\"used\": 0, \"limit\": 2, \"refused\": 0\\},$") == 1);
    CHECK(count_lines(result.output, "^    \"connection_rate\": \\{\"used\": 0, \"limit\": 33, \"refused\": 0\\}$") ==
          1);
    CHECK(result.output.substr(0, 2) == "{\n");
    CHECK(result.output.substr(result.output.size() - 7) == "\n  }\n}\n");
}

TEST_CASE("without a daemon ochectl says so with status 3, and starts none")
{
    const Place place;
    const ProcessResult result = run_ochectl({"statistics"});
    CAPTURE(result.error);
    CHECK(result.status == 3);
    CHECK(result.output.empty());
    CHECK(count_lines(result.error, "^ochectl: .*" + place.socket_path()) == 1);
    CHECK(place.starts() == 0);
    CHECK_FALSE(place.is_served());
}

TEST_CASE("where somebody listens who does not answer, or cannot be trusted, ochectl says so with status 1")
{
    SECTION("a daemon that is stopped")
    {
        const Daemon daemon;
        const Stopped stopped(daemon.pid());
        const ProcessResult result = run_ochectl({"statistics"});
        CAPTURE(result.error);
        CHECK(result.status == 1);
        CHECK(count_lines(result.error, "^ochectl: .") == 1);
    }
    SECTION("a socket that is another user's")
    {
        if (why_no_others()) {
            return;
        }
        const Daemon daemon;
        REQUIRE(chown(daemon.place().socket_path().c_str(), nobody, nobody) == 0);
        const ProcessResult result = run_ochectl({"statistics"});
        CAPTURE(result.error);
        CHECK(result.status == 1);
        CHECK(count_lines(result.error, "^ochectl: .*65534") == 1);
    }
    SECTION("a socket at which nobody listens any more is none")
    {
        const Place place;
        const Descriptor left(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        strncpy(address.sun_path, place.socket_path().c_str(), sizeof address.sun_path - 1);
        REQUIRE(bind(left.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0);
        CHECK(run_ochectl({"statistics"}).status == 3);
    }
}

TEST_CASE("where no session is left ochectl is refused like any client, with status 1")
{
    DaemonOptions options;
    options.arguments = {"--max-sessions", "1"};
    const Daemon daemon(options);
    Isolate isolate;
    isolate.start();
    const ProcessResult result = run_ochectl({"statistics"});
    CHECK(result.status == 1);
    CHECK(count_lines(result.error, "^ochectl: .*max-sessions") == 1);
}

TEST_CASE("ochectl tells its options and its version, and what is wrong with a command line")
{
    const ProcessResult help = run_ochectl({"--help"});
    CHECK(help.status == 0);
    for (const char *option : {"--socket", "--json", "--version", "--help", "statistics"}) {
        CAPTURE(option);
        CHECK(help.output.find(option) != std::string::npos);
    }
    const ProcessResult version = run_ochectl({"--version"});
    CHECK(version.status == 0);
    CHECK(version.output == std::string("ochectl ") + oche_version() + "\n");
    for (const auto &arguments : std::vector<std::vector<std::string>>{
             {}, {"status"}, {"statistics", "more"}, {"--nonsense", "statistics"}, {"--socket"}}) {
        const ProcessResult result = run_ochectl(arguments);
        CAPTURE(result.error);
        CHECK(result.status == 2);
        CHECK(result.output.empty());
        CHECK(result.error.find("ochectl --help") != std::string::npos);
    }
}
