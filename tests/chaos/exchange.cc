#include "tests/chaos/exchange.h"

#include <algorithm>
#include <deque>
#include <thread>
#include <vector>

#include "tests/chaos/service.h"
#include "tests/support/text.h"

using namespace test_support;

namespace chaos
{
namespace
{
using std::chrono::milliseconds;

// One side of a connection: sends some bytes, and compares what comes with others.
class Stream
{
  public:
    Stream(Client &client, int64_t handle) : client_(client), handle_(handle)
    {
    }

    void will_send(std::string bytes, bool then_end)
    {
        to_send_ = std::move(bytes);
        then_end_ = then_end;
    }

    void will_receive(std::string bytes)
    {
        expected_ = std::move(bytes);
    }

    // Sends as much as may be on its way at once.
    void send_some(Random &random)
    {
        while (!writes_.empty() && client_.is_done(writes_.front().first)) {
            client_.expect(writes_.front().first, writes_.front().second);
            writes_.pop_front();
        }
        while (sent_ < to_send_.size() && writes_.size() < 6) {
            const size_t most = below(random, 4) ? 64 * 1024 : 300 * 1024;
            const size_t size = std::min(to_send_.size() - sent_, static_cast<size_t>(1 + below(random, most)));
            const Request write = client_.write(handle_, std::string_view(to_send_).substr(sent_, size));
            sent_ += size;
            writes_.emplace_back(write, static_cast<int64_t>(size));
        }
        if (sent_ == to_send_.size() && then_end_) {
            then_end_ = false;
            writes_.emplace_back(client_.close_write(handle_), 0);
        }
    }

    void finish_sending(Random &random)
    {
        for (send_some(random); !writes_.empty(); send_some(random)) {
            client_.expect(writes_.front().first, writes_.front().second);
            writes_.pop_front();
        }
    }

    // False: the stream has ended, with that result. Data is given back here, or kept until the stream is gone.
    bool receive(int64_t end = TCP_ERR_CLOSED, bool keep = false)
    {
        const Request request = client_.read(handle_);
        const Outcome outcome = client_.take(request);
        if (outcome.result == TCP_ERR_DAEMON_LOST || outcome.result == TCP_ERR_INVALID_HANDLE) {
            throw Lost();
        }
        if (outcome.result == end) {
            return false;
        }
        if (outcome.result <= 0) {
            throw std::runtime_error(std::string("a read completes with ") + oche_error_name(outcome.result));
        }
        const std::string_view bytes = outcome.data->bytes();
        if (std::string_view(expected_).substr(received_, bytes.size()) != bytes) {
            throw std::runtime_error("bytes " + std::to_string(received_) + " and following are not what was sent");
        }
        received_ += bytes.size();
        client_.books().bytes += bytes.size();
        if (keep) {
            kept_.push_back(outcome.data);
        }
        return true;
    }

    bool has_all() const
    {
        return received_ == expected_.size();
    }

    void receive_end()
    {
        if (!has_all() || receive()) {
            throw std::runtime_error("a stream ends after " + std::to_string(received_) + " of " +
                                     std::to_string(expected_.size()) + " bytes");
        }
    }

    void close()
    {
        client_.expect(client_.close(handle_), 0);
    }

