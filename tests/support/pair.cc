#include "tests/support/pair.h"

namespace test_support
{
Pair connected(Isolate &isolate)
{
    const PeerListener listener;
    const int64_t handle = isolate.value(isolate.connect({listener.address(), listener.port()}));
    return {handle, listener.accept()};
}

int64_t listening(Isolate &isolate)
{
    return isolate.value(isolate.listen({loopback4(), 0}));
}

Pair accepted(Isolate &isolate, int64_t listener)
{
    const Request request = isolate.accept(listener);
    Peer peer = Peer::connect(Isolate::local(listener));
    return {isolate.value(request), std::move(peer)};
}
} // namespace test_support
