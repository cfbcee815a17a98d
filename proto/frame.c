#include "proto/frame.h"

#include "proto/endian.h"

void frame_encode(const struct frame *frame, uint8_t out[FRAME_HEADER_SIZE])
{
    put_u16(out + 0, frame->opcode);
    put_u16(out + 2, frame->flags);
    put_u16(out + 4, frame->body_length);
    put_u16(out + 6, frame->os_error);
    put_u64(out + 8, (uint64_t)frame->request_id);
    put_u64(out + 16, (uint64_t)frame->handle);
    put_u64(out + 24, (uint64_t)frame->value);
    put_u32(out + 32, frame->payload_length);
    put_u32(out + 36, frame->payload_offset);
}

/* The numbers have gaps. */
static bool is_opcode(unsigned number)
{
    switch (number) {
#define X(opcode, name) case opcode:
        FRAME_OPCODES(X)
#undef X
        return true;
    default:
        return false;
    }
}

static bool carries_arena_payload(const struct frame *frame)
{
    switch (frame->opcode) {
    case FRAME_READ:
    case FRAME_WRITE:
    case FRAME_RELEASE:
        return true;
    default:
        return false;
    }
}

int frame_decode(struct frame *frame, const uint8_t in[FRAME_HEADER_SIZE])
{
    frame->opcode = get_u16(in + 0);
    frame->flags = get_u16(in + 2);
    frame->body_length = get_u16(in + 4);
    frame->os_error = get_u16(in + 6);
    frame->request_id = (int64_t)get_u64(in + 8);
    frame->handle = (int64_t)get_u64(in + 16);
    frame->value = (int64_t)get_u64(in + 24);
    frame->payload_length = get_u32(in + 32);
    frame->payload_offset = get_u32(in + 36);

    if (!is_opcode(frame->opcode))
        return FRAME_FAULT_OPCODE;
    if (frame->flags & ~(FRAME_REPLY | FRAME_MORE | FRAME_IN_ARENA | FRAME_QUIET))
        return FRAME_FAULT_FLAGS;
    if ((frame->flags & FRAME_IN_ARENA) && !carries_arena_payload(frame))
        return FRAME_FAULT_FLAGS;
    if ((frame->flags & (FRAME_MORE | FRAME_QUIET)) && frame->opcode != FRAME_WRITE)
        return FRAME_FAULT_FLAGS;
    if (frame->body_length > FRAME_BODY_MAX)
        return FRAME_FAULT_BODY_LENGTH;
    if (frame->payload_length > FRAME_PAYLOAD_MAX)
        return FRAME_FAULT_PAYLOAD_LENGTH;
    return 0;
}

const char *frame_opcode_name(unsigned opcode)
{
    switch (opcode) {
#define X(number, name)                                                                                                \
    case number:                                                                                                       \
        return #name;
        FRAME_OPCODES(X)
#undef X
    default:
        return "?";
    }
}

const char *frame_fault_text(int fault)
{
    switch (fault) {
    case FRAME_FAULT_OPCODE:
        return "unknown opcode";
    case FRAME_FAULT_FLAGS:
        return "flags that this opcode does not have";
    case FRAME_FAULT_BODY_LENGTH:
        return "body longer than the limit";
    case FRAME_FAULT_PAYLOAD_LENGTH:
        return "payload longer than the limit";
    default:
        return "no fault";
    }
}
