// A daemon hands over to its successor: what survives that, what ends and how, and what happens when one of them dies.
#include <catch2/catch.hpp>

#include <atomic>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <netinet/in.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/text.h"
#include "tests/support/wire.h"

#include "oche/oche.h"

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
        const bool in_order = status == 0 || ended_;
        CHECK(in_order);
        if (!in_order)
            WARN(status << " " << log());
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

std::string packed(const ProtobufCMessage &message)
{
    std::string bytes(protobuf_c_message_get_packed_size(&message), '\0');
    protobuf_c_message_pack(&message, reinterpret_cast<uint8_t *>(bytes.data()));
    return bytes;
}

struct Greeted {
    std::string token;
    bool resumed;
};

// Says hello as a client that follows; with a token, as one that comes from a predecessor.
Greeted greet(const Wire &wire, std::string token = "", uint32_t generation = 0)
{
    std::string software = "test 1";
    Oche__Hello hello = OCHE__HELLO__INIT;
    hello.version_min = hello.version_max = 1;
    hello.software = software.data();
    hello.follows = true;
    hello.token = {token.size(), reinterpret_cast<uint8_t *>(token.data())};
    hello.generation = generation;
    WireFrame frame = plain_frame(FRAME_HELLO);
    frame.body = packed(hello.base);
    const auto reply = wire.ask(frame);
    REQUIRE(reply);
    REQUIRE(reply->header.value == 0);
    Oche__Welcome *welcome =
        oche__welcome__unpack(nullptr, reply->body.size(), reinterpret_cast<const uint8_t *>(reply->body.data()));
    REQUIRE(welcome);
    const Greeted greeted{{reinterpret_cast<const char *>(welcome->token.data), welcome->token.len},
                          static_cast<bool>(welcome->resumed)};
    oche__welcome__free_unpacked(welcome, nullptr);
    return greeted;
}

std::string hexadecimal(const std::string &bytes)
{
    std::string text;
    for (const char byte : bytes) {
        char digits[3];
        snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(byte));
        text += digits;
    }
    return text;
}

struct Listening {
    int64_t handle;
    Endpoint at;
};

Listening listen_with(const Wire &wire)
{
    const auto reply = wire.ask(listen_frame(1, {loopback4(), 0}));
    REQUIRE(reply);
    REQUIRE(reply->header.value > 0);
    endpoints decoded{};
    REQUIRE(endpoints_decode(&decoded, reinterpret_cast<const uint8_t *>(reply->payload.data())));
    return {reply->header.value, {loopback4(), decoded.local.port}};
}

bool is_refused(const Endpoint &at)
{
    try {
        Peer::connect(at);
        return false;
    } catch (const std::exception &) {
        return true;
    }
}

WireFrame handover_frame(int64_t word)
{
    return plain_frame(FRAME_HANDOVER, 0, 0, word);
}

// A successor that the test plays: it has been offered everything.
std::unique_ptr<Wire> offered(const Daemon &daemon, size_t listeners)
{
    auto wire = std::make_unique<Wire>(daemon.place().socket_path());
    const auto door = wire->ask(handover_frame(HANDOVER_ASK));
    REQUIRE(door);
    REQUIRE(door->header.value == HANDOVER_DOOR);
    REQUIRE(door->header.handle == static_cast<int64_t>(listeners));
    for (size_t i = 0; i < listeners; i++) {
        const auto listener = wire->receive();
        REQUIRE(listener);
        REQUIRE(listener->header.value == HANDOVER_LISTENER);
    }
    return wire;
}

// A daemon that the test plays: it serves a place, holds the lock, and has been asked to hand over.
class Predecessor
{
  public:
    explicit Predecessor(const Place &place)
        : lock_(open((place.socket_path() + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)),
          door_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
          listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        place.socket_path().copy(address.sun_path, sizeof address.sun_path - 1);
        REQUIRE(flock(lock_.get(), LOCK_EX | LOCK_NB) == 0);
        REQUIRE(bind(door_.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) == 0);
        REQUIRE(listen(door_.get(), 16) == 0);
        REQUIRE(listen(listener_.get(), 16) == 0);
    }

