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

bool echoes(Isolate &isolate, const Pair &pair, const std::string &bytes)
{
    pair.peer.send(bytes);
    return isolate.read_exactly(pair.handle, bytes.size()) == bytes &&
           isolate.result(isolate.write(pair.handle, bytes)) == static_cast<int64_t>(bytes.size()) &&
           pair.peer.receive(bytes.size()) == bytes;
}
} // namespace test_support
