// Where client and daemon look for the socket.
#include <catch2/catch.hpp>

extern "C" {
#include "common/socket_path.h"
}

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <sched.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/skip.h"

namespace
{
std::map<std::string, std::string> variables;

char *variable(const char *name)
{
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.data();
}

std::string path(const char *wanted = nullptr)
{
    char *made = socket_path(wanted, variable);
    REQUIRE(made);
    std::string copy = made;
    free(made);
    return copy;
}

std::string in_tmp(const std::string &name = "oched.sock")
{
    return "/tmp/oche-" + std::to_string(geteuid()) + "/" + name;
}

struct Directory {
    Directory()
    {
        std::string made = "/tmp/oche.XXXXXX";
        REQUIRE(mkdtemp(made.data()));
        name = made;
        variables = {{"XDG_RUNTIME_DIR", name}};
    }
    ~Directory()
    {
        std::filesystem::remove_all(name);
    }
    std::string name;
};

enum { NOT_TO_BE_HAD = 100 };

// The exit status of a child that is in a network namespace of its own, which not every system lets one be.
int elsewhere(const std::function<bool()> &is_right)
{
    const pid_t child = fork();
    if (child == 0) {
        if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
            _exit(NOT_TO_BE_HAD);
        _exit(is_right() ? 0 : 1);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    return WEXITSTATUS(status);
}
} // namespace

TEST_CASE("what is wanted counts most, then OCHE_SOCKET, and both become absolute")
{
    const Directory directory;
    variables["OCHE_SOCKET"] = "/a/socket";
    CHECK(path("/wanted") == "/wanted");
    CHECK(path() == "/a/socket");
    CHECK(path("") == "/a/socket");
    const std::string here = std::filesystem::current_path();
    CHECK(path("wanted") == here + "/wanted");
    variables["OCHE_SOCKET"] = "some/socket";
    CHECK(path() == here + "/some/socket");
}

TEST_CASE("the default is in the runtime directory, or else in a directory of the user's own in /tmp")
{
    const Directory directory;
    CHECK(path() == directory.name + "/oche/oched.sock");
    variables["OCHE_SOCKET"] = "";
    CHECK(path() == directory.name + "/oche/oched.sock");
    variables.clear();
    CHECK(path() == in_tmp());
}

TEST_CASE("what is no directory of the user's own is no runtime directory")
{
    const Directory directory;
    variables["XDG_RUNTIME_DIR"] = "relative";
    CHECK(path() == in_tmp());
    variables["XDG_RUNTIME_DIR"] = directory.name + "/missing";
    CHECK(path() == in_tmp());
    variables["XDG_RUNTIME_DIR"] = "/dev/null";
    CHECK(path() == in_tmp());
    if (geteuid() != 0) {
        SKIP("only root can give a directory to another user");
    }
    if (chown(directory.name.c_str(), 12345, 12345) < 0) {
        SKIP("this user namespace knows no other users");
    }
    variables["XDG_RUNTIME_DIR"] = directory.name;
    CHECK(path() == in_tmp());
}

TEST_CASE("each network namespace has a default of its own, and only the default")
{
    const Directory directory;
    if (elsewhere([] { return true; }) == NOT_TO_BE_HAD) {
        SKIP("no network namespaces can be made here");
    }
    if (access("/proc/sys/net/core/dev_weight", F_OK) < 0) {
        SKIP("these tests are in a network namespace of their own already");
    }
    const auto number = [] {
        char link[64] = "";
        return readlink("/proc/self/ns/net", link, sizeof link - 1) < 0
                   ? std::string()
                   : std::string(link).substr(5, std::string(link).size() - 6);
    };
    CHECK(elsewhere([&] { return path("/wanted") == "/wanted"; }) == 0);
    variables.clear();
    CHECK(elsewhere([&] {
              const std::string default_path = path();
              return default_path.find("/oched-" + number() + ".sock") != std::string::npos;
          }) == 0);
}
