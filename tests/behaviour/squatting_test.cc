// The tricks that others could play on the files that the daemon makes, by being there first.
#include <catch2/catch.hpp>

#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/support/daemon.h"
#include "tests/support/others.h"
#include "tests/support/skip.h"
#include "tests/support/text.h"

using namespace test_support;

TEST_CASE("a directory that is another user's is refused")
{
    if (const char *why = why_no_others()) {
        SKIP(why);
    }
    const Place place;
    std::filesystem::create_directory(place.path("theirs"));
    REQUIRE(chmod(place.path("theirs").c_str(), 0700) == 0);
    REQUIRE(chown(place.path("theirs").c_str(), nobody, nobody) == 0);
    const ProcessResult result = run_daemon(place.path("theirs/oched.sock"));
    CHECK(result.status == 1);
    CHECK(contains(result.error, place.path("theirs")));
    CHECK(contains(result.error, "65534"));
    CHECK(std::filesystem::is_empty(place.path("theirs")));
}

TEST_CASE("a directory that is a symbolic link of another user's is refused, one of one's own is followed")
{
    if (const char *why = why_no_others()) {
        SKIP(why);
    }
    const Place place;
    const std::string real = place.path("real");
    std::filesystem::create_directory(real);
    REQUIRE(chmod(real.c_str(), 0700) == 0);
    std::filesystem::create_symlink(real, place.path("link"));
    {
        Process own({{oched_path(), "--foreground", "--socket", place.path("link/oched.sock"), "--log-file",
                      place.path("log"), "--method", method_under_test()},
                     {},
                     -1,
                     -1,
                     -1,
                     0,
                     0});
        REQUIRE(eventually([&] { return count_lines(contents_of(place.path("log")), "event=confined") == 1; }));
        own.kill(SIGTERM);
        CHECK(own.wait() == 0);
    }
    REQUIRE(lchown(place.path("link").c_str(), nobody, nobody) == 0);
    const ProcessResult result = run_daemon(place.path("link/oched.sock"));
    CHECK(result.status == 1);
    CHECK(contains(result.error, place.path("link")));
    CHECK(std::filesystem::is_empty(real));
}

TEST_CASE("a socket that another user has put in a shared directory is not served over, nor believed")
{
    if (const char *why = why_no_others()) {
        SKIP(why);
    }
    // As /tmp is: everybody may add to it, and nobody remove what is another's.
    const Place place;
    REQUIRE(chmod(place.path("").c_str(), 0711) == 0);
    const std::string shared = place.path("shared");
    const std::string socket_path = shared + "/oched.sock";
    std::filesystem::create_directory(shared);
    REQUIRE(chmod(shared.c_str(), 01777) == 0);
    const Descriptor squatter(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, socket_path.c_str(), sizeof address.sun_path - 1);
    REQUIRE(bind(squatter.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0);
    REQUIRE(listen(squatter.get(), 1) == 0);
    REQUIRE(chmod(socket_path.c_str(), 0666) == 0);

    const ProcessResult result = run_daemon(socket_path, {"--user", "65534"});
    CHECK(result.status == 1);
    CHECK(contains(result.error, socket_path));
    CHECK(std::filesystem::is_socket(socket_path));
    CHECK_FALSE(std::filesystem::exists(socket_path + ".lock"));
}

TEST_CASE("a lock that is a link is refused, and what it leads to is left alone")
{
    const Place place;
    const std::string treasure = place.path("treasure");
    std::ofstream(treasure) << "gold";
    const std::string link = place.socket_path() + ".lock";
    SECTION("a symbolic link")
    {
        std::filesystem::create_symlink(treasure, link);
    }
    SECTION("another name of some file")
    {
        std::filesystem::create_hard_link(treasure, link);
    }
    const ProcessResult result = run_daemon(place.socket_path());
    CHECK(result.status == 1);
    CHECK(contains(result.error, link));
    CHECK(contents_of(treasure) == "gold");
}

TEST_CASE("a lock file of another user's is refused, even while that user holds it locked")
{
    if (const char *why = why_no_others()) {
        SKIP(why);
    }
    const Place place;
    const std::string lock = place.socket_path() + ".lock";
    const Descriptor file(open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
    REQUIRE(fchown(file.get(), nobody, nobody) == 0);
    REQUIRE(flock(file.get(), LOCK_EX) == 0);
    const ProcessResult result = run_daemon(place.socket_path());
    CHECK(result.status == 1);
    CHECK(contains(result.error, lock));
    CHECK(contains(result.error, "65534"));
}
