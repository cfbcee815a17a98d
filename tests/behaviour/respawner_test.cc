// A daemon that is told to hand over (SIGUSR2) starts its successor, by way of a process that may do that and no more.
#include <catch2/catch.hpp>

#include <algorithm>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/skip.h"
#include "tests/support/successor.h"
#include "tests/support/text.h"

using namespace test_support;

namespace
{
// What a daemon is run with and leaves in the end, next to where its program could be exchanged.
class Installation
{
  public:
    Installation() : program_(place_.path("program-oched"))
    {
        install();
        ProcessOptions options;
        const Descriptor log(open(log_.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600));
        options.error = log.get();
        options.arguments = {program_, "--foreground", "--socket",          place_.socket_path(), "--log-file",
                             log_,     "--method",     method_under_test(), "--log-level",        "debug"};
        process_ = std::make_unique<Process>(options);
        REQUIRE(logs("event=confined"));
    }

    void install() const
    {
        std::filesystem::copy_file(oched_path(), program_);
    }
    // In the place of the program.
    void write_script(const std::string &body) const
    {
        remove();
        std::ofstream(program_) << "#!/bin/sh\n" << body << "\n";
        chmod(program_.c_str(), 0700);
    }
    void remove() const
    {
        std::filesystem::remove(program_);
    }

    bool logs(const std::string &expression, size_t lines = 1) const
    {
        return eventually([&] { return count_lines(contents_of(log_), expression) == lines; });
    }
    const Place &place() const
    {
        return place_;
    }
    const std::string &log() const
    {
        return log_;
    }
    Process &process() const
    {
        return *process_;
    }

  private:
    const Place place_;
    const std::string program_;
    const std::string log_ = place_.path("log");
    std::unique_ptr<Process> process_;
};

pid_t only_starter(const Place &place)
{
    REQUIRE(eventually([&] { return place.respawners().size() == 1; }));
    return place.respawners().front();
}

std::string command_line_of(pid_t pid)
{
    return contents_of("/proc/" + std::to_string(pid) + "/cmdline");
}

// What /proc says of the privileges of a process.
std::vector<std::string> privileges_of(pid_t pid)
{
    return lines_with(contents_of("/proc/" + std::to_string(pid) + "/status"), "^(Uid|Gid|Groups|Cap.*|NoNewPrivs):");
}
} // namespace

TEST_CASE("SIGUSR2 has the daemon start its successor, with the same options, and hand over to it")
{
    Daemon daemon({{"--max-handles", "3"}});
    const Place &place = daemon.place();
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Request accept = isolate.accept(listener);
    daemon.kill(SIGUSR2);
    CHECK(daemon.wait() == 0);
    CHECK(daemon.logs("event=successor pid="));
    REQUIRE(daemon.logs("event=inherited listeners=1"));
    CHECK(place.server() != daemon.pid());
    CHECK(isolate.is_pending(accept));
    Peer peer = Peer::connect(Isolate::local(listener));
    CHECK(echoes(isolate, Pair{isolate.value(accept), std::move(peer)}));
    CHECK(isolate.result(isolate.listen({loopback4(), 0})) > 0);
    CHECK(isolate.result(isolate.listen({loopback4(), 0})) == TCP_ERR_QUOTA);
    CHECK(place.starts() == 0);
}

TEST_CASE("a successor hands over to the next one, and its command line does not grow")
{
    Daemon daemon;
    const Place &place = daemon.place();
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    std::string command_line;
    for (size_t round = 1; round <= 3; round++) {
        const pid_t before = place.server().value();
        send_signal(before, SIGUSR2);
        REQUIRE(daemon.logs("event=inherited listeners=1", round));
        CHECK(echoes(isolate, accepted(isolate, listener)));
        const pid_t now = place.server().value();
        CHECK(now != before);
        CHECK((round == 1 || command_line_of(now) == command_line));
        command_line = command_line_of(now);
    }
    CHECK(daemon.wait() == 0);
}

TEST_CASE("a daemon that the library started, in the background, hands over on SIGUSR2, too")
{
    const Place place;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    REQUIRE(place.starts() == 1);
    send_signal(place.server().value(), SIGUSR2);
    CHECK(eventually([&] { return count_lines(place.started_log(), "event=inherited listeners=1") == 1; }));
    CHECK(echoes(isolate, accepted(isolate, listener)));
    CHECK(eventually([&] { return place.daemons() == 1 && place.respawners().size() == 1; }));
    CHECK(place.starts() == 1);
}

TEST_CASE("what was installed since the daemon was started is what the successor runs")
{
    const Installation installation;
    installation.write_script("echo \"the new version has $*\" >&2\nexec '" + oched_path() + "' \"$@\"");
    installation.process().kill(SIGUSR2);
    CHECK(installation.process().wait() == 0);
    CHECK(installation.logs("the new version has .*--replace"));
    CHECK(installation.logs("event=inherited"));
}

