
#include <sys/socket.h>

#include "tests/torture/scenarios.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <future>
#include <memory>
#include <poll.h>

#include "tests/support/descriptor.h"
#include "tests/support/sized.h"
#include "tests/support/text.h"

using namespace test_support;

namespace torture
{
namespace
{
void echoing(Stage &)
{
    visit();
}

void accepting(Stage &)
{
    Isolate isolate;
    begin(isolate);
    const int64_t listener = value(isolate, isolate.listen({loopback4(), 0}));
    const Request first = isolate.accept(listener), second = isolate.accept(listener);
    const Peer peer = Peer::connect({loopback4(), Isolate::local(listener).port});
    const int64_t handle = value(isolate, first);
    const std::string bytes = pattern(20'000);
    peer.send(bytes);
    peer.shut_down_write();
    int64_t failure = 0;
    compare(isolate.read_all(handle, &failure), bytes);
    if (failure != TCP_ERR_CLOSED) {
        throw Ended("the end of the stream does not come");
    }
    value(isolate, isolate.close(handle));
    value(isolate, isolate.listener_close(listener, true));
    if (isolate.result(second) != TCP_ERR_CLOSED) {
        throw Ended("an accept outlives its listener");
    }
}

// What comes until the end of the stream, or a reset.
std::string receive_all(const Peer &peer)
{
    std::string bytes;
    try {
        for (std::string part; !(part = peer.receive(16 * 1024)).empty();) {
            bytes += part;
        }
    } catch (const std::system_error &) {
        // It shows in the bytes.
    }
    return bytes;
}

void writing(Stage &)
{
    const PeerListener listener(loopback4());
    const std::string bytes = pattern(3'000'000);
    std::future<std::string> received; // outlives the session, whose end it may wait for
    Isolate isolate;
    begin(isolate);
    const int64_t handle = value(isolate, isolate.connect({listener.address(), listener.port()}));
    received = std::async(std::launch::async, [peer = listener.accept()] { return receive_all(peer); });
    const Request write = isolate.write(handle, bytes), end = isolate.close_write(handle);
    value(isolate, write);
    value(isolate, end);
    compare(received.get(), bytes);
    value(isolate, isolate.close(handle));
}

// Writes that nobody waits for before the next one is made: the peer reads all of them, or the beginning and a reset.
void pipelining(Stage &)
{
    const PeerListener listener(loopback4());
    std::future<Rest> received;
    Isolate isolate;
    begin(isolate);
    const int64_t handle = value(isolate, isolate.connect({listener.address(), listener.port()}));
    received = std::async(std::launch::async, [peer = listener.accept()] { return peer.rest(); });
    const std::string bytes = pattern(24 * 100'000);
    std::vector<Request> writes;
    size_t taken = 0;
    for (size_t size = 1000; taken + size <= bytes.size(); size = size % 300'000 + 20'000) {
        writes.push_back(isolate.write(handle, std::string_view(bytes).substr(taken, size)));
        if (writes.back().returned < 0) {
            break;
        }
        taken += size;
    }
    const Request close_write = isolate.close_write(handle);
    int64_t failure = 0;
    for (const Request &write : writes) {
        const int64_t result = isolate.result(write);
        if (failure < 0 && result >= 0) {
            throw std::runtime_error("a write succeeds behind one that has failed");
        }
        failure = failure < 0 ? failure : std::min<int64_t>(result, 0);
    }
    const int64_t end = isolate.result(close_write);
    const int64_t closed = isolate.result(isolate.close(handle));
    if (closed < 0) {
        isolate.destroy();
    }
    const Rest rest = received.get();
    if (bytes.compare(0, rest.bytes.size(), rest.bytes) != 0) {
        throw std::runtime_error("the stream has a hole");
    }
    const bool lost = failure == TCP_ERR_DAEMON_LOST || end == TCP_ERR_DAEMON_LOST;
    if (rest.end == End::none || (rest.end == End::fin && rest.bytes.size() < taken && !lost)) {
        throw std::runtime_error("a stream that is not whole does not end with a reset");
    }
    if (failure < 0 || end < 0 || closed < 0) {
        throw Ended("a write, or the end of the stream, has failed");
    }
    compare(rest.bytes, std::string_view(bytes).substr(0, taken));
}

void hoarding(Stage &)
{
    const PeerListener listener(loopback4());
    const std::string bytes = pattern(3'000'000);
    std::future<void> sent;
    Isolate isolate;
    begin(isolate);
    const int64_t handle = value(isolate, isolate.connect({listener.address(), listener.port()}));
    sent = std::async(std::launch::async, [peer = listener.accept(), &bytes] {
        try {
            peer.send(bytes);
        } catch (const std::system_error &) {
            // The connection was closed: that shows at the other end.
        }
    });
    std::deque<Outcome> hoard; // more than the arena holds
    std::string received;
    while (received.size() < bytes.size()) {
        const Request read = isolate.read(handle);
        hoard.push_back(isolate.outcome(read));
        if (hoard.back().result <= 0) {
            throw Ended(std::string("a read: ") + oche_error_name(hoard.back().result));
        }
        received += hoard.back().text();
    }
    compare(received, bytes);
    hoard.clear();
    value(isolate, isolate.close(handle));
}

// Where the memory lane cannot be had, the plain one is.
void falling_back(Stage &stage)
{
    unsetenv("OCHE_LANE");
    try {
        visit();
    } catch (const Ended &end) {
        switch (stage.plan().function) {
        case TORTURE_memfd_create:
        case TORTURE_ftruncate:
        case TORTURE_fallocate:
        case TORTURE_madvise:
        case TORTURE_fcntl_seal:
        case TORTURE_mmap:
        case TORTURE_pipe2:
            throw std::runtime_error(std::string("there was no falling back: ") + end.what());
        case TORTURE_epoll_ctl_add:
            // A daemon that cannot listen to its bell must find that out before the Welcome, and not after it.
            if (std::string(end.what()).find("DAEMON_LOST") != std::string::npos) {
                throw std::runtime_error("the session was lost that had been welcomed");
            }
            throw;
        default:
            throw;
        }
    }
}

// More timers than a loop has at first room for; each has to go off.
void timing(Stage &)
{
    const FullListener full;
    Isolate isolate;
    begin(isolate);
    std::vector<Request> connects;
    for (int i = 0; i < 12; i++) {
        connects.push_back(isolate.connect_within({full.address(), full.port()}, 100));
    }
    for (const Request &connect : connects) {
        const int64_t result = isolate.result(connect);
        if (result >= 0) {
            throw std::runtime_error("a connect that cannot be made is made");
        }
        if (result != TCP_ERR_TIMED_OUT) {
            throw Ended(std::string("a connect: ") + oche_error_name(result));
        }
    }
}

void calling(Stage &)
{
    const PeerListener listener(loopback4());
    Isolate isolate;
    begin(isolate);
    isolate.enable(OCHE_FEATURE_ERROR_DETAIL | OCHE_FEATURE_BATCHED_POSTS);
    const int64_t timed =
        value(isolate, isolate.connect_within({listener.address(), listener.port()}, patience.count()));
    const int64_t bound = value(isolate, isolate.connect({listener.address(), listener.port()}, {loopback4(2), 0}));
    value(isolate, isolate.set_keep_alive(timed, true));
    value(isolate, isolate.set_no_delay(bound, true));
    if (isolate.inside([&] { return tcp_set_no_delay(timed, true); }) < 0) {
        throw Ended("tcp_set_no_delay fails");
    }
    int linger[2];
    int32_t os_error;
    const auto get = [&] {
        return oche_isolate_get_option(timed, SOL_SOCKET, SO_LINGER, reinterpret_cast<uint8_t *>(linger), sizeof linger,
                                       &os_error);
    };
    if (isolate.inside(get) != sizeof linger) {
        throw Ended("oche_isolate_get_option fails");
    }
    const int64_t shared = value(isolate, isolate.listen({loopback4(), 0}, {false, 0, true}));
    value(isolate, isolate.listen(Isolate::local(shared), {false, 0, true}));
    value(isolate, isolate.listener_close(shared, false));
    const Request none = isolate.connect({loopback4(), free_port(loopback4())});
    const Outcome refusal = isolate.outcome(none);
    if (refusal.result != TCP_ERR_CONNECT_FAILED) {
        throw Ended("a connect to where nobody listens completes in another way");
    }
    const FullListener full;
    const Request slow = isolate.connect_within({full.address(), full.port()}, patience.count());
    isolate.cancel(slow);
    if (isolate.result(slow) >= 0) {
        throw Ended("a connect that cannot be made is made");
    }
    value(isolate, isolate.close(timed));
    value(isolate, isolate.close(bound));
}

void two_sessions(Stage &)
{
    const PeerListener listener(loopback4());
    Isolate first, second;
    begin(first);
    begin(second);
    echo(first, listener, 5'000);
    echo(second, listener, 10);
    value(first, first.listen({loopback4(), 0}));
    value(first, first.connect({listener.address(), listener.port()}));
    const Peer peer = listener.accept();
    if (first.destroy() != 0) { // with its sockets open
        throw Ended("tcp_destroy fails");
    }
    echo(second, listener, 5'000);
}

void starting(Stage &stage)
{
    if (!stage.serve({})) {
        const int status = stage.daemon().wait().value_or(-1);
        if (status != 1 || stage.log().empty()) {
            throw std::runtime_error("the daemon does not start, and leaves with " + std::to_string(status) +
                                     ", saying: " + stage.log());
        }
        throw Ended("the daemon does not start");
    }
    visit();
}

void starting_by_library(Stage &)
{
    visit();
}

// A read that is pending when the daemon goes.
class PendingRead
{
  public:
    PendingRead() : listener_(loopback4())
    {
        begin(isolate_);
        const int64_t handle = value(isolate_, isolate_.connect({listener_.address(), listener_.port()}));
        peer_ = std::make_unique<Peer>(listener_.accept());
        read_ = isolate_.read(handle);
    }

    void must_fail()
    {
        if (isolate_.result(read_) >= 0) {
            throw std::runtime_error("a read succeeds without data");
        }
    }

    Isolate &isolate()
    {
        return isolate_;
    }

    const PeerListener &listener() const
    {
        return listener_;
    }

  private:
    PeerListener listener_;
    Isolate isolate_;
    std::unique_ptr<Peer> peer_;
    Request read_{};
};

void leaving(Stage &stage)
{
    PendingRead read;
    stage.daemon().kill(SIGTERM);
    const auto status = stage.daemon().wait();
    if (!status) {
        throw std::runtime_error("the daemon does not leave");
    }
    if (*status != 0) { // perhaps long ago, and another one serves
        throw Ended("the daemon leaves with " + std::to_string(*status));
    }
    read.must_fail();
}

// A listener that is to have a daemon behind it at all times.
class PendingAccept
{
  public:
    PendingAccept()
    {
        begin(isolate_);
        const int64_t listener = value(isolate_, isolate_.listen({loopback4(), 0}));
        accept_ = isolate_.accept(listener);
        at_ = Isolate::local(listener);
        if (at_.port == 0) {
            throw Ended("the daemon is lost");
        }
    }

    void must_succeed()
    {
        const Peer peer = Peer::connect(at_);
        const int64_t handle = value(isolate_, accept_);
        value(isolate_, isolate_.write(handle, "after"));
        compare(peer.receive(5), "after");
    }

  private:
    Isolate isolate_;
    Request accept_;
    Endpoint at_;
};

// A successor takes over, or the daemon serves on.
void handing_over(Stage &stage)
{
    PendingAccept accept;
    ProcessOptions options;
    options.arguments = {oched_path(), "--foreground",      "--replace",   "--socket", stage.place().socket_path(),
                         "--method",   method_under_test(), "--log-level", "debug"};
    const Descriptor log(open(stage.place().path("successor.log").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    options.output = log.get();
    options.error = log.get();
    Process successor(options);
    const auto none = std::chrono::milliseconds(0);
    if (!eventually([&] { return successor.wait(none) || !stage.has_daemon(); })) {
        throw std::runtime_error("a handover has no end");
    }
    accept.must_succeed();
    if (const auto status = successor.wait(none)) {
        throw Ended("the successor leaves with " + std::to_string(*status));
    }
    if (stage.daemon().wait() != 0) {
        throw Ended("the daemon does not leave in order");
    }
}

// The same, told by a signal: the daemon's respawner does it.
void succeeding(Stage &stage)
{
    PendingAccept accept;
    stage.daemon().kill(SIGUSR2);
    const auto over = [&] { return !stage.has_daemon() || count_lines(stage.log(), "event=successor-failed") > 0; };
    // The line that says so may be the one that is lost.
    if (!eventually(over, std::chrono::seconds(1)) && !stage.has_fired() && !eventually(over)) {
        throw std::runtime_error("a handover has no end");
    }
    accept.must_succeed();
    if (stage.has_daemon()) {
        throw Ended("the daemon serves on");
    }
    if (stage.daemon().wait() != 0) {
        throw Ended("the daemon does not leave in order");
    }
}

void losing(Stage &stage)
{
    PendingRead read;
    stage.daemon().kill(SIGKILL);
    stage.daemon().wait();
    read.must_fail();
    echo(read.isolate(), read.listener(), 100);
}

// A session of oche.h.
class Session
{
  public:
    Session()
    {
        const int64_t result = oche_session_open(nullptr, &session_);
        if (result < 0) {
            throw Ended(std::string("oche_session_open: ") + oche_error_name(result) + ", " + oche_last_error());
        }
    }
    ~Session()
    {
        oche_session_close(session_);
    }
    Session(const Session &) = delete;
    Session &operator=(const Session &) = delete;

    oche_session *get() const
    {
        return session_;
    }

    // Waits for the completion of the request, which must be the only one.
    int64_t complete(int64_t request_id, int64_t returned, std::string *data = nullptr)
    {
        if (returned < 0) {
            throw Ended(std::string("a request is refused: ") + oche_error_name(returned));
        }
        auto completion = sized<oche_completion>();
        while (!oche_session_pop(session_, &completion)) {
            pollfd polled{oche_session_get_fd(session_), POLLIN, 0};
            if (poll(&polled, 1, static_cast<int>(patience.count())) == 0) {
                throw std::runtime_error("a request does not complete");
            }
            oche_session_dispatch(session_);
        }
        if (completion.request_id != request_id) {
            throw std::runtime_error("a request completes that is not pending");
        }
        if (data && completion.data) {
            data->append(reinterpret_cast<const char *>(completion.data), static_cast<size_t>(completion.result));
        }
        oche_data_free(completion.data_owner);
        if (completion.result < 0) {
            throw Ended(std::string("a request: ") + oche_error_name(completion.result));
        }
        return completion.result;
    }

  private:
    oche_session *session_ = nullptr;
};

void pulling(Stage &)
{
    const PeerListener listener(loopback4());
    const std::string bytes = pattern(20'000);
    Session session;
    auto target = sized<oche_connect_options>();
    target.address = listener.address().data();
    target.address_length = listener.address().size();
    target.port = listener.port();
    const int64_t handle = session.complete(1, oche_connect(session.get(), 1, &target));
    const Peer peer = listener.accept();
    session.complete(2, oche_write(session.get(), 2, handle, bytes.data(), bytes.size()));
    compare(peer.receive(bytes.size()), bytes);
    peer.send(bytes);
    std::string received;
    while (received.size() < bytes.size()) {
        session.complete(3, oche_read(session.get(), 3, handle), &received);
    }
    compare(received, bytes);
    auto statistics = sized<oche_statistics>();
    session.complete(4, oche_get_statistics(session.get(), 4, &statistics));
    session.complete(5, oche_close(session.get(), 5, handle));
}
} // namespace

const std::vector<Scenario> &scenarios()
{
    static const std::vector<Scenario> all{
        {"echo", Start::before, false, {}, echoing},
        {"accept", Start::before, false, {}, accepting},
        {"write", Start::before, false, {}, writing},
        {"pipeline", Start::before, false, {}, pipelining},
        {"hoard", Start::before, false, {"--max-arena-bytes", "1048576"}, hoarding},
        {"fallback", Start::before, false, {}, falling_back},
        {"calls", Start::before, false, {}, calling},
        {"time", Start::before, false, {}, timing},
        {"two", Start::before, false, {}, two_sessions},
        {"pull", Start::before, false, {}, pulling},
        {"start", Start::within, false, {}, starting},
        {"autostart", Start::within, false, {}, starting_by_library},
        {"handover", Start::before, true, {}, handing_over},
        {"succession", Start::before, true, {}, succeeding},
        {"leave", Start::before, true, {}, leaving},
        {"loss", Start::before, true, {}, losing},
    };
    return all;
}
} // namespace torture
