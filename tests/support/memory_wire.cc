#include "tests/support/memory_wire.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>

// The macros of generated code are not ours to be strict with.
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "proto/oche.pb-c.h"

namespace test_support
{
namespace
{
constexpr size_t descriptor_count = 3;

WireFrame hello_with_memory(uint32_t arena)
{
    std::string software = "test 1";
    Oche__Hello hello = OCHE__HELLO__INIT;
    hello.version_min = FRAME_VERSION_MIN;
    hello.version_max = FRAME_VERSION_MAX;
    hello.software = software.data();
    hello.memory = true;
    hello.arena = arena;
    WireFrame frame = plain_frame(FRAME_HELLO);
    frame.body.resize(oche__hello__get_packed_size(&hello));
    oche__hello__pack(&hello, reinterpret_cast<uint8_t *>(frame.body.data()));
    return frame;
}

// The header of the first frame, and the descriptors that come with it.
std::string receive_header(int fd, int (&descriptors)[descriptor_count])
{
    pollfd waited{fd, POLLIN, 0};
    poll(&waited, 1, static_cast<int>(patience.count()));
    std::string header(FRAME_HEADER_SIZE, '\0');
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof descriptors)];
    iovec part{header.data(), header.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t count = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    const cmsghdr *first = count > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
    if (count != FRAME_HEADER_SIZE || !first || first->cmsg_type != SCM_RIGHTS ||
        first->cmsg_len != CMSG_LEN(sizeof descriptors)) {
        throw std::runtime_error("no three descriptors come with the daemon's welcome");
    }
    memcpy(descriptors, CMSG_DATA(first), sizeof descriptors);
    return header;
}

std::string receive_body(int fd, size_t size)
{
    std::string body(size, '\0');
    const ssize_t count = recv(fd, body.data(), size, MSG_WAITALL);
    if (count < 0 || static_cast<size_t>(count) != size) {
        throw std::runtime_error("the daemon's welcome is cut off");
    }
    return body;
}
} // namespace

MemoryWire::MemoryWire(const std::string &socket_path, uint32_t arena) : socket_(socket_path)
{
    socket_.send(hello_with_memory(arena));
    int descriptors[descriptor_count];
    const std::string header = receive_header(socket_.fd(), descriptors);
    memory_fd_ = Descriptor(descriptors[0]);
    own_bell_ = Descriptor(descriptors[1]);
    daemon_bell_ = Descriptor(descriptors[2]);
    frame frame{};
    if (frame_decode(&frame, reinterpret_cast<const uint8_t *>(header.data())) != 0 || frame.value != 0) {
        throw std::runtime_error("the daemon does not answer a good hello");
    }
    take_welcome(receive_body(socket_.fd(), frame.body_length));
    void *const mapped = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd_.get(), 0);
    if (mapped == MAP_FAILED) {
        throw std::system_error(errno, std::generic_category(), "mmap of the daemon's memory");
    }
    base_ = static_cast<uint8_t *>(mapped);
    memory_map_init(&map_, base_, &sizes_);
    ring_producer_init(&requests_, map_.request_control, map_.request_ring, sizes_.request_ring);
    ring_consumer_init(&replies_, map_.reply_control, map_.reply_ring, sizes_.reply_ring);
}

MemoryWire::~MemoryWire()
{
    munmap(base_, size_);
}

void MemoryWire::take_welcome(const std::string &body)
{
    Oche__Welcome *welcome =
        oche__welcome__unpack(nullptr, body.size(), reinterpret_cast<const uint8_t *>(body.data()));
    if (!welcome || !welcome->memory) {
        throw std::runtime_error("the daemon's welcome has no memory");
    }
    const Oche__Memory &memory = *welcome->memory;
    sizes_ = {memory.request_ring, memory.reply_ring, memory.receive_arena, memory.send_arena};
    oche__welcome__free_unpacked(welcome, nullptr);
    size_ = memory_total(&sizes_);
}

bool MemoryWire::put_bytes(std::string_view record)
{
    uint8_t *room = ring_reserve(&requests_, static_cast<uint32_t>(record.size()));
    if (!room) {
        return false;
    }
    memcpy(room, record.data(), record.size());
    ring_commit(&requests_, static_cast<uint32_t>(record.size()));
    return true;
}

bool MemoryWire::put(WireFrame frame)
{
    frame.header.body_length = static_cast<uint16_t>(frame.body.size());
    if (!(frame.header.flags & FRAME_IN_ARENA)) {
        frame.header.payload_length = static_cast<uint32_t>(frame.payload.size());
    }
    return put_bytes(encoded(frame.header) + frame.body + frame.payload);
}

