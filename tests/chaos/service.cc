#include "tests/chaos/service.h"

#include <cstring>
#include <sys/socket.h>
#include <sys/time.h>

#include "tests/support/text.h"

using namespace test_support;

namespace chaos
{
namespace
{
using std::chrono::milliseconds;

void echo(const Peer &peer)
{
    char block[16 * 1024];
    for (ssize_t count = 0; (count = recv(peer.fd(), block, sizeof block, 0)) > 0;) {
        peer.send({block, static_cast<size_t>(count)});
    }
}

void take(const Peer &peer, const Order &order)
{
    std::string came;
    const size_t piece = order.service == Service::sluggard ? 1 + order.size / 8 : 64 * 1024;
    for (;;) {
        const std::string more = peer.receive(piece);
        came += more;
        if (more.size() < piece) {
            break;
        }
        if (order.service == Service::sluggard) {
            std::this_thread::sleep_for(milliseconds(2));
        }
    }
    peer.send(came == pattern(order.size, order.seed) ? "y" : "n");
}

void serve(Peer &peer)
{
    // Longer than anything that a client does is held up.
    const timeval limit{120, 0};
    setsockopt(peer.fd(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(peer.fd(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    Order order{};
    const std::string bytes = peer.receive(sizeof order);
    if (bytes.size() < sizeof order) {
        return;
    }
    memcpy(&order, bytes.data(), sizeof order);
    switch (order.service) {
    case Service::echo:
        echo(peer);
        break;
    case Service::source:
        peer.send(pattern(order.size, order.seed));
        break;
    case Service::resetter:
        peer.send(pattern(order.size, order.seed));
        peer.reset();
        break;
    case Service::sink:
    case Service::sluggard:
        take(peer, order);
        break;
    }
}
} // namespace

std::string Order::bytes() const
{
    return {reinterpret_cast<const char *>(this), sizeof *this};
}

Services::Services() : listener_({0, 0, 0, 0}, 4096), thread_([this] { accept_all(); })
{
}

Services::~Services()
{
    stops_ = true;
    thread_.join();
    eventually([&] { return served_ == 0; });
}

uint16_t Services::port() const
{
    return listener_.port();
}

void Services::accept_all()
{
    while (!stops_) {
        if (!listener_.has_connection(moment)) {
            continue;
        }
        served_++;
        std::thread([this, peer = listener_.accept()]() mutable {
            try {
                serve(peer);
            } catch (const std::exception &) {
                // The other side is gone, or is stopped for very long. If it should not be, it sees for itself.
            }
            peer.close();
            served_--;
        }).detach();
    }
}
} // namespace chaos
