#include "tests/support/peer.h"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <system_error>

namespace test_support
{
namespace
{
[[noreturn]] void fail(const char *what)
{
    if (errno == EAGAIN || errno == EINPROGRESS) {
        throw std::runtime_error(std::string("the peer's ") + what + " takes too long");
    }
    throw std::system_error(errno, std::generic_category(), std::string("the peer's ") + what);
}

void require(bool ok, const char *what)
{
    if (!ok) {
        fail(what);
    }
}

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t size = sizeof(sockaddr_storage);

    sockaddr *get()
    {
        return reinterpret_cast<sockaddr *>(&storage);
    }
};

SocketAddress to_socket_address(const Endpoint &endpoint)
{
    SocketAddress result;
    if (endpoint.address.size() == 4) {
        auto *v4 = reinterpret_cast<sockaddr_in *>(&result.storage);
        v4->sin_family = AF_INET;
        v4->sin_port = htons(endpoint.port);
        memcpy(&v4->sin_addr, endpoint.address.data(), 4);
        result.size = sizeof *v4;
    } else {
        auto *v6 = reinterpret_cast<sockaddr_in6 *>(&result.storage);
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(endpoint.port);
        memcpy(&v6->sin6_addr, endpoint.address.data(), 16);
        result.size = sizeof *v6;
    }
    return result;
}

Endpoint to_endpoint(const SocketAddress &address)
{
    if (address.storage.ss_family == AF_INET) {
        const auto *v4 = reinterpret_cast<const sockaddr_in *>(&address.storage);
        const auto *bytes = reinterpret_cast<const uint8_t *>(&v4->sin_addr);
        return {Address(bytes, bytes + 4), ntohs(v4->sin_port)};
    }
    const auto *v6 = reinterpret_cast<const sockaddr_in6 *>(&address.storage);
    const auto *bytes = reinterpret_cast<const uint8_t *>(&v6->sin6_addr);
    return {Address(bytes, bytes + 16), ntohs(v6->sin6_port)};
}

Descriptor new_socket(const Address &address, int flags = 0)
{
    const int family = address.size() == 4 ? AF_INET : AF_INET6;
    Descriptor fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
    require(static_cast<bool>(fd), "socket");
    const timeval limit{patience.count() / 1000, 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return fd;
}

bool is_ready(int fd, short events, std::chrono::milliseconds limit)
{
    pollfd waited{fd, events, 0};
    return poll(&waited, 1, static_cast<int>(limit.count())) > 0;
}
} // namespace

Address loopback4(uint8_t last)
{
    return {127, 0, 0, last};
}

Address loopback6()
{
    Address address(16, 0);
    address.back() = 1;
    return address;
}

Address any6()
{
    return Address(16, 0);
}

bool has_ipv6()
{
    const Descriptor fd(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    auto address = to_socket_address({loopback6(), 0});
    return fd && bind(fd.get(), address.get(), address.size) == 0;
}

Peer::Peer(Descriptor fd) : fd_(std::move(fd))
{
}

Peer Peer::connect(const Endpoint &to, const Endpoint &from)
{
    Descriptor fd = new_socket(to.address);
    if (!from.address.empty()) {
        auto address = to_socket_address(from);
        require(bind(fd.get(), address.get(), address.size) == 0, "bind");
    }
    auto address = to_socket_address(to);
    require(::connect(fd.get(), address.get(), address.size) == 0, "connect");
    return Peer(std::move(fd));
}

void Peer::send(std::string_view bytes) const
{
    while (!bytes.empty()) {
        const ssize_t count = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        require(count > 0, "send");
        bytes.remove_prefix(static_cast<size_t>(count));
    }
}

size_t Peer::send_until_full(size_t most) const
{
    const std::string block(64 * 1024, 'x');
    size_t sent = 0;
    while (sent < most) {
        const ssize_t count = ::send(fd_.get(), block.data(), block.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count > 0) {
            sent += static_cast<size_t>(count);
        } else if (!is_ready(fd_.get(), POLLOUT, std::chrono::milliseconds(500))) {
            break;
        }
    }
    return sent;
}

std::string Peer::receive(size_t count) const
{
    std::string bytes(count, '\0');
    size_t filled = 0;
    while (filled < count) {
        const ssize_t got = recv(fd_.get(), bytes.data() + filled, count - filled, 0);
        require(got >= 0, "recv");
        if (got == 0) {
            break;
        }
        filled += static_cast<size_t>(got);
    }
    bytes.resize(filled);
    return bytes;
}

std::string Peer::receive_all() const
{
    std::string bytes;
    std::string block(256 * 1024, '\0');
    for (;;) {
        const ssize_t got = recv(fd_.get(), block.data(), block.size(), 0);
        require(got >= 0, "recv");
        if (got == 0) {
            return bytes;
        }
        bytes.append(block, 0, static_cast<size_t>(got));
    }
}

Rest Peer::rest(std::chrono::milliseconds limit) const
{
    const auto deadline = Clock::now() + limit;
    std::string block(64 * 1024, '\0');
    std::string bytes;
    for (;;) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
        if (!is_ready(fd_.get(), POLLIN, std::max(left, std::chrono::milliseconds(0)))) {
            return {bytes, End::none};
        }
        const ssize_t got = recv(fd_.get(), block.data(), block.size(), MSG_DONTWAIT);
        if (got == 0) {
            return {bytes, End::fin};
        }
        if (got > 0) {
            bytes.append(block, 0, static_cast<size_t>(got));
        } else if (errno != EAGAIN) {
            require(errno == ECONNRESET || errno == EPIPE, "recv");
            return {bytes, End::reset};
        }
    }
}

End Peer::end(std::chrono::milliseconds limit) const
{
    return rest(limit).end;
}

void Peer::shut_down_write() const
{
    require(shutdown(fd_.get(), SHUT_WR) == 0, "shutdown");
}

void Peer::reset()
{
    const linger at_once{1, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    fd_.reset();
}

void Peer::close()
{
    fd_.reset();
}

Endpoint Peer::local() const
{
    SocketAddress address;
    require(getsockname(fd_.get(), address.get(), &address.size) == 0, "getsockname");
    return to_endpoint(address);
}

Endpoint Peer::remote() const
{
    SocketAddress address;
    require(getpeername(fd_.get(), address.get(), &address.size) == 0, "getpeername");
    return to_endpoint(address);
}

int Peer::fd() const
{
    return fd_.get();
}

PeerListener::PeerListener(const Address &address, int backlog, uint16_t port)
    : fd_(new_socket(address)), address_(address)
{
    auto name = to_socket_address({address, port});
    require(bind(fd_.get(), name.get(), name.size) == 0, "bind");
    require(listen(fd_.get(), backlog) == 0, "listen");
    SocketAddress bound;
    require(getsockname(fd_.get(), bound.get(), &bound.size) == 0, "getsockname");
    port_ = to_endpoint(bound).port;
}

Peer PeerListener::accept() const
{
    Descriptor fd(accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    require(static_cast<bool>(fd), "accept");
    const timeval limit{patience.count() / 1000, 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return Peer(std::move(fd));
}

bool PeerListener::has_connection(std::chrono::milliseconds limit) const
{
    return is_ready(fd_.get(), POLLIN, limit);
}

const Address &PeerListener::address() const
{
    return address_;
}

uint16_t PeerListener::port() const
{
    return port_;
}

FullListener::FullListener() : listener_(loopback4(), 0)
{
    // The kernel takes one more than the backlog says; SYNs beyond are dropped.
    for (int i = 0; i < 3; i++) {
        Descriptor fd = new_socket(address(), SOCK_NONBLOCK);
        auto to = to_socket_address({address(), port()});
        connect(fd.get(), to.get(), to.size);
        is_ready(fd.get(), POLLOUT, std::chrono::milliseconds(50));
        waiting_.push_back(std::move(fd));
    }
}

const Address &FullListener::address() const
{
    return listener_.address();
}

uint16_t FullListener::port() const
{
    return listener_.port();
}

void FullListener::drain()
{
    waiting_.clear();
    while (listener_.has_connection(std::chrono::milliseconds(0))) {
        listener_.accept();
    }
}

Attempt::Attempt(const Endpoint &to) : fd_(new_socket(to.address, SOCK_NONBLOCK))
{
    auto address = to_socket_address(to);
    require(connect(fd_.get(), address.get(), address.size) == 0 || errno == EINPROGRESS, "connect");
}

bool Attempt::established(std::chrono::milliseconds limit) const
{
    return is_ready(fd_.get(), POLLOUT, limit) && error() == 0;
}

int Attempt::error() const
{
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    return error;
}

uint16_t free_port(const Address &address)
{
    return PeerListener(address).port();
}
} // namespace test_support