void MemoryWire::send(WireFrame frame)
{
    if (!eventually([&] { return put(frame); })) {
        throw std::runtime_error("there is no room in the ring of requests");
    }
    publish();
}

void MemoryWire::publish()
{
    if (ring_publish(&requests_)) {
        ring_daemon();
    }
}

void MemoryWire::ring_daemon() const
{
    const uint64_t one = 1;
    // EAGAIN: the bell is as loud as it can be.
    if (write(daemon_bell_.get(), &one, sizeof one) < 0 && errno != EAGAIN) {
        throw std::system_error(errno, std::generic_category(), "the daemon's bell");
    }
}

std::optional<WireFrame> MemoryWire::next()
{
    const uint8_t *record = nullptr;
    uint32_t size = 0;
    const int condition = ring_next(&replies_, &record, &size);
    if (condition == RING_EMPTY) {
        return {};
    }
    WireFrame result;
    if (condition != RING_RECORD || size < FRAME_HEADER_SIZE || frame_decode(&result.header, record) != 0) {
        throw std::runtime_error("the daemon writes nonsense into the ring of replies");
    }
    const char *bytes = reinterpret_cast<const char *>(record) + FRAME_HEADER_SIZE;
    result.body.assign(bytes, result.header.body_length);
    if (result.header.opcode == FRAME_RELEASE) {
        return result;
    }
    if (result.header.flags & FRAME_IN_ARENA) {
        bytes = reinterpret_cast<const char *>(map_.receive_arena) + result.header.payload_offset;
    } else {
        bytes += result.header.body_length;
    }
    result.payload.assign(bytes, result.header.payload_length);
    return result;
}

void MemoryWire::wait(Clock::time_point deadline) const
{
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd waited[] = {{own_bell_.get(), POLLIN, 0}, {socket_.fd(), POLLIN | POLLRDHUP, 0}};
    poll(waited, 2, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    char rings[64];
    if ((waited[0].revents & POLLIN) && read(own_bell_.get(), rings, sizeof rings) < 0) {
        throw std::system_error(errno, std::generic_category(), "our own bell");
    }
}

std::optional<WireFrame> MemoryWire::receive(std::chrono::milliseconds limit)
{
    const auto deadline = Clock::now() + limit;
    while (true) {
        if (auto frame = next()) {
            return frame;
        }
        if (ring_release(&replies_)) {
            ring_daemon();
        }
        if (!ring_sleep(&replies_)) {
            continue;
        }
        if (Clock::now() >= deadline || socket_.is_dropped(std::chrono::milliseconds(0))) {
            return {};
        }
        wait(deadline);
    }
}

std::optional<WireFrame> MemoryWire::ask(const WireFrame &frame)
{
    send(frame);
    return receive();
}

void MemoryWire::release(uint32_t offset, uint32_t length)
{
    WireFrame frame = plain_frame(FRAME_RELEASE);
    frame.header.flags = FRAME_IN_ARENA;
    frame.header.payload_offset = offset;
    frame.header.payload_length = length;
    send(frame);
}

int64_t MemoryWire::connect(uint16_t port)
{
    const auto reply = ask(connect_frame(1, {loopback4(), port}));
    if (!reply || reply->header.opcode != FRAME_CONNECT || reply->header.value <= 0) {
        throw std::runtime_error("a connect on the memory lane fails");
    }
    return reply->header.value;
}

bool MemoryWire::is_served()
{
    const auto reply = ask(plain_frame(FRAME_STATISTICS, 4711));
    return reply && reply->header.opcode == FRAME_STATISTICS && reply->header.request_id == 4711;
}

bool MemoryWire::is_dropped(std::chrono::milliseconds limit) const
{
    return socket_.is_dropped(limit);
}

const Wire &MemoryWire::socket() const
{
    return socket_;
}

int MemoryWire::memory_fd() const
{
    return memory_fd_.get();
}

int MemoryWire::own_bell() const
{
    return own_bell_.get();
}

void MemoryWire::close_own_bell()
{
    own_bell_.reset();
}

int MemoryWire::daemon_bell() const
{
    return daemon_bell_.get();
}

const memory_sizes &MemoryWire::sizes() const
{
    return sizes_;
}

const memory_map &MemoryWire::map() const
{
    return map_;
}

uint8_t *MemoryWire::base() const
{
    return base_;
}

size_t MemoryWire::size() const
{
    return size_;
}

ring_producer &MemoryWire::requests()
{
    return requests_;
}

void store(uint32_t &shared, uint32_t value)
{
    __atomic_store_n(&shared, value, __ATOMIC_SEQ_CST);
}

uint32_t load(const uint32_t &shared)
{
    return __atomic_load_n(&shared, __ATOMIC_SEQ_CST);
}
} // namespace test_support
