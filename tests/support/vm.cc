#include "tests/support/vm.h"

#include <atomic>
#include <cstdlib>
#include <map>
#include <pthread.h>
#include <utility>

namespace test_support
{
namespace
{
std::atomic<size_t> external_alive{0};

// Posters may be in the middle of a post while a test closes its port; the ports are found under a lock.
std::mutex ports_mutex;
std::map<int64_t, Port *> ports;
int64_t next_port = 0x7e57'0000'0001; // more than 32 bits, as the VM's are

// A test may fork while a post is under way; the child needs its ports too.
[[maybe_unused]] const int usable_in_children =
    pthread_atfork([] { ports_mutex.lock(); }, [] { ports_mutex.unlock(); }, [] { ports_mutex.unlock(); });

std::mutex violations_mutex;
std::vector<std::string> violations;

std::function<void()> asked_for_port;

thread_local vm::Identity current_isolate;
thread_local bool in_leaf = false;

bool is_external_uint8(const DartObject &object)
{
    return object.type == dart_external_typed_data && object.value.as_external_typed_data.type == dart_uint8;
}

constexpr intptr_t triple = 3;
constexpr intptr_t batch_max = 64; // of triples

// [request_id, result, data or null or errno]; anything else is a violation, and the triple is dropped.
std::optional<Message> parse(DartObject *const *values)
{
    if (values[0]->type != dart_int64 || values[1]->type != dart_int64) {
        vm::add_violation("a message does not begin with two numbers of 64 bits");
        return {};
    }
    Message message{values[0]->value.as_int64, values[1]->value.as_int64, nullptr, {}, {}};
    const DartObject &third = *values[2];
    if (is_external_uint8(third)) {
        const auto &bytes = third.value.as_external_typed_data;
        if (!bytes.callback) {
            vm::add_violation("external typed data has no finalizer");
            return {};
        }
        message.data =
            std::make_shared<ExternalBytes>(bytes.data, static_cast<size_t>(bytes.length), bytes.peer, bytes.callback);
        if (message.result != bytes.length) {
            vm::add_violation("a message's result is not the length of its data");
        }
    } else if (third.type == dart_typed_data && third.value.as_external_typed_data.type == dart_uint8) {
        const auto &bytes = third.value.as_external_typed_data; // the first members are the same
        message.copied.assign(reinterpret_cast<const char *>(bytes.data), static_cast<size_t>(bytes.length));
    } else if (third.type == dart_int64) {
        message.os_error = third.value.as_int64;
    } else if (third.type != dart_null) {
        vm::add_violation("a message ends with an object of type " + std::to_string(third.type));
    }
    return message;
}

// One triple, or several one after the other; anything else is a violation, and the message is dropped.
std::vector<Message> parse_post(const DartObject &object, bool batches_allowed)
{
    const intptr_t length = object.type == dart_array ? object.value.as_array.length : 0;
    if (length <= 0 || length % triple != 0 || length > (batches_allowed ? batch_max * triple : triple)) {
        vm::add_violation(std::string("a message is not an array of ") + (batches_allowed ? "triples" : "three"));
        return {};
    }
    std::vector<Message> messages;
    for (intptr_t at = 0; at < length; at += triple) {
        if (auto message = parse(object.value.as_array.values + at)) {
            message->together = static_cast<size_t>(length / triple);
            messages.push_back(std::move(*message));
        }
    }
    return messages;
}

bool post_cobject(int64_t number, DartObject *object)
{
    if (in_leaf) {
        vm::add_violation("Dart_PostCObject was called from a leaf call");
    }
    const std::lock_guard<std::mutex> lock(ports_mutex);
    const auto port = ports.find(number);
    return port != ports.end() && port->second->post(*object);
}

void *get_current_isolate()
{
    if (in_leaf) {
        vm::add_violation("Dart_CurrentIsolate was called from a leaf call");
    }
    return current_isolate.address;
}

// Scopes, and a send port as a local object of the scope: enough to ask whether a port is open.
thread_local int scopes = 0;
thread_local int64_t local_send_port = 0;

void enter_scope()
{
    if (in_leaf || !current_isolate.address) {
        vm::add_violation("Dart_EnterScope was called from a leaf call, or outside of any isolate");
    }
    scopes++;
}

void exit_scope()
{
    scopes--;
}

int64_t *new_send_port(int64_t number)
{
    if (scopes <= 0) {
        vm::add_violation("Dart_NewSendPort was called outside of a scope");
    }
    local_send_port = number;
    if (asked_for_port) {
        asked_for_port();
    }
    return &local_send_port;
}

struct PortAndOrigin {
    int64_t port;
    int64_t origin;
};

int64_t *get_port_and_origin(const int64_t *send_port, PortAndOrigin *found)
{
    const std::lock_guard<std::mutex> lock(ports_mutex);
    const auto port = ports.find(*send_port);
    *found = {*send_port, port != ports.end() && port->second->is_open() ? 1 : 0};
    return nullptr;
}

void must_not_be_called()
{
    vm::add_violation("a function of the VM was called that a library like this has no use for");
}

const DartEntry entries[] = {
    {"Dart_PostInteger", must_not_be_called},
    {"Dart_PostCObjectUnsafe", must_not_be_called},
    {"Dart_PostCObject", reinterpret_cast<void (*)()>(post_cobject)},
    {"Dart_CurrentIsolateGroup", must_not_be_called},
    {"Dart_CurrentIsolate", reinterpret_cast<void (*)()>(get_current_isolate)},
    {"Dart_EnterScope", enter_scope},
    {"Dart_ExitScope", exit_scope},
    {"Dart_NewSendPort", reinterpret_cast<void (*)()>(new_send_port)},
    {"Dart_SendPortGetId", must_not_be_called},
    {"Dart_SendPortGetIdEx", reinterpret_cast<void (*)()>(get_port_and_origin)},
    {"Dart_ExitIsolate", must_not_be_called},
    {nullptr, nullptr},
};

DartData dart_data{2, 5, entries};
} // namespace

ExternalBytes::ExternalBytes(uint8_t *data, size_t size, void *peer, DartFinalizer finalizer)
    : data_(data), size_(size), peer_(peer), finalizer_(finalizer)
{
    external_alive++;
}

ExternalBytes::~ExternalBytes()
{
    finalizer_(nullptr, peer_);
    external_alive--;
}

std::string_view ExternalBytes::bytes() const
{
    return {reinterpret_cast<const char *>(data_), size_};
}

size_t ExternalBytes::alive()
{
    return external_alive;
}

Port::Port()
{
    const std::lock_guard<std::mutex> lock(ports_mutex);
    number_ = next_port++;
    ports[number_] = this;
}

Port::~Port()
{
    const std::lock_guard<std::mutex> lock(ports_mutex);
    ports.erase(number_);
}

int64_t Port::number() const
{
    return number_;
}

void Port::close()
{
    const std::lock_guard<std::mutex> lock(mutex_);
    open_ = false;
}

std::deque<Message> Port::take(std::chrono::milliseconds limit)
{
    std::unique_lock<std::mutex> lock(mutex_);
    arrived_.wait_for(lock, limit, [this] { return !messages_.empty(); });
    return std::exchange(messages_, {});
}

bool Port::is_open() const
{
    const std::lock_guard<std::mutex> lock(mutex_);
    return open_;
}

size_t Port::posts_refused() const
{
    const std::lock_guard<std::mutex> lock(mutex_);
    return refused_;
}

void Port::allow_batches(bool allowed)
{
    const std::lock_guard<std::mutex> lock(mutex_);
    batches_allowed_ = allowed;
}

bool Port::post(const DartObject &object)
{
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!open_) {
        refused_++;
        return false;
    }
    for (Message &message : parse_post(object, batches_allowed_)) {
        messages_.push_back(std::move(message));
    }
    arrived_.notify_all();
    return true;
}

namespace vm
{
void *data()
{
    return &dart_data;
}

InIsolate::InIsolate(const Identity &isolate) : before_(std::exchange(current_isolate, isolate))
{
}

InIsolate::~InIsolate()
{
    current_isolate = before_;
}

InLeaf::InLeaf()
{
    in_leaf = true;
}

InLeaf::~InLeaf()
{
    in_leaf = false;
}

void while_asked_for_port(std::function<void()> action)
{
    asked_for_port = std::move(action);
}

void add_violation(const std::string &text)
{
    const std::lock_guard<std::mutex> lock(violations_mutex);
    violations.push_back(text);
}

std::vector<std::string> take_violations()
{
    const std::lock_guard<std::mutex> lock(violations_mutex);
    return std::exchange(violations, {});
}
} // namespace vm
} // namespace test_support
