#include <catch2/catch.hpp>

extern "C" {
#include "daemon/process/options.h"
}

#include <getopt.h>
#include <string>
#include <utility>
#include <vector>

namespace
{

int parse(options *parsed, std::vector<std::string> words)
{
    words.insert(words.begin(), "oched");
    std::vector<char *> argv;
    for (std::string &word : words)
        argv.push_back(&word[0]);
    argv.push_back(nullptr);
    optind = 0; /* glibc: start over */
    return options_parse(parsed, static_cast<int>(words.size()), argv.data());
}

} // namespace

TEST_CASE("without options the daemon serves with its defaults")
{
    options parsed;
    REQUIRE(parse(&parsed, {}) == 0);
    CHECK(parsed.socket_path == nullptr);
    CHECK(parsed.workers == 1);
    CHECK(parsed.method == ENGINE_EPOLL);
    CHECK(parsed.idle_exit_s == 0);
    CHECK(parsed.log_level == LOG_INFO);
    CHECK(parsed.log_size == 8 << 20);
    CHECK_FALSE(parsed.foreground);
    CHECK(parsed.user == nullptr);
    CHECK_FALSE(parsed.no_seccomp);
    CHECK(parsed.policy.connect.count == 0);
    CHECK(parsed.policy.listen.count == 0);
}

TEST_CASE("every option that takes a value takes it")
{
    options parsed;
    REQUIRE(parse(&parsed, {"--workers=3",
                            "--method",
                            "select",
                            "--idle-exit=7",
                            "--drain-timeout=0",
                            "--handover-timeout=13",
                            "--log-level=debug",
                            "--log-size=64K",
                            "--max-sessions=5",
                            "--max-handles=6",
                            "--max-queued-bytes=70000",
                            "--max-arena-bytes=300000",
                            "--user-max-handles=8",
                            "--user-max-queued-bytes=90000",
                            "--user-max-arena-bytes=0",
                            "--user-max-requests=11",
                            "--user-max-session-rate=12",
                            "--user-max-connection-rate=0",
                            "--foreground",
                            "--user=nobody",
                            "--no-seccomp",
                            "--allow-connect=::1",
                            "--allow-listen=127.0.0.1:80",
                            "--allow-connect",
                            "192.0.2.0/24:443"}) == 0);
    CHECK(parsed.workers == 3);
    CHECK(parsed.method == ENGINE_SELECT);
    CHECK(parsed.idle_exit_s == 7);
    CHECK(parsed.drain_timeout_s == 0);
    CHECK(parsed.handover_timeout_s == 13);
    CHECK(parsed.log_level == LOG_DEBUG);
    CHECK(parsed.log_size == 64 << 10);
    CHECK(parsed.limits.sessions == 5);
    CHECK(parsed.limits.handles == 6);
    CHECK(parsed.limits.queued_bytes == 70000);
    CHECK(parsed.limits.arena_bytes == 300000);
    CHECK(parsed.limits.user.handles == 8);
    CHECK(parsed.limits.user.queued_bytes == 90000);
    CHECK(parsed.limits.user.arena_bytes == 0);
    CHECK(parsed.limits.user.requests == 11);
    CHECK(parsed.limits.user.session_rate == 12);
    CHECK(parsed.limits.user.connection_rate == 0);
    CHECK(parsed.user != nullptr);
    CHECK(parsed.no_seccomp);
    CHECK(parsed.policy.connect.count == 2);
    CHECK(parsed.policy.listen.count == 1);
    CHECK(parsed.foreground);
}

TEST_CASE("the size of the log has units, or none, and 0 is no limit")
{
    const std::pair<const char *, uint64_t> sizes[] = {
        {"--log-size=0", 0},
        {"--log-size=4096", 4096},
        {"--log-size=4K", 4096},
        {"--log-size=3M", 3 << 20},
        {"--log-size=2G", uint64_t{2} << 30},
    };
    for (const auto &[word, size] : sizes) {
        INFO(word);
        options parsed;
        CHECK(parse(&parsed, {word}) == 0);
        CHECK(parsed.log_size == size);
    }
}

TEST_CASE("a value that is out of range, or no number at all, is a usage error")
{
    options parsed;
    for (const char *word : {"--workers=0",
                             "--workers=65",
                             "--workers=two",
                             "--workers=1x",
                             "--workers=",
                             "--workers=-1",
                             "--method=kqueue",
                             "--log-level=loud",
                             "--log-size=4095",
                             "--log-size=K",
                             "--log-size=1KK",
                             "--log-size=9999999999G",
                             "--max-handles=0",
                             "--user-max-handles=0",
                             "--user-max-requests=0",
                             "--user-max-queued-bytes=1",
                             "--user-max-session-rate=x",
                             "--idle-exit=99999999999999999999",
                             "--allow-connect=",
                             "--allow-listen=localhost:80",
                             "--nonsense",
                             "stray"}) {
        INFO(word);
        CHECK(parse(&parsed, {word}) == 2);
    }
}
