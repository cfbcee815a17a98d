#include <catch2/catch.hpp>

extern "C" {
#include "proto/frame_reader.h"
}

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace
{

struct Sent {
    frame header;
    std::string body;
    std::string payload;
};

Sent write_of(int64_t request_id, std::string payload, std::string body = "")
{
    Sent sent{};
    sent.header.opcode = FRAME_WRITE;
    sent.header.request_id = request_id;
    sent.header.body_length = static_cast<uint16_t>(body.size());
    sent.header.payload_length = static_cast<uint32_t>(payload.size());
    sent.body = std::move(body);
    sent.payload = std::move(payload);
    return sent;
}

void append(std::string &stream, const Sent &sent)
{
    uint8_t header[FRAME_HEADER_SIZE];
    frame_encode(&sent.header, header);
    stream.append(reinterpret_cast<char *>(header), sizeof header);
    stream += sent.body + sent.payload;
}

std::string pattern(size_t size)
{
    std::string bytes(size, '\0');
    for (size_t i = 0; i < size; i++)
        bytes[i] = static_cast<char>(i * 31 + i / 251);
    return bytes;
}

/* A reader, and the bytes that it is fed in pieces. */
class Reader
{
  public:
    Reader()
    {
        REQUIRE(frame_reader_init(&reader_) == 0);
    }
    ~Reader()
    {
        frame_reader_deinit(&reader_);
    }

    /* Feeds at most `size` bytes of `stream`, as far as there is room; returns how many. */
    size_t feed(const char *stream, size_t size)
    {
        size_t room;
        uint8_t *target = frame_reader_room(&reader_, &room);
        REQUIRE(room > 0);
        size = std::min(size, room);
        memcpy(target, stream, size);
        frame_reader_filled(&reader_, size);
        return size;
    }

    int next(frame_message *message)
    {
        return frame_reader_next(&reader_, message);
    }

    /* Feeds everything, in pieces of the sizes that `piece` returns, and collects the frames. */
    template <typename Piece> std::vector<Sent> read_all(const std::string &stream, Piece piece)
    {
        std::vector<Sent> frames;
        size_t fed = 0;
        while (fed < stream.size()) {
            fed += feed(stream.data() + fed, std::min<size_t>(piece(), stream.size() - fed));
            frame_message message;
            int r;
            while ((r = next(&message)) == FRAME_READER_FRAME) {
                Sent sent{};
                sent.header = message.frame;
                sent.body.assign(reinterpret_cast<const char *>(message.body), message.frame.body_length);
                if (message.payload)
                    sent.payload.assign(reinterpret_cast<char *>(message.payload), message.frame.payload_length);
                free(message.payload);
                frames.push_back(sent);
            }
            REQUIRE(r == FRAME_READER_NEEDS_MORE);
        }
        return frames;
    }

  private:
    frame_reader reader_;
};

} // namespace

TEST_CASE("frames come out whole and in order, however the stream is cut")
{
    std::vector<Sent> sent = {
        write_of(1, ""),
        write_of(2, "x"),
        write_of(3, pattern(64)),
        write_of(4, "", pattern(FRAME_BODY_MAX)),
        write_of(5, pattern(70000), "body"),
        write_of(6, pattern(FRAME_PAYLOAD_MAX)),
        write_of(7, pattern(16 * 1024)),
        write_of(8, "last"),
    };
    std::string stream;
    for (const Sent &one : sent)
        append(stream, one);

    std::mt19937 random(20261120);
    auto piece = GENERATE(0, 1, 7, 39, 41, 4096, 65536, 1 << 20);
    INFO("pieces of " << piece << " bytes, 0 is random");
    Reader reader;
    auto frames = reader.read_all(stream, [&] { return piece ? size_t(piece) : size_t(random() % 5000 + 1); });

    REQUIRE(frames.size() == sent.size());
    for (size_t i = 0; i < sent.size(); i++) {
        CHECK(frames[i].header.request_id == sent[i].header.request_id);
        CHECK(frames[i].body == sent[i].body);
        CHECK(frames[i].payload == sent[i].payload);
    }
}

TEST_CASE("the rest of a long payload is received in place, without a frame behind it")
{
    Sent big = write_of(1, pattern(200000));
    std::string stream;
    append(stream, big);
    Reader reader;
    size_t fed = reader.feed(stream.data(), 1000);
    frame_message message;
    REQUIRE(reader.next(&message) == FRAME_READER_NEEDS_MORE);
    fed += reader.feed(stream.data() + fed, stream.size() - fed);
    CHECK(fed == stream.size());
    REQUIRE(reader.next(&message) == FRAME_READER_FRAME);
    CHECK(memcmp(message.payload, big.payload.data(), big.payload.size()) == 0);
    free(message.payload);
}

TEST_CASE("a malformed header is reported with the header at fault")
{
    Sent bad = write_of(9, "x");
    bad.header.opcode = 999;
    std::string stream;
    append(stream, write_of(8, "fine"));
    append(stream, bad);
    Reader reader;
    reader.feed(stream.data(), stream.size());
    frame_message message;
    REQUIRE(reader.next(&message) == FRAME_READER_FRAME);
    free(message.payload);
    REQUIRE(reader.next(&message) == FRAME_FAULT_OPCODE);
    CHECK(message.frame.opcode == 999);
    CHECK(message.payload == nullptr);
}

TEST_CASE("a reader that is given up in the middle of a payload frees it")
{
    std::string stream;
    append(stream, write_of(1, pattern(100000)));
    Reader reader;
    reader.feed(stream.data(), 5000);
    frame_message message;
    REQUIRE(reader.next(&message) == FRAME_READER_NEEDS_MORE);
}

TEST_CASE("random bytes never produce anything but frames, faults and the wish for more")
{
    std::mt19937 random(7);
    for (int round = 0; round < 2000; round++) {
        Reader reader;
        std::string noise(FRAME_HEADER_SIZE * 4, '\0');
        for (char &byte : noise)
            byte = static_cast<char>(random() % 4 ? 0 : random());
        reader.feed(noise.data(), noise.size());
        frame_message message;
        int r;
        while ((r = reader.next(&message)) == FRAME_READER_FRAME)
            free(message.payload);
        CHECK((r == FRAME_READER_NEEDS_MORE || (r >= FRAME_FAULT_OPCODE && r <= FRAME_FAULT_PAYLOAD_LENGTH)));
    }
}