    void is_asked()
    {
        conversation_ = Descriptor(accept(door_.get(), nullptr, nullptr));
        hears(HANDOVER_ASK);
    }
    void hears(int64_t word) const
    {
        uint8_t bytes[FRAME_HEADER_SIZE];
        frame heard{};
        REQUIRE(recv(conversation_.get(), bytes, sizeof bytes, MSG_WAITALL) == sizeof bytes);
        REQUIRE(frame_decode(&heard, bytes) == 0);
        CHECK(heard.opcode == FRAME_HANDOVER);
        CHECK(heard.value == word);
    }
    void offers_door(size_t listeners) const
    {
        says(HANDOVER_DOOR, static_cast<int64_t>(listeners), "", {door_.get(), lock_.get()});
    }
    void offers_listener(const std::string &token) const
    {
        says(HANDOVER_LISTENER, int64_t{1} << 20, token, {listener_.get()});
    }
    void says(int64_t word, int64_t handle = 0, const std::string &payload = "",
              const std::vector<int> &descriptors = {}) const
    {
        WireFrame said = handover_frame(word);
        said.header.flags = FRAME_REPLY;
        said.header.request_id = 1;
        said.header.handle = handle;
        said.header.payload_length = static_cast<uint32_t>(payload.size());
        std::string bytes = encoded(said.header) + payload;
        alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))]{};
        iovec vector{bytes.data(), bytes.size()};
        msghdr message{};
        message.msg_iov = &vector;
        message.msg_iovlen = 1;
        if (!descriptors.empty()) {
            message.msg_control = control;
            message.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
            cmsghdr *header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
            memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size() * sizeof(int));
        }
        REQUIRE(sendmsg(conversation_.get(), &message, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
    }
    void hangs_up()
    {
        conversation_.reset();
    }
    void dies()
    {
        lock_.reset();
        door_.reset();
        listener_.reset();
        conversation_.reset();
    }
    Endpoint at() const
    {
        sockaddr_in address{};
        socklen_t size = sizeof address;
        REQUIRE(getsockname(listener_.get(), reinterpret_cast<sockaddr *>(&address), &size) == 0);
        return {loopback4(), ntohs(address.sin_port)};
    }

  private:
    Descriptor lock_, door_, listener_, conversation_;
};

struct SessionCloser {
    void operator()(oche_session *session) const
    {
        oche_session_close(session);
    }
};

oche_completion next_completion(oche_session *session)
{
    oche_completion completion{};
    const bool popped = eventually([&] {
        pollfd waited{oche_session_get_fd(session), POLLIN, 0};
        poll(&waited, 1, 10);
        oche_session_dispatch(session);
        return oche_session_pop(session, &completion);
    });
    REQUIRE(popped);
    return completion;
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

TEST_CASE("connections of before end with DAEMON_LOST, each request once, and their handles stay stale")
{
    Daemon daemon;
    const size_t here = descriptor_count(getpid());
    {
        Isolate isolate;
        isolate.start();
        const int64_t listener = listening(isolate);
        const Request accept = isolate.accept(listener);
        const FullListener full;
        const Pair reads = connected(isolate);
        const Pair writes = connected(isolate);
        std::vector<int64_t> before{reads.handle, writes.handle};
        for (int i = 0; i < 20; i++)
            before.push_back(connected(isolate).handle);
        const std::vector<Request> pending{
            isolate.read(reads.handle),
            isolate.write(writes.handle, std::string(32 << 20, 'x')),
            isolate.close_write(writes.handle),
            isolate.connect({full.address(), full.port()}),
        };
        REQUIRE(isolate.is_pending(pending.back()));
        const Successor successor(daemon.place());
        REQUIRE(successor.serves());
        for (size_t i = 0; i < pending.size(); i++) {
            CAPTURE(i);
            CHECK(isolate.result(pending[i]) == TCP_ERR_DAEMON_LOST);
        }
        CHECK(reads.peer.end() != End::none);
        CHECK(isolate.is_pending(accept));
        const int64_t after = isolate.value(isolate.connect(Isolate::local(listener)));
        CHECK(isolate.value(accept) > 0);
        for (const int64_t handle : before) {
            CHECK(handle != after);
            CHECK(isolate.result(isolate.read(handle)) == TCP_ERR_INVALID_HANDLE);
            CHECK(isolate.result(isolate.close(handle)) == TCP_ERR_INVALID_HANDLE);
        }
        CHECK(isolate.result(isolate.write(after, "x")) == 1);
        CHECK(daemon.wait() == 0);
    }
    CHECK(eventually([&] { return descriptor_count(getpid()) <= here; }));
}

TEST_CASE("what a client has written before a handover still arrives")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    REQUIRE(isolate.result(isolate.write(pair.handle, "a ")) == 2);
    const size_t taken = size_t{4} << 20;
    const Request write = isolate.write(pair.handle, std::string(taken, 'x'));
    REQUIRE(isolate.is_pending(write));
    const Successor successor(daemon.place());
    REQUIRE(successor.serves());
    CHECK(isolate.result(write) == TCP_ERR_DAEMON_LOST);
    CHECK(pair.peer.receive_all().size() == 2 + taken);
    CHECK(daemon.wait() == 0);
}

