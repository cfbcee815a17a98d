// The other side of the network: plain sockets, with a time limit on everything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/descriptor.h"
#include "tests/support/patience.h"

namespace test_support
{
// 4 or 16 bytes in network order.
using Address = std::vector<uint8_t>;

// 127.0.0.`last`.
Address loopback4(uint8_t last = 1);
// ::1, and ::.
Address loopback6();
Address any6();
bool has_ipv6();

struct Endpoint {
    Address address;
    uint16_t port;
};

// How a stream ended.
enum class End { fin, reset, none };

// What came until the end of a stream, and how it ended.
struct Rest {
    std::string bytes;
    End end;
};

// A connection. Its methods throw when the system refuses or time is up.
class Peer
{
  public:
    // Takes over a connected socket.
    explicit Peer(Descriptor fd);
    static Peer connect(const Endpoint &to, const Endpoint &from = {});

    void send(std::string_view bytes) const;
    // Sends without waiting, until the kernel takes no more for a while; the count of bytes that it took.
    size_t send_until_full(size_t most) const;

    // That many bytes; fewer when the stream ends before.
    std::string receive(size_t count) const;
    // Everything until the stream ends.
    std::string receive_all() const;
    // The same, and a reset is an end as well; none: it did not end in time.
    Rest rest(std::chrono::milliseconds limit = patience) const;
    // Waits for the end of the stream, dropping bytes; none: it did not end in time.
    End end(std::chrono::milliseconds limit = patience) const;

    void shut_down_write() const;
    // Closes with a reset.
    void reset();
    void close();

    Endpoint local() const;
    Endpoint remote() const;
    int fd() const;

  private:
    Descriptor fd_;
};

// A listener.
class PeerListener
{
  public:
    explicit PeerListener(const Address &address = loopback4(), int backlog = 128, uint16_t port = 0);

    Peer accept() const;
    bool has_connection(std::chrono::milliseconds limit = patience) const;
    const Address &address() const;
    uint16_t port() const;

  private:
    Descriptor fd_;
    Address address_;
    uint16_t port_;
};

// A listener whose backlog is full: connecting to it takes for ever.
class FullListener
{
  public:
    FullListener();
    const Address &address() const;
    uint16_t port() const;
    // Makes room: from now on it takes what comes.
    void drain();

  private:
    PeerListener listener_;
    std::vector<Descriptor> waiting_;
};

// A connecting socket, not waited for: true from established() when the handshake is done.
class Attempt
{
  public:
    explicit Attempt(const Endpoint &to);
    bool established(std::chrono::milliseconds limit = patience) const;
    // 0, or errno of the failure.
    int error() const;

  private:
    Descriptor fd_;
};

// A port that nobody uses now.
uint16_t free_port(const Address &address = loopback4());
} // namespace test_support
