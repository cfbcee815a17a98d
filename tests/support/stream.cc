#include "tests/support/stream.h"

#include "tests/support/text.h"

namespace test_support
{
Stream::Stream(uint64_t seed) : bytes_(pattern(1'000'003, seed))
{
}

std::string_view Stream::piece(size_t at, size_t most) const
{
    return std::string_view(bytes_).substr(at % bytes_.size(), most);
}

std::string Stream::text(size_t at, size_t size) const
{
    std::string text;
    while (text.size() < size) {
        text += piece(at + text.size(), size - text.size());
    }
    return text;
}

bool Stream::has(size_t at, std::string_view bytes) const
{
    while (!bytes.empty()) {
        const std::string_view same = piece(at, bytes.size());
        if (bytes.substr(0, same.size()) != same) {
            return false;
        }
        at += same.size();
        bytes.remove_prefix(same.size());
    }
    return true;
}

void Stream::send(const Peer &peer, size_t size, size_t from) const
{
    for (size_t at = from; at < from + size;) {
        const std::string_view next = piece(at, from + size - at);
        peer.send(next);
        at += next.size();
    }
}
} // namespace test_support
