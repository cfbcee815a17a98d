#include "tests/torture/stage.h"

#include <cstdlib>
#include <fcntl.h>
#include <map>
#include <sys/mman.h>
#include <system_error>

#include "tests/support/descriptor.h"
#include "tests/support/text.h"

using namespace test_support;

namespace torture
{
namespace
{
torture_plan *map_plan()
{
    const char *path = getenv(TORTURE_PLAN_VARIABLE);
    const Descriptor fd(open(path ? path : "", O_RDWR | O_CLOEXEC));
    void *memory = mmap(nullptr, sizeof(torture_plan), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (memory == MAP_FAILED) {
        throw std::system_error(errno, std::generic_category(), "the plan");
    }
    return static_cast<torture_plan *>(memory);
}
} // namespace

Stage::Stage() : plan_(map_plan())
{
}

bool Stage::serve(const std::vector<std::string> &arguments)
{
    const Descriptor log(open(place_.path("oched.log").c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600));
    ProcessOptions process;
    process.arguments = {oched_path(), "--foreground",      "--socket",    place_.socket_path(),
                         "--method",   method_under_test(), "--log-level", "debug"};
    process.arguments.insert(process.arguments.end(), arguments.begin(), arguments.end());
    process.output = log.get();
    process.error = log.get();
    daemon_.reset();
    daemon_ = std::make_unique<Process>(process);
    const auto serves = [&] { return place_.is_served(); };
    eventually([&] { return serves() || daemon_->wait(std::chrono::milliseconds(0)); });
    return serves() && !daemon_->wait(std::chrono::milliseconds(0));
}

void Stage::must_serve(const std::vector<std::string> &arguments)
{
    if (!serve(arguments)) {
        throw std::runtime_error("the daemon does not serve; its log:\n" + log());
    }
}

Process &Stage::daemon()
{
    return *daemon_;
}

bool Stage::has_daemon() const
{
    return daemon_ && !daemon_->wait(std::chrono::milliseconds(0));
}

std::string Stage::log() const
{
    return contents_of(place_.path("oched.log")) + place_.started_log();
}

const Place &Stage::place() const
{
    return place_;
}

torture_plan &Stage::plan()
{
    return *plan_;
}

void Stage::arm()
{
    __atomic_store_n(&plan_->armed, 1, __ATOMIC_SEQ_CST);
}

void Stage::disarm()
{
    __atomic_store_n(&plan_->armed, 0, __ATOMIC_SEQ_CST);
}

bool Stage::has_fired() const
{
    return __atomic_load_n(&plan_->fired, __ATOMIC_SEQ_CST);
}

void begin(Isolate &isolate)
{
    const int64_t result = isolate.init();
    if (result == 0) {
        return;
    }
    if (std::string(oche_last_error()).empty()) {
        throw std::runtime_error("tcp_init fails without saying why");
    }
    throw Ended(std::string("tcp_init: ") + oche_error_name(result) + ", " + oche_last_error());
}

int64_t value(Isolate &isolate, const Request &request)
{
    const int64_t result = isolate.result(request);
    if (result < 0) {
        throw Ended(std::string("a request: ") + oche_error_name(result));
    }
    return result;
}

void compare(std::string_view received, std::string_view sent)
{
    if (received.size() > sent.size() || received != sent.substr(0, received.size())) {
        throw std::runtime_error("other bytes were received than sent");
    }
    if (received.size() < sent.size()) {
        throw Ended("not all bytes have come");
    }
}

void echo(Isolate &isolate, const PeerListener &listener, size_t size)
{
    const std::string bytes = pattern(size);
    const int64_t handle = value(isolate, isolate.connect({listener.address(), listener.port()}));
    const Peer peer = listener.accept();
    value(isolate, isolate.write(handle, bytes));
    const std::string received = peer.receive(size);
    compare(received, bytes);
    peer.send(received);
    int64_t failure = 0;
    compare(isolate.read_exactly(handle, size, &failure), bytes);
    value(isolate, isolate.close(handle));
    if (peer.end() == End::none) {
        throw std::runtime_error("a connection was closed, and its peer does not see it");
    }
}

void visit()
{
    const PeerListener listener(loopback4());
    Isolate isolate;
    begin(isolate);
    echo(isolate, listener, 100);
}

void crowd()
{
    const std::string lane = lane_under_test();
    // On the memory lane some descriptors are never waited for, and a failure may give their numbers to others.
    for (const auto &[crowded, connections] : std::map<std::string, int>{{lane, 12}, {"plain", 16}}) {
        setenv("OCHE_LANE", crowded.c_str(), 1);
        const PeerListener listener(loopback4());
        Isolate isolates[3];
        for (Isolate &isolate : isolates) {
            begin(isolate);
            for (int i = 0; i < connections; i++) {
                value(isolate, isolate.connect({listener.address(), listener.port()}));
            }
            echo(isolate, PeerListener(loopback4()), 100);
        }
    }
    setenv("OCHE_LANE", lane.c_str(), 1);
}
} // namespace torture
