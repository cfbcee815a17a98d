#include "tests/support/successor.h"

#include <catch2/catch.hpp>
#include <csignal>
#include <fcntl.h>
#include <filesystem>

#include "tests/support/text.h"

extern "C" {
#include "proto/handover.h"
#include "proto/oche.pb-c.h"
}

namespace test_support
{
namespace
{
std::string next_log(const Place &place)
{
    int number = 1;
    while (std::filesystem::exists(place.path("successor" + std::to_string(number) + ".log")))
        number++;
    return place.path("successor" + std::to_string(number) + ".log");
}
} // namespace

Successor::Successor(const Place &place, const std::vector<std::string> &arguments) : log_(next_log(place))
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

Successor::~Successor()
{
    process_->kill(SIGTERM);
    const int status = process_->wait().value_or(-1);
    const bool in_order = status == 0 || waited_;
    CHECK(in_order);
    if (!in_order)
        WARN(status << " " << log());
    const auto complaints = lines_with(log(), "Sanitizer|runtime error:|[Aa]ssert");
    CHECK(complaints.empty());
    if (!complaints.empty())
        WARN(log());
}

bool Successor::serves() const
{
    return logs("event=inherited");
}

bool Successor::logs(const std::string &expression) const
{
    return eventually([&] { return count_lines(log(), expression) > 0; });
}

std::string Successor::log() const
{
    return contents_of(log_);
}

std::optional<int> Successor::wait()
{
    waited_ = true;
    return process_->wait();
}

WireFrame handover_frame(int64_t word)
{
    return plain_frame(FRAME_HANDOVER, 0, 0, word);
}

WireFrame ask_frame(const Place &place)
{
    const std::string digits = contents_of(place.socket_path() + ".key");
    REQUIRE(digits.size() == 2 * HANDOVER_KEY_SIZE + 1);
    WireFrame frame = handover_frame(HANDOVER_ASK);
    for (size_t i = 0; i < HANDOVER_KEY_SIZE; i++)
        frame.payload += static_cast<char>(std::stoi(digits.substr(2 * i, 2), nullptr, 16));
    return frame;
}

std::unique_ptr<Wire> offered(const Daemon &daemon, size_t listeners)
{
    auto wire = std::make_unique<Wire>(daemon.place().socket_path());
    const auto door = wire->ask(ask_frame(daemon.place()));
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

Greeted greet(const Wire &wire, std::string token, uint32_t generation)
{
    std::string software = "test 1";
    Oche__Hello hello = OCHE__HELLO__INIT;
    hello.version_min = hello.version_max = FRAME_VERSION_MAX;
    hello.software = software.data();
    hello.follows = true;
    hello.token = {token.size(), reinterpret_cast<uint8_t *>(token.data())};
    hello.generation = generation;
    WireFrame frame = plain_frame(FRAME_HELLO);
    frame.body.resize(protobuf_c_message_get_packed_size(&hello.base));
    protobuf_c_message_pack(&hello.base, reinterpret_cast<uint8_t *>(frame.body.data()));
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

bool is_refused(const Endpoint &at)
{
    try {
        Peer::connect(at);
        return false;
    } catch (const std::exception &) {
        return true;
    }
}
} // namespace test_support
