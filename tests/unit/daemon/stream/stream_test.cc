// Streams: a filter on a socket's stream, and on a filter; bytes that are given back.

#include <catch2/catch.hpp>

#include "tests/unit/daemon/stream/ends.h"

#include <algorithm>
#include <string>
#include <utility>

using namespace test_support;

namespace
{

std::string shifted(std::string text)
{
    for (char &c : text) {
        c = static_cast<char>(c ^ 0x20);
    }
    return text;
}

// A filter with all that one may have: it turns bytes into others, receives more than its owner has room for, and sends
// its owner's bytes in portions of its own.
struct Shifting {
    stream base{}; // first: the stream that the owner knows
    stream *below;
    engine_work work{};
    std::string incoming;
    std::array<char, 16> room{};
    bool is_wanted = false; // the owner has a receive under way
    bool is_held = false;   // which it had no room for
    bool is_receiving = false;
    std::string outgoing;
    size_t portion = 0; // bytes of the owner's that are in `outgoing`

    Shifting(stream *below_, time_slice *slice) : below(below_)
    {
        list_init(&work.node);
        work.slice = slice;
        work.run = [](engine_work *work_) {
            reinterpret_cast<Shifting *>(reinterpret_cast<char *>(work_) - offsetof(Shifting, work))->deliver();
        };
        stream_put_on(&base, &made_kind, below, &made_user);
    }

    static stream *make(stream *below, time_slice *slice)
    {
        return &(new Shifting(below, slice))->base;
    }

    static Shifting *of(void *object)
    {
        return static_cast<Shifting *>(object);
    }
    static Shifting *of(stream *object)
    {
        return reinterpret_cast<Shifting *>(object);
    }

    void deliver()
    {
        if (!is_wanted || is_held) {
            return;
        }
        size_t size = 0;
        uint8_t *to = base.user->room(base.owner, &size);
        is_held = !to;
        if (is_held) {
            return;
        }
        const size_t count = std::min(size, incoming.size());
        std::copy_n(incoming.begin(), count, to);
        incoming.erase(0, count);
        is_wanted = false;
        base.user->received(base.owner, static_cast<ssize_t>(count));
    }

    // ---- what the owner asks for ----

    static void receive(stream *object)
    {
        Shifting *self = of(object);
        self->is_wanted = true;
        if (!self->incoming.empty()) {
            engine_work_submit(&self->work);
        } else if (!std::exchange(self->is_receiving, true)) {
            stream_receive(self->below);
        }
    }
    static void receive_retry(stream *object)
    {
        if (std::exchange(of(object)->is_held, false)) {
            engine_work_submit(&of(object)->work);
        }
    }
    static bool receive_withdraw(stream *object)
    {
        of(object)->is_wanted = of(object)->is_held = false;
        return true;
    }
    static int push_back(stream *object, const void *bytes, size_t size)
    {
        of(object)->incoming.insert(0, static_cast<const char *>(bytes), size);
        return 0;
    }
    static void send(stream *object)
    {
        stream_send(of(object)->below);
    }
    static void send_withdraw(stream *object)
    {
        stream_send_withdraw(of(object)->below);
    }
    static int shut_down(stream *object)
    {
        return stream_shut_down(of(object)->below);
    }
    static bool holds(const stream *object)
    {
        return !reinterpret_cast<const Shifting *>(object)->outgoing.empty();
    }
    static void watch_break(stream *object)
    {
        stream_watch_break(of(object)->below);
    }
    static void close(stream *object, stream_end end)
    {
        engine_work_cancel(&of(object)->work);
        stream_close(of(object)->below, end);
    }

    // ---- what the stream below asks for and tells ----

    static uint8_t *on_room(void *owner, size_t *size)
    {
        *size = of(owner)->room.size();
        return reinterpret_cast<uint8_t *>(of(owner)->room.data());
    }
    static void on_room_unused(void *)
    {
    }
    static void on_received(void *owner, ssize_t result)
    {
        Shifting *self = of(owner);
        self->is_receiving = false;
        if (result <= 0) {
            self->is_wanted = false;
            self->base.user->received(self->base.owner, result);
            return;
        }
        self->incoming += shifted({self->room.data(), static_cast<size_t>(result)});
        self->deliver();
    }
    static int on_vectors(void *owner, iovec *vectors, int)
    {
        Shifting *self = of(owner);
        if (self->outgoing.empty()) {
            iovec wanted{};
            REQUIRE(self->base.user->vectors(self->base.owner, &wanted, 1) == 1);
            self->portion = std::min<size_t>(wanted.iov_len, 8);
            self->outgoing = shifted({static_cast<char *>(wanted.iov_base), self->portion});
        }
        vectors[0] = {self->outgoing.data(), self->outgoing.size()};
        return 1;
    }
    static void on_sent(void *owner, ssize_t result)
    {
        Shifting *self = of(owner);
        if (result >= 0) {
            self->outgoing.erase(0, static_cast<size_t>(result));
            if (!self->outgoing.empty()) {
                stream_send(self->below);
                return;
            }
            result = static_cast<ssize_t>(self->portion);
        }
        self->base.user->sent(self->base.owner, result);
    }
    static void on_bytes_unused(void *owner)
    {
        of(owner)->base.user->bytes_unused(of(owner)->base.owner);
    }
    static void on_broke(void *owner, int os_error)
    {
        of(owner)->base.user->broke(of(owner)->base.owner, os_error);
    }
    static void on_closed(void *owner)
    {
        const stream base = of(owner)->base;
        delete of(owner);
        base.user->closed(base.owner);
    }