TEST_CASE("a successor that cannot start leaves the daemon serving, the log says why, and the next one may do better")
{
    const Installation installation;
    Isolate isolate;
    isolate.start();
    const Pair before = connected(isolate);
    SECTION("there is no program any more")
    {
        installation.remove();
        installation.process().kill(SIGUSR2);
        CHECK(installation.logs("^oched: cannot run .*: No such file"));
        CHECK(installation.logs(" error event=successor-failed pid=[0-9]+ status=127"));
    }
    SECTION("it does not know an option")
    {
        installation.write_script("exec '" + oched_path() + "' --option-of-old \"$@\"");
        installation.process().kill(SIGUSR2);
        CHECK(installation.logs("^oched: unrecognized option|^.*: unrecognized option '--option-of-old'"));
        CHECK(installation.logs(" error event=successor-failed pid=[0-9]+ status=2"));
        installation.remove();
    }
    SECTION("it is killed")
    {
        installation.write_script("kill -KILL $$");
        installation.process().kill(SIGUSR2);
        CHECK(installation.logs(" error event=successor-failed pid=[0-9]+ status=137"));
        installation.remove();
    }
    CHECK(echoes(isolate, before));
    installation.install();
    installation.process().kill(SIGUSR2);
    CHECK(installation.process().wait() == 0);
    CHECK(installation.logs("event=inherited"));
}

TEST_CASE("while a successor is on its way another SIGUSR2 starts none")
{
    const Installation installation;
    const std::string pids = installation.place().path("pids");
    installation.write_script("echo $$ >>'" + pids + "'\nexec sleep 1000");
    installation.process().kill(SIGUSR2);
    REQUIRE(eventually([&] { return !contents_of(pids).empty(); }));
    installation.process().kill(SIGUSR2);
    CHECK(installation.logs(" warning event=ignored signal=SIGUSR2 why=\"successor [0-9]+ is on its way\""));
    kill(std::stoi(contents_of(pids)), SIGKILL);
    CHECK(installation.logs("event=successor-failed pid=[0-9]+ status=137"));
    CHECK(count_lines(contents_of(pids), "^[0-9]+$") == 1);
    installation.process().kill(SIGTERM);
    CHECK(installation.process().wait() == 0);
}

TEST_CASE("the respawner writes to the log that is there after a rotation, and holds on to none")
{
    const Installation installation;
    const auto holds_logs = [&] {
        const DescriptorTable table = descriptors_of(only_starter(installation.place()));
        return std::any_of(table.begin(), table.end(), [&](const auto &entry) {
            return entry.first > STDERR_FILENO && entry.second.find(installation.log()) != std::string::npos;
        });
    };
    installation.remove();
    std::filesystem::rename(installation.log(), installation.log() + ".1");
    installation.process().kill(SIGHUP);
    REQUIRE(installation.logs("event=log-reopened"));
    CHECK_FALSE(holds_logs());
    installation.process().kill(SIGUSR2);
    CHECK(installation.logs("event=successor-failed pid=[0-9]+ status=127"));
    CHECK(eventually([&] { return !holds_logs(); }));
    installation.process().kill(SIGTERM);
    CHECK(installation.process().wait() == 0);
}

TEST_CASE("the respawner has no privileges that the daemon has not, and none of its sockets, its lock or its memory")
{
    const Daemon daemon;
    REQUIRE(daemon.logs("event=confined"));
    const pid_t respawner = only_starter(daemon.place());
    CHECK(privileges_of(respawner) == privileges_of(daemon.pid()));
    size_t sockets = 0;
    for (const auto &[descriptor, target] : descriptors_of(respawner)) {
        CAPTURE(descriptor, target);
        sockets += target.rfind("socket:", 0) == 0;
        CHECK(target.find(".lock") == std::string::npos);
        CHECK(target.find("anon_inode") == std::string::npos);
        CHECK(target.find("memfd") == std::string::npos);
    }
    CHECK(sockets == 1); // the line
}

TEST_CASE("the respawner leaves with the daemon, whichever way that goes")
{
    Daemon daemon;
    const pid_t respawner = only_starter(daemon.place());
    SECTION("in order")
    {
        daemon.kill(SIGTERM);
    }
    SECTION("killed")
    {
        daemon.kill(SIGKILL);
    }
    daemon.wait();
    CHECK(eventually([&] { return !is_alive(respawner); }));
}

TEST_CASE("signals that are meant for the daemon, and reach its whole group, do not end the respawner")
{
    Daemon daemon;
    const pid_t respawner = only_starter(daemon.place());
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR2})
        send_signal(respawner, signal);
    daemon.kill(SIGUSR2);
    CHECK(daemon.wait() == 0);
    CHECK(daemon.logs("event=inherited"));
}

