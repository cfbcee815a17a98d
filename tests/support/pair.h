// Connections whose one end is a handle of the library and whose other end is a peer.
#pragma once

#include "tests/support/isolate.h"
#include "tests/support/peer.h"

namespace test_support
{
struct Pair {
    int64_t handle;
    Peer peer;
};

// Made with tcp_connect().
Pair connected(Isolate &isolate);

// A listener on 127.0.0.1 and a port that the system chose.
int64_t listening(Isolate &isolate);

// Made with tcp_accept().
Pair accepted(Isolate &isolate, int64_t listener);

// True: the bytes get through, from the peer to the isolate and back.
bool echoes(Isolate &isolate, const Pair &pair, const std::string &bytes = "echo");
} // namespace test_support