TEST_CASE("a connection that waits to be accepted goes along")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    Peer waiting = Peer::connect(Isolate::local(listener));
    waiting.send("early");
    const Successor successor(daemon.place());
    REQUIRE(successor.serves());
    CHECK(daemon.wait() == 0);
    const int64_t handle = isolate.value(isolate.accept(listener));
    CHECK(isolate.read_exactly(handle, 5) == "early");
}

TEST_CASE("a listener that is being closed while the daemon hands over is closed in the end")
{
    Daemon daemon;
    const Place &place = daemon.place();
    Isolate isolate;
    isolate.start();
    const int64_t kept = listening(isolate);
    const int64_t listener = listening(isolate);
    const Endpoint at = Isolate::local(listener);
    auto wire = offered(daemon, 2);
    const Request accept = isolate.accept(listener);
    CHECK(isolate.result(isolate.listener_close(listener, false)) == 0);
    CHECK(isolate.result(accept) == TCP_ERR_CLOSED);
    CHECK(is_refused(at)); // although the successor has it, too
    CHECK(isolate.result(isolate.listen({loopback4(), 0})) == TCP_ERR_DAEMON_LOST);
    wire.reset();
    CHECK(daemon.logs("event=kept"));
    CHECK(eventually([&] { return isolate.result(isolate.listen({loopback4(), 0})) > 0; }));
    const Successor successor(place);
    REQUIRE(successor.serves());
    CHECK(daemon.wait() == 0);
    echo(isolate, accepted(isolate, kept), "x");
}

TEST_CASE("every session keeps its own listeners, over several handovers in a row")
{
    Daemon daemon({{"--workers", "3"}});
    std::vector<std::unique_ptr<Isolate>> isolates;
    std::vector<std::vector<int64_t>> listeners;
    std::vector<std::vector<Request>> accepts;
    for (int i = 0; i < 12; i++) {
        isolates.push_back(std::make_unique<Isolate>());
        isolates.back()->start();
        listeners.push_back({listening(*isolates.back()), listening(*isolates.back())});
        accepts.emplace_back();
        for (const int64_t listener : listeners.back())
            accepts.back().push_back(isolates.back()->accept(listener));
    }
    std::vector<std::unique_ptr<Successor>> successors;
    for (int round = 0; round < 3; round++) {
        successors.push_back(std::make_unique<Successor>(
            daemon.place(), std::vector<std::string>{"--workers", std::to_string(round + 1)}));
        REQUIRE(successors.back()->serves());
        CHECK((round == 0 ? daemon.wait() : successors[successors.size() - 2]->wait()) == 0);
        for (size_t i = 0; i < isolates.size(); i++) {
            Isolate &isolate = *isolates[i];
            for (size_t j = 0; j < listeners[i].size(); j++) {
                Peer peer = Peer::connect(Isolate::local(listeners[i][j]));
                const int64_t handle = isolate.value(accepts[i][j]);
                CHECK(Isolate::remote(handle).port == peer.local().port);
                echo(isolate, Pair{handle, std::move(peer)}, "to listener " + std::to_string(j));
                accepts[i][j] = isolate.accept(listeners[i][j]);
            }
        }
    }
}

TEST_CASE("a daemon without sessions hands over, and one that does not run is simply started")
{
    Daemon daemon;
    {
        const Successor successor(daemon.place());
        REQUIRE(successor.serves());
        CHECK(daemon.wait() == 0);
        Isolate isolate;
        isolate.start();
        echo(isolate, connected(isolate), "x");
        CHECK(daemon.place().starts() == 0);
    }
    CHECK_FALSE(std::filesystem::exists(daemon.place().socket_path()));
    const Successor other(daemon.place());
    CHECK(other.serves());
    CHECK(daemon.place().is_served());
}

