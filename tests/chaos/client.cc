#include "tests/chaos/client.h"

#include <algorithm>
#include <ctime>
#include <unistd.h>

#include "tests/support/report.h"

using namespace test_support;

namespace chaos
{
namespace
{
constexpr int attempts = 3; // to open a session, while the daemon may be stopped

void raise(std::atomic<int64_t> &most, int64_t value)
{
    int64_t before = most;
    while (before < value && !most.compare_exchange_weak(before, value)) {
    }
}

std::runtime_error unexpected(const std::string &what, int64_t result)
{
    return std::runtime_error(what + " with " + (result < 0 ? oche_error_name(result) : std::to_string(result)));
}
} // namespace

int64_t now()
{
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<int64_t>(time.tv_sec) * 1'000'000 + time.tv_nsec / 1000;
}

Client::Client(Books &books) : books_(books)
{
}

Client::~Client()
{
    end(false);
}

void Client::begin()
{
    isolate_ = std::make_unique<Isolate>();
    for (int attempt = 1;; attempt++) {
        const int64_t start = now();
        const int64_t result = isolate_->init();
        raise(books_.slowest_open, now() - start);
        if (result == 0) {
            return;
        }
        if (result != TCP_ERR_DAEMON_UNAVAILABLE || attempt == attempts) {
            const std::string why = oche_last_error();
            isolate_.reset();
            throw std::runtime_error(std::string("tcp_init returns ") + oche_error_name(result) + ": " + why);
        }
        books_.held_up++;
    }
}

void Client::end(bool finalized)
{
    if (!is_begun()) {
        return;
    }
    if (finalized) {
        settle();
        void *guard = isolate_->inside([] { return oche_isolate_guard(); });
        isolate_->die();
        oche_isolate_release(guard);
    } else {
        const int64_t result = isolate_->destroy();
        if (result != 0) {
            report_failure(std::string("tcp_destroy returns ") + oche_error_name(result));
        }
        connections_.clear();
        listeners_.clear();
        for (const Request &request : std::exchange(pending_, {})) {
            if (isolate_->is_pending(request, std::chrono::milliseconds(0))) {
                report_failure("tcp_destroy returns, and a request has not completed");
                continue;
            }
            isolate_->outcome(request);
            books_.completions++;
        }
        if (isolate_->untaken() > 0) {
            report_failure("completions without a request");
        }
    }
    isolate_.reset();
    connects_.clear();
    listens_.clear();
}

bool Client::is_begun() const
{
    return isolate_ != nullptr;
}

template <typename Call> Request Client::call(Call make)
{
    const int64_t start = now();
    const Request request = make();
    raise(books_.slowest_call, now() - start);
    if (request.returned == 0) {
        books_.requests++;
        pending_.push_back(request);
    } else {
        books_.refusals++;
    }
    return request;
}

Request Client::connect(uint16_t port)
{
    return connect_to({loopback4(), port});
}

Request Client::connect_to(const Endpoint &to)
{
    const Request request = call([&] { return isolate_->connect(to); });
    connects_.insert(request.id);
    return request;
}

Request Client::listen()
{
    const Request request = call([&] { return isolate_->listen({loopback4(), 0}); });
    listens_.insert(request.id);
    return request;
}

Request Client::listen_durably()
{
    static std::atomic<unsigned> listeners{0};
    const unsigned number = listeners++;
    const auto process = static_cast<unsigned>(getpid());
    const Address own{127, static_cast<uint8_t>(1 + number % 250), static_cast<uint8_t>(process >> 8),
                      static_cast<uint8_t>(process)};
    ListenOptions options;
    options.durable = true;
    const Request request = call([&] { return isolate_->listen({own, 0}, options); });
    listens_.insert(request.id);
    return request;
}

Request Client::accept(int64_t listener)
{
    const Request request = call([&] { return isolate_->accept(listener); });
    connects_.insert(request.id);
    return request;
}

Request Client::read(int64_t handle)
{
    return call([&] { return isolate_->read(handle); });
}

Request Client::write(int64_t handle, std::string_view bytes)
{
    return call([&] { return isolate_->write(handle, bytes); });
}

Request Client::close_write(int64_t handle)
{
    return call([&] { return isolate_->close_write(handle); });
}

Request Client::close(int64_t handle)
{
    connections_.erase(handle);
    return call([&] { return isolate_->close(handle); });
}

Request Client::close_listener(int64_t listener)
{
    listeners_.erase(listener);
    return call([&] { return isolate_->listener_close(listener, false); });
}

Outcome Client::take(const Request &request)
{
    const Outcome outcome = isolate_->outcome(request, endurance);
    if (!outcome.refused_at_once) {
        books_.completions++;
        pending_.remove_if([&](const Request &other) { return other.id == request.id; });
    }
    if (connects_.erase(request.id) && outcome.result > 0) {
        connections_.insert(outcome.result);
    }
    if (listens_.erase(request.id) && outcome.result > 0) {
        listeners_.insert(outcome.result);
    }
    return outcome;
}

void Client::expect(const Request &request, int64_t result)
{
    const Outcome outcome = take(request);
    // A handle is open as far as we know: only with the daemon has it gone.
    if (outcome.result == TCP_ERR_DAEMON_LOST || outcome.result == TCP_ERR_INVALID_HANDLE) {
        throw Lost();
    }
    if (outcome.result != result) {
        throw unexpected("a request that must complete with " + std::to_string(result) + " completes", outcome.result);
    }
}

int64_t Client::handle(const Request &request)
{
    return handle_of(take(request));
}

int64_t Client::handle_of(const Outcome &outcome)
{
    if (outcome.result == TCP_ERR_DAEMON_LOST || outcome.result == TCP_ERR_INVALID_HANDLE) {
        throw Lost();
    }
    if (outcome.result <= 0) {
        throw unexpected("a request for a handle completes", outcome.result);
    }
    return outcome.result;
}

int64_t Client::lasting_handle(const Request &request)
{
    const Outcome outcome = take(request);
    if (outcome.result <= 0) {
        throw unexpected("a request that outlives the daemon completes", outcome.result);
    }
    return outcome.result;
}

bool Client::is_done(const Request &request)
{
    return !isolate_->is_pending(request, std::chrono::milliseconds(0));
}

void Client::settle()
{
    do {
        for (const int64_t listener : std::set<int64_t>(listeners_)) {
            close_listener(listener);
        }
        for (const int64_t handle : std::set<int64_t>(connections_)) {
            close(handle);
        }
        for (const Request &request : std::list<Request>(pending_)) {
            take(request);
        }
    } while (!connections_.empty() || !listeners_.empty());
    if (isolate_->untaken() > 0) {
        report_failure("completions without a request");
    }
    isolate_->forget();
}

Books &Client::books()
{
    return books_;
}
} // namespace chaos
