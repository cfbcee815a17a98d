// A client of the daemon that speaks frames itself, well or badly.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tests/support/descriptor.h"
#include "tests/support/patience.h"
#include "tests/support/peer.h"

extern "C" {
#include "proto/endpoints.h"
#include "proto/frame.h"
}

namespace test_support
{
struct WireFrame {
    frame header{};
    std::string body;
    std::string payload;
};

class Wire
{
  public:
    // Connects, and says nothing.
    explicit Wire(const std::string &socket_path);

    void send_bytes(std::string_view bytes) const;
    // Fills in the lengths.
    void send(WireFrame frame) const;
    // The next frame; nothing if the daemon hangs up or time is up.
    std::optional<WireFrame> receive(std::chrono::milliseconds limit = patience) const;
    // Sends, and receives the next frame.
    std::optional<WireFrame> ask(const WireFrame &frame) const;

    // Says hello; the number of the session in the daemon's log.
    uint64_t hello() const;
    // True as soon as the daemon has hung up. Frames that come before are dropped.
    bool is_dropped(std::chrono::milliseconds limit = patience) const;
    // The same without waiting and without dropping frames: the daemon still answers a request.
    bool is_served() const;

    int fd() const;

  private:
    bool receive_bytes(std::string &bytes, size_t count, Clock::time_point deadline) const;

    Descriptor fd_;
};

// The bytes of the frame as they go over the wire; lengths as the header says.
std::string encoded(const frame &header);

WireFrame hello_frame(uint32_t version_min = FRAME_VERSION_MIN, uint32_t version_max = FRAME_VERSION_MAX);
WireFrame connect_frame(int64_t request_id, const Endpoint &to);
WireFrame listen_frame(int64_t request_id, const Endpoint &at);
WireFrame datagram_frame(int64_t request_id, const Endpoint &at);
// A frame without a body.
WireFrame plain_frame(uint16_t opcode, int64_t request_id = 0, int64_t handle = 0, int64_t value = 0);
} // namespace test_support