TEST_CASE("under load no connection is refused, and all but those in hand are answered")
{
    constexpr int handovers = 3;
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Endpoint at = Isolate::local(listener);
    std::atomic<int> echoed{0}, ended{0}, refused{0};
    std::atomic<bool> stops{false};
    std::vector<std::thread> clients;
    for (int i = 0; i < 4; i++) {
        clients.emplace_back([&] {
            while (!stops) {
                std::optional<Peer> peer;
                try {
                    peer.emplace(Peer::connect(at));
                } catch (const std::exception &) {
                    refused++;
                    continue;
                }
                std::string answer;
                try {
                    peer->send("ping");
                    answer = peer->receive(4);
                } catch (const std::exception &) {
                    answer = "";
                }
                (answer == "ping" ? echoed : ended)++;
            }
        });
    }
    const auto serve_one = [&] {
        const int64_t handle = isolate.result(isolate.accept(listener));
        CHECK(handle > 0);
        if (handle <= 0)
            return false;
        int64_t failure = 0;
        int64_t end = isolate.read_exactly(handle, 4, &failure) == "ping"
                          ? isolate.result(isolate.write(handle, "ping"))
                          : failure;
        if (end == 4)
            end = isolate.result(isolate.close(handle));
        const bool known =
            end == 0 || end == TCP_ERR_DAEMON_LOST || end == TCP_ERR_INVALID_HANDLE || end == TCP_ERR_CLOSED;
        CAPTURE(end);
        CHECK(known);
        isolate.forget();
        return true;
    };
    std::vector<std::unique_ptr<Successor>> successors;
    bool good = true;
    for (int i = 0; i < handovers && good; i++) {
        for (int wanted = echoed + 200; good && echoed < wanted;)
            good = serve_one();
        successors.push_back(std::make_unique<Successor>(daemon.place()));
        while (good && count_lines(successors.back()->log(), "event=inherited") == 0)
            good = serve_one();
        for (int wanted = echoed + 200; good && echoed < wanted;)
            good = serve_one();
    }
    stops = true;
    const Request close = isolate.listener_close(listener, true);
    CHECK(isolate.result(close) == 0); // ends those that wait
    for (auto &client : clients)
        client.join();
    CHECK(daemon.wait() == 0);
    CHECK(refused <= 4); // when the listener was closed at the end
    CHECK(ended <= handovers + 4);
    WARN("echoed " << echoed << ", ended " << ended << " over " << handovers << " handovers");
}

TEST_CASE("only the token of the session gets its listeners")
{
    Daemon daemon;
    std::string token;
    Listening own{};
    {
        const Wire client(daemon.place().socket_path());
        token = greet(client).token;
        REQUIRE(token.size() == HANDOVER_TOKEN_SIZE);
        own = listen_with(client);
        const Wire other(daemon.place().socket_path());
        CHECK(greet(other).token != token);
        const Successor successor(daemon.place());
        REQUIRE(successor.serves());
        const auto told = client.receive();
        REQUIRE(told);
        CHECK(told->header.opcode == FRAME_HANDOVER);
        CHECK(told->header.value == HANDOVER_YOURS);
        CHECK(client.is_dropped());
        CHECK(daemon.wait() == 0);
        const std::string log = daemon.log() + successor.log();
        CHECK(log.find(token) == std::string::npos);
        CHECK(log.find(hexadecimal(token)) == std::string::npos);

        for (size_t i = 0; i < token.size(); i++) {
            std::string wrong = token;
            wrong[i] = static_cast<char>(wrong[i] ^ 1);
            const Wire thief(daemon.place().socket_path());
            CHECK_FALSE(greet(thief, wrong).resumed);
            const auto reply = thief.ask(plain_frame(FRAME_ACCEPT, 5, own.handle));
            REQUIRE(reply);
            CHECK(reply->header.value == TCP_ERR_INVALID_HANDLE);
        }
        for (const std::string &wrong : {token.substr(1), token + "x", std::string(16, '\0')}) {
            const Wire thief(daemon.place().socket_path());
            CHECK_FALSE(greet(thief, wrong).resumed);
        }
        const Wire heir(daemon.place().socket_path());
        CHECK(greet(heir, token, 7).resumed);
        const Peer peer = Peer::connect(own.at);
        const auto reply = heir.ask(plain_frame(FRAME_ACCEPT, 5, own.handle));
        REQUIRE(reply);
        CHECK(reply->header.value >> 20 == 8); // newer than all that the client knows
        const Wire late(daemon.place().socket_path());
        CHECK_FALSE(greet(late, token).resumed);
    }
}