TEST_CASE("without its respawner the daemon serves, says so when it is told to hand over, and can still be replaced")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const pid_t respawner = only_starter(daemon.place());
    kill(respawner, SIGKILL);
    REQUIRE(eventually([&] { return !is_alive(respawner); }));
    daemon.kill(SIGUSR2);
    CHECK(daemon.logs(" error event=successor-failed error=\"Broken pipe\" .*--replace"));
    CHECK(echoes(isolate, accepted(isolate, listener)));
    const Successor successor(daemon.place());
    REQUIRE(successor.serves());
    CHECK(daemon.wait() == 0);
    CHECK(echoes(isolate, accepted(isolate, listener)));
}

TEST_CASE("process 1 of a container does not hand over, for its end would be its successor's, too")
{
    const Place place;
    const auto of_its_own = [&](const std::vector<std::string> &command) {
        ProcessOptions options;
        options.arguments = {"/usr/bin/unshare", "--pid", "--fork", "--kill-child"};
        options.arguments.insert(options.arguments.end(), command.begin(), command.end());
        return options;
    };
    if (run(of_its_own({"/bin/true"})).status != 0) {
        SKIP("no PID namespaces can be made here");
    }
    Process container(of_its_own({oched_path(), "--foreground", "--socket", place.socket_path(), "--log-file",
                                  place.path("log"), "--method", method_under_test()}));
    const auto logs = [&](const std::string &expression) {
        return eventually([&] { return count_lines(contents_of(place.path("log")), expression) == 1; });
    };
    REQUIRE(logs("event=serving .* pid=1 "));
    REQUIRE(logs("event=confined"));
    const std::string children =
        "/proc/" + std::to_string(container.pid()) + "/task/" + std::to_string(container.pid()) + "/children";
    send_signal(std::stoi(contents_of(children)), SIGUSR2);
    CHECK(logs(" warning event=ignored signal=SIGUSR2 why=\"with process 1 "));
    Isolate isolate;
    isolate.start();
    CHECK(connected(isolate).handle > 0);
}

TEST_CASE("a daemon that leaves starts no successor")
{
    DaemonOptions options;
    options.arguments = {"--drain-timeout", "1000"};
    Daemon daemon(options);
    Isolate isolate;
    isolate.start();
    const Pair slow = connected(isolate);
    const Request write = isolate.write(slow.handle, std::string(32 << 20, 'x'));
    REQUIRE(isolate.result(isolate.set_no_delay(slow.handle, true)) == 0); // the daemon has taken the write
    daemon.kill(SIGTERM);
    REQUIRE(daemon.logs("event=leaving"));
    daemon.kill(SIGUSR2);
    CHECK(daemon.logs("event=ignored signal=SIGUSR2 why=\"oched is leaving\""));
    daemon.kill(SIGTERM);
    daemon.wait();
    CHECK(daemon.count_lines("event=successor ") == 0);
    isolate.result(write);
}

TEST_CASE("SIGTERM that comes while the successor is on its way ends both, and behind the handover it ends the old one")
{
    for (int round = 0; round < 10; round++) {
        Daemon daemon;
        const Place &place = daemon.place();
        daemon.kill(SIGUSR2);
        if (round % 2 != 0)
            REQUIRE(daemon.logs("event=successor pid="));
        daemon.kill(SIGTERM);
        CHECK(daemon.wait() == 0);
        // Until nobody is left that could still become a daemon.
        const bool handed_over = daemon.count_lines("event=handed-over") > 0;
        CHECK(eventually([&] { return place.daemons() == (handed_over ? 1 : 0); }));
        CHECK(std::filesystem::exists(place.socket_path()) == handed_over);
        CHECK(daemon.count_lines("event=serving") == (handed_over ? 2 : 1));
    }
}

TEST_CASE("SIGTERM behind a handover does not cut off what is still being sent")
{
    DaemonOptions options;
    options.arguments = {"--drain-timeout", "3600"};
    Daemon daemon(options);
    Isolate isolate;
    isolate.start();
    const Pair slow = connected(isolate);
    const std::string sent = pattern(32 << 20);
    const Request write = isolate.write(slow.handle, sent);
    REQUIRE(isolate.result(isolate.set_no_delay(slow.handle, true)) == 0); // the daemon has taken the write
    daemon.kill(SIGUSR2);
    REQUIRE(daemon.logs("event=handed-over"));
    daemon.kill(SIGTERM);
    REQUIRE(daemon.logs("event=leaving"));
    CHECK((slow.peer.receive_all() == sent));
    CHECK(daemon.wait() == 0);
    isolate.result(write);
}

TEST_CASE("a command line that ends with -- is one with which a successor can start")
{
    Daemon daemon({{"--max-handles", "3", "--"}});
    daemon.kill(SIGUSR2);
    CHECK(daemon.wait() == 0);
    CHECK(daemon.logs("event=inherited"));
}