    static const stream_kind made_kind;
    static const stream_user made_user;
};

const stream_kind Shifting::made_kind = {Shifting::receive,   Shifting::receive_retry, Shifting::receive_withdraw,
                                         Shifting::push_back, Shifting::send,          Shifting::send_withdraw,
                                         Shifting::shut_down, Shifting::holds,         Shifting::watch_break,
                                         Shifting::close};
const stream_user Shifting::made_user = {
    nullptr,           Shifting::on_room,         Shifting::on_received, Shifting::on_room_unused, Shifting::on_vectors,
    Shifting::on_sent, Shifting::on_bytes_unused, Shifting::on_broke,    Shifting::on_closed};

} // namespace

TEST_CASE("a filter turns bytes into others on their way out, and back on their way in")
{
    WITH_EACH_METHOD()
    Connected ends(method);
    ends.one.put_on(Shifting::make);
    const std::string there = a_text(1000);
    const std::string back = shifted(a_text(777));
    ends.one.send(there);
    ends.other.send(back);
    for (End *end : {&ends.one, &ends.other}) {
        end->is_done = [&] { return ends.one.received.size() >= 777 && ends.other.received.size() >= 1000; };
        stream_receive(end->top);
    }
    ends.loop.run();
    CHECK(ends.other.received == shifted(there));
    CHECK(ends.one.received == shifted(back));
}

TEST_CASE("filters lie on each other")
{
    WITH_EACH_METHOD()
    Connected ends(method);
    ends.one.put_on(Shifting::make);
    ends.one.put_on(Shifting::make);
    const std::string text = a_text(500);
    ends.one.send(text);
    ends.other.is_done = [&] { return ends.other.received.size() >= text.size(); };
    stream_receive(ends.other.top);
    ends.loop.run();
    CHECK(ends.other.received == text);
}

TEST_CASE("what was given back comes first, and a filter that is put on then gets it too")
{
    WITH_EACH_METHOD()
    Connected ends(method);
    const std::string line = "STARTTLS";
    const std::string secret = a_text(40);
    ends.other.send(line + shifted(secret));

    // The owner reads more than the line before it knows that the line is the last of its kind.
    ends.one.reads_on = false;
    ends.one.is_done = [] { return true; };
    while (ends.one.received.size() <= line.size()) {
        stream_receive(ends.one.top);
        ends.loop.run();
    }
    const std::string rest = ends.one.received.substr(line.size());
    ends.one.received.resize(line.size());
    // In two parts, of which the later one comes first again.
    REQUIRE(rest.size() >= 2);
    REQUIRE(stream_push_back(ends.one.top, rest.data() + 1, rest.size() - 1) == 0);
    REQUIRE(stream_push_back(ends.one.top, rest.data(), 1) == 0);
    ends.one.put_on(Shifting::make);

    ends.one.reads_on = true;
    ends.one.is_done = [&] { return ends.one.received.size() >= line.size() + secret.size(); };
    stream_receive(ends.one.top);
    ends.loop.run();
    CHECK(ends.one.received == line + secret);
}

TEST_CASE("what is given back serves a receive that waits, and what was not received again is dropped with the stream")
{
    WITH_EACH_METHOD()
    Connected ends(method);
    ends.one.reads_on = false;
    ends.one.is_done = [&] { return ends.one.last == 5; };
    stream_receive(ends.one.top);
    REQUIRE(stream_push_back(ends.one.top, "hello, again", 12) == 0);
    ends.loop.run();
    CHECK(ends.one.received == "hello");
}

TEST_CASE("a filter waits for room of its owner")
{
    WITH_EACH_METHOD()
    Connected ends(method);
    ends.one.put_on(Shifting::make);
    ends.one.has_room = false;
    ends.one.is_done = [] { return true; };
    ends.other.send(shifted("some words"));
    stream_receive(ends.one.top);
    ends.loop.run();
    CHECK(ends.one.received.empty());

    ends.one.has_room = true;
    ends.one.is_done = [&] { return ends.one.received.size() == 10; };
    stream_receive_retry(ends.one.top);
    ends.loop.run();
    CHECK(ends.one.received == "some words");
}

TEST_CASE("the end of the stream goes through a filter, and so does a break behind it")
{
    WITH_EACH_METHOD()
    Connected ends(method);
    ends.one.put_on(Shifting::make);
    ends.other.put_on(Shifting::make);
    ends.one.is_done = [&] { return ends.one.last == 0 || ends.one.broke != 0; };
    stream_receive(ends.one.top);
    REQUIRE(stream_shut_down(ends.other.top) == 0);
    ends.loop.run();
    CHECK(ends.one.last == 0);

    stream_watch_break(ends.one.top);
    stream_close(std::exchange(ends.other.top, nullptr), STREAM_END_RESET);
    ends.loop.run();
    CHECK(ends.one.broke == EPIPE); // so says the kernel of a reset after the end of the stream
}
