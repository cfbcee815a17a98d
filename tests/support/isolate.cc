#include "tests/support/isolate.h"

#include <atomic>
#include <stdexcept>

#include "tests/support/report.h"

namespace test_support
{
namespace
{
vm::Identity new_identity(void *address)
{
    static std::atomic<int64_t> count{0};
    const int64_t number = ++count;
    return {address ? address : reinterpret_cast<void *>(static_cast<uintptr_t>(0x10000 + 64 * number))};
}

const uint8_t *data_or_null(const Address &address)
{
    return address.empty() ? nullptr : address.data();
}

Endpoint endpoint(int64_t handle, int64_t (*get_address)(int64_t, uint8_t *), int64_t (*get_port)(int64_t))
{
    return as_leaf([&] {
        uint8_t bytes[16];
        const int64_t length = get_address(handle, bytes);
        const int64_t port = get_port(handle);
        return Endpoint{Address(bytes, bytes + std::max<int64_t>(length, 0)),
                        static_cast<uint16_t>(std::max<int64_t>(port, 0))};
    });
}
} // namespace

std::string Outcome::text() const
{
    return data ? std::string(data->bytes()) : "";
}

Isolate::Isolate(void *address) : identity_(new_identity(address)), port_(std::make_unique<Port>())
{
}

Isolate::~Isolate()
{
    if (!dead_) {
        const int64_t result = destroy();
        if (result != 0 && result != TCP_ERR_NOT_INITIALIZED) {
            report_failure("tcp_destroy returns " + std::to_string(result));
        }
    }
    collect(std::chrono::milliseconds(0));
    for (const auto &violation : vm::take_violations()) {
        report_failure(violation);
    }
}

void *Isolate::address() const
{
    return identity_.address;
}

const Port &Isolate::port() const
{
    return *port_;
}

int64_t Isolate::init()
{
    return inside([&] { return tcp_init(vm::data(), port_->number()); });
}

void Isolate::start()
{
    const int64_t result = init();
    if (result != 0) {
        throw std::runtime_error("tcp_init returns " + std::to_string(result) + ": " + oche_last_error());
    }
}

int64_t Isolate::open()
{
    return inside([&] { return oche_isolate_open(vm::data(), port_->number()); });
}

std::string Isolate::open_error() const
{
    return inside([] { return oche_isolate_open_error(); });
}

int64_t Isolate::destroy()
{
    return inside([] { return tcp_destroy(); });
}

void Isolate::die()
{
    dead_ = true;
    port_->close();
}

void Isolate::replace_port()
{
    port_ = std::make_unique<Port>();
}

int64_t Isolate::enable(int64_t features)
{
    const int64_t result = inside([&] { return oche_isolate_enable(features); });
    if (result == 0) {
        detail_ = features & OCHE_FEATURE_ERROR_DETAIL;
    }
    return result;
}

Request Isolate::connect(const Endpoint &to, const Endpoint &from)
{
    const int64_t id = next_id();
    return made(id, inside([&] {
                    return tcp_connect(id, data_or_null(to.address), static_cast<int64_t>(to.address.size()), to.port,
                                       data_or_null(from.address), static_cast<int64_t>(from.address.size()),
                                       from.port);
                }));
}

Request Isolate::connect_within(const Endpoint &to, int64_t timeout_ms)
{
    const int64_t id = next_id();
    return made(id, inside([&] {
                    return oche_isolate_connect(id, data_or_null(to.address), static_cast<int64_t>(to.address.size()),
                                                to.port, nullptr, 0, 0, timeout_ms);
                }));
}

int64_t Isolate::cancel(const Request &request) const
{
    return inside([&] { return oche_isolate_cancel(request.id); });
}

Request Isolate::listen(const Endpoint &at, const ListenOptions &options)
{
    const int64_t id = next_id();
    const auto length = static_cast<int64_t>(at.address.size());
    return made(id, inside([&] {
                    return options.durable ? oche_isolate_listen(id, data_or_null(at.address), length, at.port,
                                                                 options.v6_only, options.backlog, options.shared, true)
                                           : tcp_listen(id, data_or_null(at.address), length, at.port, options.v6_only,
                                                        options.backlog, options.shared);
                }));
}

Request Isolate::accept(int64_t listener)
{
    return leaf([&](int64_t id) { return tcp_accept(id, listener); });
}

Request Isolate::read(int64_t handle)
{
    return leaf([&](int64_t id) { return tcp_read(id, handle); }, true);
}

Request Isolate::write(int64_t handle, std::string_view bytes)
{
    return leaf([&](int64_t id) {
        return tcp_write(id, handle, reinterpret_cast<const uint8_t *>(bytes.data()), 0,
                         static_cast<int64_t>(bytes.size()));
    });
}

Request Isolate::close_write(int64_t handle)
{
    return leaf([&](int64_t id) { return tcp_close_write(id, handle); });
}

Request Isolate::close(int64_t handle)
{
    return leaf([&](int64_t id) { return tcp_close(id, handle); });
}

Request Isolate::abort(int64_t handle)
{
    return leaf([&](int64_t id) { return oche_isolate_abort(id, handle); });
}

Request Isolate::listener_close(int64_t listener, bool force)
{
    return leaf([&](int64_t id) { return tcp_listener_close(id, listener, force); });
}

Request Isolate::set_keep_alive(int64_t handle, bool enabled)
{
    return leaf([&](int64_t id) { return oche_isolate_set_keep_alive(id, handle, enabled); });
}

Request Isolate::set_no_delay(int64_t handle, bool enabled)
{
    return leaf([&](int64_t id) { return oche_isolate_set_no_delay(id, handle, enabled); });
}

Request Isolate::made(int64_t id, int64_t returned, bool reads)
{
    if (returned > 0) {
        report_failure("an asynchronous call returned " + std::to_string(returned));
    }
    if (returned < 0) {
        ended_.insert(id);
    }
    return {id, returned, reads};
}

int64_t Isolate::next_id()
{
    return ++last_id_;
}

Outcome Isolate::outcome(const Request &request, std::chrono::milliseconds limit)
{
    if (request.returned < 0) {
        return {request.returned, nullptr, {}, true, {}};
    }
    if (!has(request.id, limit)) {
        throw std::runtime_error("a request does not complete");
    }
    const auto node = completed_.extract(request.id);
    const Message &message = node.mapped();
    if (message.data && (!request.reads || message.result <= 0)) {
        report_failure("data came with the result " + std::to_string(message.result) +
                       (request.reads ? " of a read" : ""));
    }
    if (request.reads && message.result >= 0 && !message.data) {
        report_failure("a read succeeded without data");
    }
    return {message.result, message.data, message.os_error, false, message.copied};
}

int64_t Isolate::result(const Request &request)
{
    return outcome(request).result;
}

int64_t Isolate::value(const Request &request)
{
    const Outcome end = outcome(request);
    if (end.result <= 0) {
        throw std::runtime_error(std::string("a request that must succeed completes with ") +
                                 (end.result ? oche_error_name(end.result) : "0"));
    }
    return end.result;
}

bool Isolate::is_pending(const Request &request, std::chrono::milliseconds limit)
{
    return request.returned == 0 && !has(request.id, limit);
}

size_t Isolate::untaken()
{
    collect(std::chrono::milliseconds(0));
    return completed_.size();
}

void Isolate::forget()
{
    forgotten_ = last_id_;
    completed_.clear();
    ended_.clear();
}

std::string Isolate::read_exactly(int64_t handle, size_t count, int64_t *failure)
{
    std::string bytes;
    while (bytes.size() < count) {
        const Outcome end = outcome(read(handle));
        if (end.result <= 0) {
            if (!failure) {
                throw std::runtime_error(std::string("a read that must succeed completes with ") +
                                         oche_error_name(end.result));
            }
            *failure = end.result;
            break;
        }
        bytes += end.data->bytes();
    }
    return bytes;
}

std::string Isolate::read_all(int64_t handle, int64_t *failure)
{
    return read_exactly(handle, SIZE_MAX, failure);
}

Endpoint Isolate::local(int64_t handle)
{
    return endpoint(handle, tcp_get_local_address, tcp_get_local_port);
}

Endpoint Isolate::remote(int64_t handle)
{
    return endpoint(handle, tcp_get_remote_address, tcp_get_remote_port);
}

template <typename Call> Request Isolate::leaf(Call call, bool reads)
{
    const int64_t id = next_id();
    return made(id, inside([&] { return as_leaf([&] { return call(id); }); }), reads);
}

void Isolate::collect(std::chrono::milliseconds limit)
{
    for (Message &message : port_->take(limit)) {
        const int64_t id = message.request_id;
        if ((id > 0 && id <= forgotten_) || !ended_.insert(id).second) {
            report_failure("request " + std::to_string(id) + " completes a second time, with " +
                           std::to_string(message.result));
        }
        if (message.os_error.has_value() != (detail_ && message.result < 0)) {
            report_failure(std::string("error detail ") + (message.os_error ? "came" : "is missing") +
                           " with the result " + std::to_string(message.result));
        }
        completed_.emplace(id, std::move(message));
    }
}

bool Isolate::has(int64_t id, std::chrono::milliseconds limit)
{
    const auto deadline = Clock::now() + limit;
    collect(std::chrono::milliseconds(0));
    while (!completed_.count(id)) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
        if (left.count() <= 0) {
            return false;
        }
        collect(left);
    }
    return true;
}
} // namespace test_support