TEST_CASE("listeners that nobody claims are closed after a while")
{
    Daemon daemon;
    const Wire client(daemon.place().socket_path());
    const std::string token = greet(client).token;
    const Listening listener = listen_with(client);
    const Successor successor(daemon.place());
    REQUIRE(successor.serves());
    CHECK(daemon.wait() == 0);
    CHECK_FALSE(is_refused(listener.at));
    CHECK(eventually([&] { return is_refused(listener.at); }, std::chrono::seconds(30)));
    const Wire late(daemon.place().socket_path());
    CHECK_FALSE(greet(late, token).resumed);
    CHECK(successor.logs("event=unclaimed listeners=1"));
}

TEST_CASE("a client that does not know of handing over is drained, as when the daemon leaves")
{
    Daemon daemon;
    const Wire client(daemon.place().socket_path());
    client.hello();
    const Listening listener = listen_with(client);
    client.send(plain_frame(FRAME_ACCEPT, 9, listener.handle));
    const Successor successor(daemon.place());
    REQUIRE(successor.serves());
    const auto reply = client.receive();
    REQUIRE(reply);
    CHECK(reply->header.request_id == 9);
    CHECK(reply->header.value == TCP_ERR_CLOSED);
    CHECK(client.is_dropped());
    CHECK(daemon.wait() == 0);
    CHECK(is_refused(listener.at));
}

TEST_CASE("a session without Dart follows while it dispatches")
{
    Daemon daemon;
    oche_session *opened = nullptr;
    REQUIRE(oche_session_open(nullptr, &opened) == 0);
    const std::unique_ptr<oche_session, SessionCloser> session(opened);
    const Address address = loopback4();
    oche_listen_options options{};
    options.address = address.data();
    options.address_length = address.size();
    REQUIRE(oche_listen(session.get(), 1, &options) == 0);
    const int64_t listener = next_completion(session.get()).result;
    REQUIRE(listener > 0);
    oche_endpoint local{};
    REQUIRE(oche_get_local(session.get(), listener, &local) == 0);
    REQUIRE(oche_accept(session.get(), 2, listener) == 0);
    const Successor successor(daemon.place());
    REQUIRE(successor.serves());
    const Peer peer = Peer::connect({address, local.port});
    const oche_completion completion = next_completion(session.get());
    CHECK(completion.request_id == 2);
    CHECK(completion.result > 0);
    CHECK(daemon.wait() == 0);
}

TEST_CASE("a successor that dies before it has taken anything leaves the daemon serving")
{
    Daemon daemon;
    const NoLeaks leaks(daemon);
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Request accept = isolate.accept(listener);
    SECTION("when it has asked")
    {
        Wire(daemon.place().socket_path()).send(handover_frame(HANDOVER_ASK));
    }
    SECTION("when it was offered everything")
    {
        offered(daemon, 1);
    }
    SECTION("when it has said nonsense")
    {
        const auto wire = offered(daemon, 1);
        const auto reply = wire->ask(handover_frame(HANDOVER_YOURS));
        REQUIRE(reply);
        CHECK(reply->header.value == HANDOVER_KEPT);
        CHECK(wire->is_dropped());
    }
    SECTION("when it says nothing for too long")
    {
        const auto wire = offered(daemon, 1);
        const auto reply = wire->receive();
        REQUIRE(reply);
        CHECK(reply->header.value == HANDOVER_KEPT);
    }
    CHECK(daemon.logs("event=kept"));
    Peer peer = Peer::connect(Isolate::local(listener));
    const int64_t handle = isolate.value(accept);
    echo(isolate, Pair{handle, std::move(peer)}, "still here");
    CHECK(daemon.place().server() == daemon.pid());
    Isolate newcomer;
    newcomer.start();
    echo(newcomer, accepted(newcomer, listening(newcomer)), "x");
}

TEST_CASE("a successor that dies when it has taken everything makes room for a clean one")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Request accept = isolate.accept(listener);
    {
        const auto wire = offered(daemon, 1);
        const auto reply = wire->ask(handover_frame(HANDOVER_TAKE));
        REQUIRE(reply);
        CHECK(reply->header.value == HANDOVER_YOURS);
    }
    CHECK(daemon.wait() == 0);
    CHECK(isolate.result(accept) == TCP_ERR_DAEMON_LOST);
    CHECK(isolate.result(isolate.accept(listener)) == TCP_ERR_INVALID_HANDLE);
    CHECK(isolate.value(isolate.listen({loopback4(), 0})) > 0); // starts a daemon
    CHECK(daemon.place().starts() == 1);
}

