// A stand-in for the Dart VM: what NativeApi.initializeApiDLData points to, native ports, and the current isolate.
//
// Ports queue what is posted to them. What breaks the rules of the native API or of the contract (a message of the
// wrong shape, a call of the VM from a leaf call) is a violation; the isolate that is concerned, or the next one that
// ends, fails the test for it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/dart_api.h"

namespace test_support
{
// External typed data of Uint8List, as a Dart program holds it. At the end of its life the finalizer runs.
class ExternalBytes
{
  public:
    ExternalBytes(uint8_t *data, size_t size, void *peer, DartFinalizer finalizer);
    ~ExternalBytes();
    ExternalBytes(const ExternalBytes &) = delete;
    ExternalBytes &operator=(const ExternalBytes &) = delete;

    std::string_view bytes() const;

    // How many there are now in the process.
    static size_t alive();

  private:
    uint8_t *data_;
    size_t size_;
    void *peer_;
    DartFinalizer finalizer_;
};

struct Message {
    int64_t request_id;
    int64_t result;
    std::shared_ptr<ExternalBytes> data; // null if the third element is not bytes
    std::optional<int64_t> os_error;     // the third element, if it is a number
    std::string copied;                  // the third element, if it is typed data that is the VM's
    size_t together = 1;                 // completions that came in the same post
};

// A native port. Any thread.
class Port
{
  public:
    Port();
    ~Port();
    Port(const Port &) = delete;
    Port &operator=(const Port &) = delete;

    int64_t number() const;
    // From now on posts fail, as those to a dead isolate do.
    void close();

    // Everything that has come since the last take, after waiting for one message if there is none.
    std::deque<Message> take(std::chrono::milliseconds limit);
    size_t posts_refused() const;
    // From now on a post may be of several triples, as with OCHE_FEATURE_BATCHED_POSTS; at first only of one.
    void allow_batches(bool allowed);

    // For the VM's side: false if the port is closed.
    bool is_open() const;
    bool post(const DartObject &object);

  private:
    int64_t number_;
    mutable std::mutex mutex_;
    std::condition_variable arrived_;
    bool open_ = true;
    bool batches_allowed_ = false;
    std::deque<Message> messages_;
    size_t refused_ = 0;
};

namespace vm
{
// The data of a VM as it should be, to be passed to tcp_init().
void *data();

// What the VM tells of the isolate that is calling.
struct Identity {
    void *address = nullptr; // Dart_CurrentIsolate(); null: none. Addresses are used again
};

// While it lives, this thread runs in that isolate.
class InIsolate
{
  public:
    explicit InIsolate(const Identity &isolate);
    ~InIsolate();
    InIsolate(const InIsolate &) = delete;
    InIsolate &operator=(const InIsolate &) = delete;

  private:
    Identity before_;
};

// While it lives, this thread is in a leaf call, from which the VM must not be called.
class InLeaf
{
  public:
    InLeaf();
    ~InLeaf();
    InLeaf(const InLeaf &) = delete;
    InLeaf &operator=(const InLeaf &) = delete;
};

// Runs whenever the library asks whether a port is open; empty: nothing. The VM may stop the asking thread there for as
// long as another one takes to run finalizers.
void while_asked_for_port(std::function<void()> action);

void add_violation(const std::string &text);
std::vector<std::string> take_violations();
} // namespace vm
} // namespace test_support
