#include "tests/support/wire.h"

#include <cerrno>
#include <cstring>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/un.h>
#include <system_error>

// The macros of generated code are not ours to be strict with.
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "proto/oche.pb-c.h"

namespace test_support
{
namespace
{
ProtobufCBinaryData binary(const Address &address)
{
    return {address.size(), const_cast<uint8_t *>(address.data())};
}

std::string packed(const ProtobufCMessage &message)
{
    std::string bytes(protobuf_c_message_get_packed_size(&message), '\0');
    protobuf_c_message_pack(&message, reinterpret_cast<uint8_t *>(bytes.data()));
    return bytes;
}
} // namespace

Wire::Wire(const std::string &socket_path) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, socket_path.c_str(), sizeof address.sun_path - 1);
    if (connect(fd_.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) < 0) {
        throw std::system_error(errno, std::generic_category(), socket_path);
    }
    const timeval limit{patience.count() / 1000, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

void Wire::send_bytes(std::string_view bytes) const
{
    while (!bytes.empty()) {
        const ssize_t count = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (count <= 0) {
            // The daemon may hang up in the middle; the test will see that it did.
            if (errno == EPIPE || errno == ECONNRESET) {
                return;
            }
            throw std::system_error(errno, std::generic_category(), "send to the daemon");
        }
        bytes.remove_prefix(static_cast<size_t>(count));
    }
}

void Wire::send(WireFrame frame) const
{
    frame.header.body_length = static_cast<uint16_t>(frame.body.size());
    frame.header.payload_length = static_cast<uint32_t>(frame.payload.size());
    send_bytes(encoded(frame.header) + frame.body + frame.payload);
}

std::optional<WireFrame> Wire::receive(std::chrono::milliseconds limit) const
{
    const auto deadline = Clock::now() + limit;
    std::string header;
    WireFrame result;
    if (!receive_bytes(header, FRAME_HEADER_SIZE, deadline)) {
        return {};
    }
    if (frame_decode(&result.header, reinterpret_cast<const uint8_t *>(header.data())) != 0) {
        throw std::runtime_error("the daemon sends a malformed frame");
    }
    if (!receive_bytes(result.body, result.header.body_length, deadline) ||
        !receive_bytes(result.payload, result.header.payload_length, deadline)) {
        return {};
    }
    return result;
}

std::optional<WireFrame> Wire::ask(const WireFrame &frame) const
{
    send(frame);
    return receive();
}

uint64_t Wire::hello() const
{
    const auto reply = ask(hello_frame());
    if (!reply || reply->header.opcode != FRAME_HELLO || reply->header.value < 0) {
        throw std::runtime_error("the daemon does not answer a good hello");
    }
    Oche__Welcome *welcome =
        oche__welcome__unpack(nullptr, reply->body.size(), reinterpret_cast<const uint8_t *>(reply->body.data()));
    if (!welcome) {
        throw std::runtime_error("the daemon's welcome cannot be unpacked");
    }
    const uint64_t session = welcome->session;
    oche__welcome__free_unpacked(welcome, nullptr);
    return session;
}

bool Wire::is_dropped(std::chrono::milliseconds limit) const
{
    const auto deadline = Clock::now() + limit;
    std::string byte;
    while (receive_bytes(byte, 1, deadline)) {
        byte.clear();
    }
    char left = 0;
    const ssize_t count = recv(fd_.get(), &left, 1, MSG_DONTWAIT);
    return count == 0 || (count < 0 && errno != EAGAIN);
}

bool Wire::is_served() const
{
    const auto reply = ask(plain_frame(FRAME_STATISTICS, 4711));
    return reply && reply->header.opcode == FRAME_STATISTICS && reply->header.request_id == 4711;
}

int Wire::fd() const
{
    return fd_.get();
}

bool Wire::receive_bytes(std::string &bytes, size_t count, Clock::time_point deadline) const
{
    bytes.resize(count);
    size_t filled = 0;
    while (filled < count) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
        pollfd waited{fd_.get(), POLLIN, 0};
        if (left.count() <= 0 || poll(&waited, 1, static_cast<int>(left.count())) <= 0) {
            return false;
        }
        const ssize_t got = recv(fd_.get(), bytes.data() + filled, count - filled, MSG_DONTWAIT);
        if (got <= 0) {
            return false;
        }
        filled += static_cast<size_t>(got);
    }
    return true;
}

std::string encoded(const frame &header)
{
    uint8_t bytes[FRAME_HEADER_SIZE];
    frame_encode(&header, bytes);
    return {reinterpret_cast<const char *>(bytes), sizeof bytes};
}

WireFrame hello_frame(uint32_t version_min, uint32_t version_max)
{
    std::string software = "test 1";
    Oche__Hello hello = OCHE__HELLO__INIT;
    hello.version_min = version_min;
    hello.version_max = version_max;
    hello.software = software.data();
    WireFrame frame = plain_frame(FRAME_HELLO);
    frame.body = packed(hello.base);
    return frame;
}

WireFrame connect_frame(int64_t request_id, const Endpoint &to)
{
    Oche__Connect connect = OCHE__CONNECT__INIT;
    connect.address = binary(to.address);
    connect.port = to.port;
    WireFrame frame = plain_frame(FRAME_CONNECT, request_id);
    frame.body = packed(connect.base);
    return frame;
}

WireFrame listen_frame(int64_t request_id, const Endpoint &at)
{
    Oche__Listen listen = OCHE__LISTEN__INIT;
    listen.address = binary(at.address);
    listen.port = at.port;
    WireFrame frame = plain_frame(FRAME_LISTEN, request_id);
    frame.body = packed(listen.base);
    return frame;
}

WireFrame datagram_frame(int64_t request_id, const Endpoint &at)
{
    Oche__Datagram datagram = OCHE__DATAGRAM__INIT;
    datagram.address = binary(at.address);
    datagram.port = at.port;
    WireFrame frame = plain_frame(FRAME_DATAGRAM, request_id);
    frame.body = packed(datagram.base);
    return frame;
}

WireFrame plain_frame(uint16_t opcode, int64_t request_id, int64_t handle, int64_t value)
{
    WireFrame frame;
    frame.header.opcode = opcode;
    frame.header.request_id = request_id;
    frame.header.handle = handle;
    frame.header.value = value;
    return frame;
}
} // namespace test_support
