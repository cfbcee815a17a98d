// Two ends of a TCP connection, in one loop, on which filters can be put.
#pragma once

#include <catch2/catch.hpp>

extern "C" {
#include "daemon/stream/socket_stream.h"
}

#include "tests/support/skip.h"
#include "tests/unit/daemon/loop.h"

#include <array>
#include <cerrno>
#include <functional>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace test_support
{
// An end of a connection, which reads on as long as something comes.
struct End {
    Loop &loop;
    socket_stream lowest{};
    stream *top = nullptr;
    std::string received;
    ssize_t last = 1; // what a receive has brought: 0 the end, negative: an error
    std::array<char, 5> bytes{};
    bool has_room = true;
    bool reads_on = true;
    std::string text; // to be sent
    ssize_t sent = 0; // what the last send came to
    int broke = 0;
    int opened = 2; // what a handshake came to, if there is one; 2: nothing yet
    bool is_closed = false;
    std::function<bool()> is_done = [] { return false; };

    explicit End(Loop &loop_) : loop(loop_)
    {
    }
    End(const End &) = delete;
    End &operator=(const End &) = delete;

    void open(int fd)
    {
        REQUIRE(socket_stream_init(&lowest, &loop.slice, fd, &user, this) == 0);
        top = &lowest.stream;
    }
    // The filter that `make` puts on the stream below it.
    template <typename Make> void put_on(Make make)
    {
        top = make(top, &loop.slice);
    }
    void send(const std::string &bytes_)
    {
        text = bytes_;
        stream_send(top);
    }
    void look()
    {
        if (is_done()) {
            engine_stop(loop.get());
        }
    }

    static void on_opened(void *owner, int result)
    {
        of(owner)->opened = result;
        of(owner)->look();
    }
    static End *of(void *owner)
    {
        return static_cast<End *>(owner);
    }
    static uint8_t *on_room(void *owner, size_t *size)
    {
        *size = of(owner)->bytes.size();
        of(owner)->look();
        return of(owner)->has_room ? reinterpret_cast<uint8_t *>(of(owner)->bytes.data()) : nullptr;
    }
    static void on_received(void *owner, ssize_t result)
    {
        End *self = of(owner);
        self->last = result;
        if (result > 0) {
            self->received.append(self->bytes.data(), static_cast<size_t>(result));
            if (self->reads_on) {
                stream_receive(self->top);
            }
        }
        self->look();
    }
    static void on_room_unused(void *)
    {
    }
    static int on_vectors(void *owner, iovec *vectors, int)
    {
        vectors[0] = {of(owner)->text.data(), of(owner)->text.size()};
        return 1;
    }
    static void on_sent(void *owner, ssize_t result)
    {
        End *self = of(owner);
        self->sent = result;
        if (result < 0) {
            self->look();
            return;
        }
        self->text.erase(0, static_cast<size_t>(result));
        if (!self->text.empty()) {
            stream_send(self->top);
        }
    }
    static void on_bytes_unused(void *)
    {
    }
    static void on_broke(void *owner, int os_error)
    {
        of(owner)->broke = os_error;
        of(owner)->look();
    }
    static void on_closed(void *owner)
    {
        CHECK_FALSE(of(owner)->is_closed);
        of(owner)->is_closed = true;
    }

    static const stream_user user;
};

inline const stream_user End::user = {End::on_opened,       End::on_room,    End::on_received,
                                      End::on_room_unused,  End::on_vectors, End::on_sent,
                                      End::on_bytes_unused, End::on_broke,   End::on_closed};

// Two ends of a TCP connection.
struct Connected {
    Loop loop;
    End one{loop};
    End other{loop};

    explicit Connected(engine_method method) : loop(method)
    {
        const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        socklen_t length = sizeof address;
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(bind(listener, reinterpret_cast<sockaddr *>(&address), sizeof address) == 0);
        REQUIRE(listen(listener, 1) == 0);
        REQUIRE(getsockname(listener, reinterpret_cast<sockaddr *>(&address), &length) == 0);
        const int connecting = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(connecting, reinterpret_cast<sockaddr *>(&address), sizeof address);
        one.open(accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        other.open(connecting);
        close(listener);
    }
    ~Connected()
    {
        for (End *end : {&one, &other}) {
            if (end->top) {
                stream_close(end->top, STREAM_END_CLOSE);
            }
        }
        loop.run_a_little();
        CHECK(one.is_closed);
        CHECK(other.is_closed);
    }
};

inline std::string a_text(size_t size)
{
    std::string text(size, ' ');
    for (size_t i = 0; i < size; i++) {
        text[i] = static_cast<char>('A' + i * 7 % 26);
    }
    return text;
}
} // namespace test_support

#define WITH_EACH_METHOD()                                                                                             \
    const auto method = GENERATE(ENGINE_EPOLL, ENGINE_SELECT, ENGINE_IO_URING);                                        \
    INFO(engine_method_name(method));                                                                                  \
    if (!has_method(method)) {                                                                                         \
        SKIP("this system has no io_uring for us");                                                                    \
    }