TEST_CASE("a daemon that is told to leave while it hands over keeps what it has, and leaves")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Request accept = isolate.accept(listening(isolate));
    {
        const auto wire = offered(daemon, 1);
        daemon.kill(SIGTERM);
    }
    CHECK(daemon.wait() == 0);
    CHECK(isolate.result(accept) == TCP_ERR_CLOSED);
    CHECK_FALSE(std::filesystem::exists(daemon.place().socket_path()));
}

TEST_CASE("a predecessor that hangs up before all is offered leaves a clean start, if it is gone")
{
    const Place place;
    Predecessor predecessor(place);
    Successor successor(place);
    predecessor.is_asked();
    SECTION("it dies when it was asked")
    {
        predecessor.dies();
        CHECK(successor.serves());
    }
    SECTION("it dies half-way")
    {
        predecessor.offers_door(2);
        predecessor.offers_listener(std::string(HANDOVER_TOKEN_SIZE, 't'));
        predecessor.dies();
        CHECK(successor.serves());
        CHECK(successor.logs("event=inherited listeners=0"));
    }
    SECTION("it hangs up, and lives")
    {
        predecessor.offers_door(2);
        predecessor.hangs_up();
        CHECK(successor.wait() == 3);
        CHECK(std::filesystem::exists(place.socket_path()));
    }
    SECTION("it says nonsense, and lives")
    {
        predecessor.says(HANDOVER_LISTENER, 1, "too short");
        predecessor.hangs_up();
        CHECK(successor.wait() == 3);
    }
}

TEST_CASE("a predecessor that dies when all is offered leaves it to the successor")
{
    const std::string token(HANDOVER_TOKEN_SIZE, 't');
    const Place place;
    Predecessor predecessor(place);
    const Endpoint at = predecessor.at();
    Successor successor(place);
    predecessor.is_asked();
    predecessor.offers_door(1);
    predecessor.offers_listener(token);
    predecessor.hears(HANDOVER_TAKE);
    SECTION("it dies")
    {
        predecessor.dies();
        CHECK(successor.logs("event=inherited listeners=1"));
        const Wire client(place.socket_path());
        CHECK(greet(client, token).resumed);
        const Peer peer = Peer::connect(at);
        const auto reply = client.ask(plain_frame(FRAME_ACCEPT, 5, int64_t{1} << 20));
        REQUIRE(reply);
        CHECK(reply->header.value > 0);
    }
    SECTION("it lives, but says nothing")
    {
        predecessor.hangs_up();
        CHECK(successor.wait() == 1);
        CHECK(std::filesystem::exists(place.socket_path()));
        CHECK(std::filesystem::exists(place.socket_path() + ".lock"));
    }
    SECTION("it keeps everything")
    {
        predecessor.says(HANDOVER_KEPT);
        CHECK(successor.wait() == 1);
        CHECK(std::filesystem::exists(place.socket_path()));
    }
}

TEST_CASE("who asks for a handover in a wrong way is dropped, and nobody else is touched")
{
    Daemon daemon;
    const NoLeaks leaks(daemon);
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    std::vector<WireFrame> wrong;
    for (const int64_t word : {INT64_MIN, int64_t{-1}, int64_t{0}, int64_t{HANDOVER_DOOR}, int64_t{HANDOVER_TAKE},
                               int64_t{HANDOVER_YOURS}, INT64_MAX})
        wrong.push_back(handover_frame(word));
    wrong.push_back(handover_frame(HANDOVER_ASK));
    wrong.back().header.flags = FRAME_REPLY;
    wrong.push_back(handover_frame(HANDOVER_ASK));
    wrong.back().payload = "payload";
    wrong.push_back(handover_frame(HANDOVER_ASK));
    wrong.back().body = "body";
    wrong.push_back(handover_frame(HANDOVER_ASK));
    wrong.back().header.handle = 1;
    size_t lines = 0;
    for (const WireFrame &frame : wrong) {
        const Wire wire(daemon.place().socket_path());
        wire.send(frame);
        CHECK(wire.is_dropped());
        CHECK(daemon.logs("event=malformed", ++lines));
    }
    const Wire session(daemon.place().socket_path());
    session.hello();
    session.send(handover_frame(HANDOVER_ASK));
    CHECK(session.is_dropped());
    CHECK(daemon.logs("event=malformed", ++lines));
    CHECK(daemon.count_lines("event=(kept|handed-over)") == 0);
    echo(isolate, accepted(isolate, listener), "x");
}
