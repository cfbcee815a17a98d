// Files in the territory and outside of it, seen from a child that has entered it.
#include <catch2/catch.hpp>

extern "C" {
#include "daemon/process/sandbox_files.h"
}

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <string>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/skip.h"

namespace
{
enum { NOT_ENTERED = 200, CRASHED = 201 };

// Two directories, of which the first is the territory.
struct Directories {
    Directories()
    {
        std::string made = "/tmp/oche.XXXXXX";
        REQUIRE(mkdtemp(made.data()));
        root = made;
        for (const char *name : {"in", "out"})
            std::filesystem::create_directory(root + "/" + name);
    }
    ~Directories()
    {
        std::filesystem::remove_all(root);
    }

    std::string in(const std::string &name) const
    {
        return root + "/in/" + name;
    }
    std::string out(const std::string &name) const
    {
        return root + "/out/" + name;
    }

    std::string root;
};

// The exit status of a child that does that in the territory of `path`.
int entered(const std::string &path, const std::function<int()> &act)
{
    const pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        const char *const paths[] = {nullptr, path.c_str()};
        const int r = sandbox_files_enter(paths, 2);
        _exit(r == 0 ? act() : r == -ENOSYS || r == -EOPNOTSUPP ? NOT_ENTERED : CRASHED);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : CRASHED;
}

int append(const std::string &path)
{
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    return fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0 ? 0 : errno;
}

// 0 or errno, of a call that returns -1 when it fails.
int error_of(long result)
{
    return result == -1 ? errno : 0;
}

bool is_to_be_had()
{
    const Directories directories;
    return entered(directories.in("log"), [] { return 0; }) != NOT_ENTERED;
}
} // namespace

TEST_CASE("in the territory files are made, appended to, and removed")
{
    if (!is_to_be_had()) {
        SKIP("this system has no Landlock");
    }
    const Directories directories;
    const std::string log = directories.in("log");
    CHECK(entered(log, [&] { return append(log); }) == 0);
    CHECK(entered(log, [&] { return append(log); }) == 0);
    CHECK(std::filesystem::file_size(log) == 2);
    CHECK(entered(log, [&] { return error_of(unlink(log.c_str())); }) == 0);
    CHECK_FALSE(std::filesystem::exists(log));
    CHECK(entered(log, [] { return append("/dev/null"); }) == 0);
}

TEST_CASE("in the territory files are renamed, and not to a place outside of it, nor from there")
{
    if (!is_to_be_had()) {
        SKIP("this system has no Landlock");
    }
    const Directories directories;
    const std::string log = directories.in("log"), predecessor = directories.in("log.1");
    const std::string other = directories.out("file"), another = directories.out("another");
    for (const std::string &path : {log, predecessor, other}) {
        REQUIRE(append(path) == 0);
    }
    CHECK(entered(log, [&] { return error_of(rename(log.c_str(), other.c_str())); }) != 0);
    CHECK(entered(log, [&] { return error_of(rename(other.c_str(), log.c_str())); }) != 0);
    CHECK(entered(log, [&] { return error_of(rename(other.c_str(), another.c_str())); }) != 0);
    CHECK(entered(log, [&] { return error_of(rename(log.c_str(), predecessor.c_str())); }) == 0);
    CHECK_FALSE(std::filesystem::exists(log));
    CHECK(std::filesystem::exists(other));
}

TEST_CASE("outside of it nothing is, nor read, nor run")
{
    if (!is_to_be_had()) {
        SKIP("this system has no Landlock");
    }
    const Directories directories;
    const std::string log = directories.in("log");
    const std::string other = directories.out("file");
    REQUIRE(append(other) == 0);
    CHECK(entered(log, [&] { return append(other); }) == EACCES);
    CHECK(entered(log, [&] { return append(directories.out("new")); }) == EACCES);
    CHECK(entered(log, [&] { return error_of(open(other.c_str(), O_RDONLY)); }) == EACCES);
    CHECK(entered(log, [&] { return error_of(unlink(other.c_str())); }) == EACCES);
    char *const none[] = {nullptr};
    CHECK(entered(log, [&] { return error_of(execve("/bin/true", none, none)); }) == EACCES);
    CHECK(std::filesystem::file_size(other) == 1);
}

TEST_CASE("a directory that is not there is an error, and nothing is given up")
{
    if (!is_to_be_had()) {
        SKIP("this system has no Landlock");
    }
    const Directories directories;
    const std::string path = directories.root + "/nowhere/log";
    const char *const paths[] = {path.c_str()};
    CHECK(sandbox_files_enter(paths, 1) == -ENOENT);
    CHECK(append(directories.out("file")) == 0);
}
