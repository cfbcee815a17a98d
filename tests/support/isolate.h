// An isolate of the stand-in VM that uses the library: the tcp_* calls with request ids made up, and their outcomes.
//
// One thread at a time. Each call runs as the VM would run it: those that ask for the current isolate in it, those
// that may be leaf calls as leaf calls.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "oche/oche.h"
#include "oche/tcp_socket.h"
#include "tests/support/patience.h"
#include "tests/support/peer.h"
#include "tests/support/vm.h"

namespace test_support
{
// An asynchronous call that was made.
struct Request {
    int64_t id;
    int64_t returned; // by the call itself
    bool reads;       // so that it may complete with data
};

// How a request ended, whether the call refused it or its completion did.
struct Outcome {
    int64_t result;
    std::shared_ptr<ExternalBytes> data;
    std::optional<int64_t> os_error;
    bool refused_at_once;
    std::string endpoints; // with OCHE_FEATURE_ENDPOINTS, of a new socket

    std::string text() const;
};

struct ListenOptions {
    bool v6_only = false;
    int64_t backlog = 0;
    bool shared = false;
    bool durable = false; // with oche_isolate_listen()
};

class Isolate
{
  public:
    // `address` is what Dart_CurrentIsolate() shall return; null: one that no isolate had before.
    explicit Isolate(void *address = nullptr);
    // Ends the session, if one is open and the isolate is not dead. Fails the test for every violation, and for a
    // request that completed twice or although it was refused.
    ~Isolate();
    Isolate(const Isolate &) = delete;
    Isolate &operator=(const Isolate &) = delete;

    void *address() const;
    const Port &port() const;

    int64_t init();
    // init() that must succeed.
    void start();
    // With oche_isolate_open(), and oche_isolate_open_error().
    int64_t open();
    std::string open_error() const;
    int64_t destroy();
    // Ends as an isolate does that is killed: posts fail from now on, and nobody calls tcp_destroy().
    void die();
    // A new port in the place of the present one, whose messages are dropped. The next init() passes it.
    void replace_port();
    int64_t enable(int64_t features);

    Request connect(const Endpoint &to, const Endpoint &from = {});
    // With oche_isolate_connect().
    Request connect_within(const Endpoint &to, int64_t timeout_ms);
    int64_t cancel(const Request &request) const;
    Request listen(const Endpoint &at, const ListenOptions &options = {});
    Request accept(int64_t listener);
    Request read(int64_t handle);
    Request write(int64_t handle, std::string_view bytes);
    Request close_write(int64_t handle);
    Request close(int64_t handle);
    Request listener_close(int64_t listener, bool force);
    // With oche_isolate_abort().
    Request abort(int64_t handle);
    // With oche_isolate_set_...().
    Request set_keep_alive(int64_t handle, bool enabled);
    Request set_no_delay(int64_t handle, bool enabled);

    // A request that the test made itself, with an id from next_id().
    Request made(int64_t id, int64_t returned, bool reads = false);
    int64_t next_id();

    // Waits for the end of the request, and takes it. Fails the test when time is up.
    Outcome outcome(const Request &request, std::chrono::milliseconds limit = patience);
    int64_t result(const Request &request);
    // result() that must be positive.
    int64_t value(const Request &request);
    // True: it was queued, and has not completed even after a moment.
    bool is_pending(const Request &request, std::chrono::milliseconds limit = moment);

    // Messages that came and that no outcome() has taken.
    size_t untaken();
    // All requests so far have ended: only that they have is still known of them. Else a long life takes much memory.
    void forget();

    // Reads until `count` bytes have come, or a read fails; its code then is in *failure.
    std::string read_exactly(int64_t handle, size_t count, int64_t *failure = nullptr);
    // Reads until a read fails; the code is in *failure.
    std::string read_all(int64_t handle, int64_t *failure);

    // The getters; 0 as port and an empty address where they fail.
    static Endpoint local(int64_t handle);
    static Endpoint remote(int64_t handle);

    template <typename Call> auto inside(Call call) const
    {
        const vm::InIsolate here(identity_);
        return call();
    }

  private:
    template <typename Call> Request leaf(Call call, bool reads = false);
    // Moves what the port has into `completed_`.
    void collect(std::chrono::milliseconds limit);
    bool has(int64_t id, std::chrono::milliseconds limit);

    vm::Identity identity_;
    std::unique_ptr<Port> port_;
    bool dead_ = false;
    bool detail_ = false;
    int64_t last_id_ = 1000;
    int64_t forgotten_ = 0; // up to here, from 1
    std::map<int64_t, Message> completed_;
    std::set<int64_t> ended_; // ids that have completed or were refused, beyond what is forgotten
};

// Calls as the VM makes leaf calls.
template <typename Call> auto as_leaf(Call call)
{
    const vm::InLeaf leaf;
    return call();
}
} // namespace test_support
