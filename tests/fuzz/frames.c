/*
 * A stream of bytes through the frame reader, in pieces of any size, against the simplest way to cut it into frames.
 */
#include "proto/endpoints.h"
#include "proto/frame_reader.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/target.h"

#include <stdlib.h>

enum { STREAM_MAX = 1024 * 1024 };

static uint8_t stream[STREAM_MAX];
static size_t stream_size;

static void append(const uint8_t *bytes, size_t size)
{
    if (size > STREAM_MAX - stream_size)
        size = STREAM_MAX - stream_size;
    if (size > 0)
        memcpy(stream + stream_size, bytes, size);
    stream_size += size;
}

/* Bytes that are not all the same, without taking them from the input. */
static void append_pattern(size_t size)
{
    if (size > STREAM_MAX - stream_size)
        size = STREAM_MAX - stream_size;
    for (size_t i = 0; i < size; i += 61)
        stream[stream_size + i] = (uint8_t)(i + stream_size);
    stream_size += size;
}

static void append_frame(struct input *input)
{
    uint8_t header[FRAME_HEADER_SIZE];
    uint8_t lies = input_byte(input);
    struct frame frame = {
        .opcode = input_byte(input) % (FRAME_OPCODE_END + 1),
        .flags = lies & 0x80 ? input_byte(input) : 0,
        .request_id = input_value(input),
        .handle = input_value(input),
        .value = input_value(input),
        .body_length = (uint16_t)input_length(input),
        .payload_length = input_length(input),
        .payload_offset = lies & 0x40 ? input_u32(input) : 0,
    };
    frame_encode(&frame, header);
    append(header, sizeof header);
    append_pattern(frame.body_length + (lies & 0x20 ? 1u : 0u));
    append_pattern(frame.payload_length);
}

static void append_raw(struct input *input)
{
    size_t taken;
    const uint8_t *bytes = input_take(input, input_byte(input), &taken);
    append(bytes, taken);
}

/* What a header says is said again when it is written anew. */
static void check_header(const uint8_t *header)
{
    struct frame frame;
    uint8_t again[FRAME_HEADER_SIZE];
    int fault = frame_decode(&frame, header);
    CHECK(fault >= 0 && fault != FRAME_READER_FRAME);
    frame_encode(&frame, again);
    CHECK(memcmp(header, again, sizeof again) == 0);
    CHECK(frame_opcode_name(frame.opcode) && frame_fault_text(fault));
}

static void check_endpoints(const uint8_t *record)
{
    struct endpoints endpoints, again;
    uint8_t written[ENDPOINTS_SIZE];
    if (!endpoints_decode(&endpoints, record, ENDPOINTS_SIZE))
        return;
    endpoints_encode(&endpoints, written);
    CHECK(endpoints_decode(&again, written, sizeof written));
    CHECK(again.local.port == endpoints.local.port && again.remote.port == endpoints.remote.port);
    CHECK(again.keep_alive == endpoints.keep_alive && again.no_delay == endpoints.no_delay);
}

/* The frame at `offset`, if it is whole. */
static int expect(size_t offset, struct frame *frame, size_t *size)
{
    if (stream_size - offset < FRAME_HEADER_SIZE)
        return FRAME_READER_NEEDS_MORE;
    int fault = frame_decode(frame, stream + offset);
    if (fault)
        return fault;
    *size = FRAME_HEADER_SIZE + (size_t)frame->body_length + frame->payload_length;
    return stream_size - offset < *size ? FRAME_READER_NEEDS_MORE : FRAME_READER_FRAME;
}

/* Takes frames until the reader wants more. False: that was a fault. */
static bool take_frames(struct frame_reader *reader, size_t *taken, size_t fed)
{
    for (;;) {
        struct frame_message message;
        struct frame frame;
        size_t size = 0;
        int expected = expect(*taken, &frame, &size);
        int r = frame_reader_next(reader, &message);
        if (r == FRAME_READER_NEEDS_MORE) {
            /* A fault counts when the whole header is there. */
            CHECK(*taken + (expected == FRAME_READER_FRAME ? size : FRAME_HEADER_SIZE) > fed ||
                  expected == FRAME_READER_NEEDS_MORE);
            return true;
        }
        CHECK(r == expected);
        CHECK(memcmp(&frame, &message.frame, sizeof frame) == 0);
        if (r != FRAME_READER_FRAME)
            return false;
        const uint8_t *bytes = stream + *taken + FRAME_HEADER_SIZE;
        CHECK(*taken + size <= fed);
        CHECK(memcmp(bytes, message.body, frame.body_length) == 0);
        CHECK(!message.payload == (frame.payload_length == 0));
        if (message.payload)
            CHECK(memcmp(bytes + frame.body_length, message.payload, frame.payload_length) == 0);
        free(message.payload);
        *taken += size;
    }
}

static size_t piece(uint32_t *state)
{
    static const size_t sizes[] = {1,         3,         FRAME_HEADER_SIZE - 1, FRAME_HEADER_SIZE, 1000, 16 * 1024,
                                   64 * 1024, STREAM_MAX};
    *state = *state * 1664525 + 1013904223;
    return sizes[*state >> 29];
}

static void read_in_pieces(uint32_t state)
{
    struct frame_reader reader;
    size_t fed = 0, taken = 0;
    CHECK(frame_reader_init(&reader) == 0);
    /* Single bytes are slow: only where there are few. */
    size_t least = stream_size > 4096 ? stream_size / 256 : 1;
    while (fed < stream_size) {
        size_t room, size = piece(&state);
        uint8_t *at = frame_reader_room(&reader, &room);
        CHECK(room > 0);
        size = size < least ? least : size;
        size = size < room ? size : room;
        size = size < stream_size - fed ? size : stream_size - fed;
        memcpy(at, stream + fed, size);
        frame_reader_filled(&reader, size);
        fed += size;
        if (!take_frames(&reader, &taken, fed))
            break;
    }
    frame_reader_deinit(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {.at = data, .left = size};
    uint32_t pieces = input_u32(&input);
    stream_size = 0;
    if (input.left >= FRAME_HEADER_SIZE)
        check_header(input.at);
    if (input.left >= ENDPOINTS_SIZE)
        check_endpoints(input.at);
    while (!input_is_empty(&input)) {
        if (input_byte(&input) % 2)
            append_frame(&input);
        else
            append_raw(&input);
    }
    read_in_pieces(pieces);
    return 0;
}