  private:
    Client &client_;
    int64_t handle_;
    std::string to_send_;
    bool then_end_ = false;
    size_t sent_ = 0;
    std::deque<std::pair<Request, int64_t>> writes_;
    std::string expected_;
    size_t received_ = 0;
    std::vector<std::shared_ptr<ExternalBytes>> kept_;
};

Stream stream_to(Client &client, uint16_t port, const Order &order)
{
    const int64_t handle = client.handle(client.connect(port));
    client.expect(client.write(handle, order.bytes()), sizeof order);
    return {client, handle};
}

// Mostly short, sometimes long.
uint32_t any_size(Random &random)
{
    const uint64_t most[] = {200, 200, 5'000, 5'000, 20'000, 70'000, 300'000, 1'500'000};
    return static_cast<uint32_t>(1 + below(random, most[below(random, 8)]));
}

void echo(Client &client, uint16_t port, Random &random, uint32_t size)
{
    const uint64_t seed = random();
    Stream stream = stream_to(client, port, {Service::echo, size, seed});
    stream.will_send(pattern(size, seed), true);
    stream.will_receive(pattern(size, seed));
    while (!stream.has_all()) {
        stream.send_some(random);
        if (!stream.receive()) {
            break;
        }
    }
    stream.finish_sending(random);
    stream.receive_end();
    stream.close();
}

void download(Client &client, uint16_t port, Random &random)
{
    const Order order{Service::source, any_size(random), random()};
    Stream stream = stream_to(client, port, order);
    stream.will_receive(pattern(order.size, order.seed));
    const bool keep = below(random, 2);
    while (stream.receive(TCP_ERR_CLOSED, keep)) {
    }
    stream.receive_end();
    stream.close();
}

void upload(Client &client, uint16_t port, Random &random, Service service)
{
    const Order order{service, any_size(random), random()};
    Stream stream = stream_to(client, port, order);
    stream.will_send(pattern(order.size, order.seed), true);
    stream.will_receive("y");
    stream.finish_sending(random);
    stream.receive();
    stream.receive_end();
    stream.close();
}

// What comes before a reset may be less than what was sent, but nothing else.
void reset(Client &client, uint16_t port, Random &random)
{
    const Order order{Service::resetter, any_size(random), random()};
    Stream stream = stream_to(client, port, order);
    stream.will_receive(pattern(order.size, order.seed));
    while (stream.receive(TCP_ERR_READ_FAILED)) {
    }
    stream.close();
}

// The connection to a listener of the client's own. If the daemon is lost when the port of that is known, but the
// connect not yet made, the connect goes to the next daemon, and finds nobody who listens.
int64_t own_connection(Client &client, const Request &connect, int64_t listener)
{
    const Outcome outcome = client.take(connect);
    if (outcome.result == TCP_ERR_CONNECT_FAILED && Isolate::local(listener).port == 0) {
        throw Lost();
    }
    return client.handle_of(outcome);
}

// Both ends are handles of this isolate, and both send. `slowly`: one of them reads with pauses.
void pair(Client &client, Random &random, bool slowly)
{
    const int64_t listener = client.handle(client.listen());
    const Request accept = client.accept(listener);
    const uint16_t own_port = Isolate::local(listener).port;
    if (own_port == 0) {
        throw Lost(); // with the listener
    }
    const Request connect = client.connect(own_port);
    Stream near(client, own_connection(client, connect, listener));
    Stream far(client, client.handle(accept));
    const std::string there = pattern(any_size(random), random());
    const std::string back = pattern(any_size(random), random());
    near.will_send(there, true);
    far.will_receive(there);
    far.will_send(back, true);
    near.will_receive(back);
    while (!near.has_all() || !far.has_all()) {
        near.send_some(random);
        far.send_some(random);
        if (!far.has_all()) {
            far.receive(TCP_ERR_CLOSED, slowly);
        }
        if (slowly && below(random, 4) == 0) {
            std::this_thread::sleep_for(milliseconds(1));
        }
        if (!near.has_all()) {
            near.receive();
        }
    }
    near.finish_sending(random);
    far.finish_sending(random);
    near.receive_end();
    far.receive_end();
    near.close();
    far.close();
    client.expect(client.close_listener(listener), 0);
}

// Many connections that are closed while a read is pending, and a listener that is closed while accepts are.
void churn(Client &client, uint16_t port, Random &random)
{
    std::vector<Request> connects;
    for (uint64_t count = 2 + below(random, 10); count > 0; count--) {
        connects.push_back(client.connect(port));
    }
    const int64_t listener = client.handle(client.listen());
    const Request accepts[] = {client.accept(listener), client.accept(listener)};
    std::vector<std::pair<Request, int64_t>> ends;
    for (const Request &connect : connects) {
        const int64_t handle = client.handle(connect);
        ends.emplace_back(client.read(handle), TCP_ERR_CLOSED);
        ends.emplace_back(client.close(handle), 0);
    }
    ends.emplace_back(client.close_listener(listener), 0);
    for (const Request &accept : accepts) {
        ends.emplace_back(accept, TCP_ERR_CLOSED);
    }
    for (const auto &[request, result] : ends) {
        client.expect(request, result);
    }
}

// A listener that is there until it is closed, whatever becomes of the daemon. Its connections are not.
void outlive(Client &client, Random &random)
{
    const int64_t listener = client.lasting_handle(client.listen_durably());
    const Endpoint at = Isolate::local(listener);
    uint64_t visits = 1 + below(random, 5);
    Request accept = client.accept(listener);
    while (visits > 0) {
        try {
            Stream near(client, client.handle(client.connect_to(at)));
            Stream far(client, client.lasting_handle(accept));
            accept = client.accept(listener);
            const std::string bytes = pattern(1 + below(random, 20'000), random());
            near.will_send(bytes, true);
            far.will_receive(bytes);
            near.finish_sending(random);
            while (far.receive()) {
            }
            far.receive_end();
            near.close();
            far.close();
            visits--;
        } catch (const Lost &) {
            // An accept that has completed is of a connection that is lost.
            if (client.is_done(accept)) {
                client.lasting_handle(accept);
                accept = client.accept(listener);
            }
        }
    }
    client.expect(client.close_listener(listener), 0);
    client.expect(accept, TCP_ERR_CLOSED);
}

// Everything that can be pending is, and the exchange ends: whoever comes next has to clear up.
void leave_pending(Client &client, uint16_t port, Random &random)
{
    const uint32_t size = any_size(random);
    const int64_t listener = client.handle(client.listen());
    const int64_t durable = client.lasting_handle(client.listen_durably());
    const int64_t handle = client.handle(client.connect(port));
    client.accept(listener);
    client.accept(durable);
    client.listen_durably();
    client.read(handle);
    client.write(handle, Order{Service::sluggard, size, 1}.bytes());
    client.write(handle, pattern(size, 1));
    client.connect(port);
}
} // namespace

uint64_t below(Random &random, uint64_t end)
{
    return random() % end;
}

void knock(Client &client, uint16_t port, uint64_t seed)
{
    Random random(seed);
    echo(client, port, random, 1000);
}

void exchange(Client &client, uint16_t port, Random &random)
{
    switch (below(random, 14)) {
    case 0:
    case 1:
    case 2:
        echo(client, port, random, any_size(random));
        break;
    case 3:
    case 4:
        download(client, port, random);
        break;
    case 5:
        upload(client, port, random, Service::sink);
        break;
    case 6:
        upload(client, port, random, Service::sluggard);
        break;
    case 7:
        reset(client, port, random);
        break;
    case 8:
        pair(client, random, false);
        break;
    case 9:
        pair(client, random, true);
        break;
    case 10:
        churn(client, port, random);
        break;
    case 11:
    case 12:
        outlive(client, random);
        break;
    default:
        leave_pending(client, port, random);
    }
}
} // namespace chaos
