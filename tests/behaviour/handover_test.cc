// A daemon hands over to its successor: what survives that, what ends and how, and what happens when one of them dies.
#include <catch2/catch.hpp>

#include <atomic>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/text.h"
#include "tests/support/wire.h"

extern "C" {
#include "proto/handover.h"
#include "proto/oche.pb-c.h"
}

using namespace test_support;

namespace
{
// oched --replace, for the same socket, with a log of its own.
class Successor
{
  public:
    explicit Successor(const Place &place, const std::vector<std::string> &arguments = {}) : log_(next_log(place))
    {
        const Descriptor log(open(log_.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600));
        ProcessOptions process;
        process.arguments = {oched_path(), "--replace",         "--foreground", "--socket", place.socket_path(),
                             "--method",   method_under_test(), "--log-level",  "debug"};
        process.arguments.insert(process.arguments.end(), arguments.begin(), arguments.end());
        process.output = log.get();
        process.error = log.get();
        process_ = std::make_unique<Process>(process);
    }
    ~Successor()
    {
        process_->kill(SIGTERM);
        const int status = process_->wait().value_or(-1);
        CHECK((status == 0 || ended_));
        const auto complaints = lines_with(log(), "Sanitizer|runtime error:|[Aa]ssert");
        CHECK(complaints.empty());
        if (!complaints.empty())
            WARN(log());
    }
    Successor(const Successor &) = delete;
    Successor &operator=(const Successor &) = delete;

    bool serves() const
    {
        return logs("event=inherited");
    }
    bool logs(const std::string &expression) const
    {
        return eventually([&] { return count_lines(log(), expression) > 0; });
    }
    std::string log() const
    {
        return contents_of(log_);
    }
    const Process &process() const
    {
        return *process_;
    }
    std::optional<int> wait()
    {
        ended_ = true;
        return process_->wait();
    }

  private:
    static std::string next_log(const Place &place)
    {
        int number = 1;
        while (std::filesystem::exists(place.path("successor" + std::to_string(number) + ".log")))
            number++;
        return place.path("successor" + std::to_string(number) + ".log");
    }

    std::string log_;
    std::unique_ptr<Process> process_;
    bool ended_ = false;
};

void echo(Isolate &isolate, const Pair &pair, const std::string &text)
{
    pair.peer.send(text);
    CHECK(isolate.read_exactly(pair.handle, text.size()) == text);
    CHECK(isolate.result(isolate.write(pair.handle, text)) == static_cast<int64_t>(text.size()));
    CHECK(pair.peer.receive(text.size()) == text);
}
} // namespace

TEST_CASE("a listener survives a handover, and so do the accepts that are pending on it")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Endpoint at = Isolate::local(listener);
    const Request first = isolate.accept(listener);
    const Request second = isolate.accept(listener);
    const Successor successor(daemon.place());
    REQUIRE(successor.serves());
    CHECK(daemon.wait() == 0);
    CHECK(isolate.is_pending(first));
    CHECK(isolate.is_pending(second));
    for (const Request &request : {first, second}) {
        Peer peer = Peer::connect(at);
        const int64_t handle = isolate.value(request);
        echo(isolate, Pair{handle, std::move(peer)}, "after");
    }
    echo(isolate, accepted(isolate, listener), "more");
    CHECK(Isolate::local(listener).port == at.port);
    CHECK(isolate.result(isolate.listener_close(listener, true)) == 0);
    CHECK_THROWS(Peer::connect(at));
}
