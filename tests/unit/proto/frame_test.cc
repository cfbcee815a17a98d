#include <catch2/catch.hpp>

extern "C" {
#include "proto/frame.h"
}

#include <array>

namespace
{

using Header = std::array<uint8_t, FRAME_HEADER_SIZE>;

frame read_reply()
{
    frame f{};
    f.opcode = FRAME_READ;
    f.flags = FRAME_REPLY;
    f.os_error = 104;
    f.request_id = -2;
    f.handle = 0x0102030405;
    f.value = -7;
    f.payload_length = 0x11223;
    f.payload_offset = 0xdeadbeef;
    return f;
}

Header encoded(const frame &f)
{
    Header bytes{};
    frame_encode(&f, bytes.data());
    return bytes;
}

int fault_of(const frame &f)
{
    frame decoded;
    return frame_decode(&decoded, encoded(f).data());
}

} // namespace

TEST_CASE("a frame header survives encoding and decoding")
{
    frame before = read_reply();
    frame after{};
    REQUIRE(frame_decode(&after, encoded(before).data()) == 0);
    CHECK(after.opcode == before.opcode);
    CHECK(after.flags == before.flags);
    CHECK(after.body_length == before.body_length);
    CHECK(after.os_error == before.os_error);
    CHECK(after.request_id == before.request_id);
    CHECK(after.handle == before.handle);
    CHECK(after.value == before.value);
    CHECK(after.payload_length == before.payload_length);
    CHECK(after.payload_offset == before.payload_offset);
}

TEST_CASE("a frame header is 40 little-endian bytes at the documented offsets")
{
    Header bytes = encoded(read_reply());
    CHECK(bytes[0] == FRAME_READ);
    CHECK(bytes[1] == 0);
    CHECK(bytes[2] == FRAME_REPLY);
    CHECK(bytes[6] == 104);
    CHECK(bytes[8] == 0xfe);
    CHECK(bytes[15] == 0xff);
    CHECK(bytes[16] == 0x05);
    CHECK(bytes[20] == 0x01);
    CHECK(bytes[24] == 0xf9);
    CHECK(bytes[32] == 0x23);
    CHECK(bytes[34] == 0x01);
    CHECK(bytes[36] == 0xef);
    CHECK(bytes[39] == 0xde);
}

TEST_CASE("a frame header with an impossible field is refused, and the fault has a text")
{
    frame f = read_reply();
    int expected = 0;
    SECTION("opcode 0")
    {
        f.opcode = 0;
        expected = FRAME_FAULT_OPCODE;
    }
    SECTION("an opcode past the last")
    {
        f.opcode = FRAME_OPCODE_END;
        expected = FRAME_FAULT_OPCODE;
    }
    SECTION("an unknown flag")
    {
        f.flags = 1 << 7;
        expected = FRAME_FAULT_FLAGS;
    }
    SECTION("a continuation of something that is not a write")
    {
        f.flags = FRAME_MORE;
        expected = FRAME_FAULT_FLAGS;
    }
    SECTION("a body over the limit")
    {
        f.body_length = FRAME_BODY_MAX + 1;
        expected = FRAME_FAULT_BODY_LENGTH;
    }
    SECTION("a payload over the limit")
    {
        f.payload_length = FRAME_PAYLOAD_MAX + 1;
        expected = FRAME_FAULT_PAYLOAD_LENGTH;
    }
    REQUIRE(fault_of(f) == expected);
    CHECK(std::string(frame_fault_text(expected)) != "no fault");
}

TEST_CASE("lengths at their limits are accepted")
{
    frame f = read_reply();
    f.opcode = FRAME_WRITE;
    f.flags = FRAME_MORE;
    f.body_length = FRAME_BODY_MAX;
    f.payload_length = FRAME_PAYLOAD_MAX;
    CHECK(fault_of(f) == 0);
}

TEST_CASE("every opcode has a name")
{
    for (unsigned opcode = 1; opcode < FRAME_OPCODE_END; opcode++) {
        CAPTURE(opcode);
        frame f = read_reply();
        f.opcode = static_cast<uint16_t>(opcode);
        f.flags = FRAME_REPLY;
        CHECK((std::string(frame_opcode_name(opcode)) != "?") == (fault_of(f) == 0));
    }
    CHECK(std::string(frame_opcode_name(0)) == "?");
    CHECK(std::string(frame_opcode_name(FRAME_OPCODE_END)) == "?");
}

TEST_CASE("every opcode keeps its number")
{
    CHECK(FRAME_HELLO == 1);
    CHECK(FRAME_CONNECT == 2);
    CHECK(FRAME_LISTEN == 3);
    CHECK(FRAME_ACCEPT == 4);
    CHECK(FRAME_READ == 5);
    CHECK(FRAME_WRITE == 6);
    CHECK(FRAME_CLOSE_WRITE == 7);
    CHECK(FRAME_CLOSE == 8);
    CHECK(FRAME_LISTENER_CLOSE == 9);
    CHECK(FRAME_SET_OPTION == 10);
    CHECK(FRAME_STATISTICS == 11);
    CHECK(FRAME_RELEASE == 12);
    CHECK(FRAME_CANCEL == 13);
    CHECK(FRAME_HANDOVER == 14);
    CHECK(FRAME_ABORT == 15);
    CHECK(FRAME_GET_OPTION == 16);
    CHECK(FRAME_PING == 17);
    CHECK(FRAME_DATAGRAM == 18);
    CHECK(FRAME_TLS_CONTEXT == 19);
    CHECK(FRAME_PAUSE == 20);
    CHECK(FRAME_SECURE == 21);
    CHECK(FRAME_TRUST == 22);
    CHECK(FRAME_TLS_INFO == 23);
    CHECK(FRAME_TLS_REPLACE == 24);
    CHECK(FRAME_OPCODE_END == 25);
    CHECK(std::string(frame_opcode_name(FRAME_CANCEL)) == "CANCEL");
    CHECK(std::string(frame_opcode_name(FRAME_HANDOVER)) == "HANDOVER");
}
