#include "tests/fuzz/requests.h"

#include "proto/oche.pb-c.h"
#include "tests/fuzz/loopback.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

/* How far a request is from a correct one. */
enum deviation {
    BODY_IS_RAW = 1 << 3,  /* the bytes of the body are the input's */
    BODY_IS_BENT = 1 << 4, /* a byte of the body is another */
    LENGTHS_ARE_LIES = 1 << 5,
    FIELDS_ARE_RAW = 1 << 6, /* request id, value, flags */
};

static void pack(struct request *request, const ProtobufCMessage *message)
{
    request->body_length = (uint32_t)protobuf_c_message_pack(message, request->body);
}

void requests_hello(struct request *request, bool memory, uint32_t arena)
{
    static char software[] = "a fuzzer";
    Oche__Hello hello = OCHE__HELLO__INIT;
    hello.version_min = FRAME_VERSION_MIN;
    hello.version_max = FRAME_VERSION_MAX;
    hello.software = software;
    hello.memory = memory;
    hello.arena = arena;
    *request = (struct request){.frame.opcode = FRAME_HELLO, .is_honest = true};
    pack(request, &hello.base);
    request->frame.body_length = (uint16_t)request->body_length;
}

static void hello_body(struct request *request, struct input *input)
{
    uint8_t how = input_byte(input);
    char software[4] = {(char)how, (char)(how >> 1), '"', 0};
    Oche__Hello hello = OCHE__HELLO__INIT;
    hello.version_min = how & 1 ? input_byte(input) : FRAME_VERSION_MIN;
    hello.version_max = how & 2 ? input_byte(input) : FRAME_VERSION_MAX;
    hello.software = software;
    hello.memory = how & 4;
    hello.arena = how & 8 ? input_u32(input) % (1 << 20) : 0;
    pack(request, &hello.base);
}

/* The address of a listener, from its socket's. */
static uint32_t bytes_of(const struct sockaddr_storage *storage, uint8_t **bytes, size_t *length)
{
    if (storage->ss_family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)(uintptr_t)storage;
        *bytes = (uint8_t *)&in->sin_addr;
        *length = 4;
        return ntohs(in->sin_port);
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(uintptr_t)storage;
    *bytes = in6->sin6_addr.s6_addr;
    *length = 16;
    return ntohs(in6->sin6_port);
}

static uint8_t loopback4[] = {127, 0, 0, 1};
static uint8_t loopback6[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
static uint8_t elsewhere[] = {192, 0, 2, 1, 0};

static void connect_body(struct request *request, struct input *input)
{
    socklen_t ignored;
    uint8_t how = input_byte(input);
    Oche__Connect body = OCHE__CONNECT__INIT;
    body.port = bytes_of(loopback_listener(how & 7, &ignored), &body.address.data, &body.address.len);
    if (how & 0x08)
        body.source_address =
            body.address.len == 4 ? (ProtobufCBinaryData){4, loopback4} : (ProtobufCBinaryData){16, loopback6};
    if (how & 0x10)
        body.source_port = input_u32(input) & 0x1ffff;
    if (how & 0x40)
        body.port = input_u32(input) & 0x1ffff;
    if (how & 0x80)
        body.address = (ProtobufCBinaryData){how & 1 ? 4u : 5u, elsewhere};
    pack(request, &body.base);
}

static void listen_body(struct request *request, struct input *input)
{
    uint8_t how = input_byte(input);
    Oche__Listen body = OCHE__LISTEN__INIT;
    body.address = how & 1 ? (ProtobufCBinaryData){16, loopback6} : (ProtobufCBinaryData){4, loopback4};
    if (how & 2)
        body.address = (ProtobufCBinaryData){how & 4 ? 4u : 5u, elsewhere};
    body.v6_only = how & 8;
    body.shared = how & 0x10;
    body.backlog = how & 0x20 ? input_u32(input) : how >> 6;
    body.port = how & 0x40 ? input_u32(input) & 0x1ffff : 0;
    pack(request, &body.base);
}

static void datagram_body(struct request *request, struct input *input)
{
    uint8_t how = input_byte(input);
    Oche__Datagram body = OCHE__DATAGRAM__INIT;
    body.address = how & 1 ? (ProtobufCBinaryData){16, loopback6} : (ProtobufCBinaryData){4, loopback4};
    body.v6_only = how & 2;
    if (how & 4)
        body.peer_address = how & 8 ? body.address : (ProtobufCBinaryData){how & 1 ? 4u : 5u, elsewhere};
    body.peer_port = how & 0x10 ? 9 : how & 0x20 ? input_u32(input) & 0x1ffff : 0;
    body.port = how & 0x40 ? input_u32(input) & 0x1ffff : 0;
    pack(request, &body.base);
}

static void raw_option(Oche__RawOption *raw, struct input *input)
{
    static const struct {
        int level, name;
    } options[] = {
        {SOL_SOCKET, SO_RCVBUF},    {SOL_SOCKET, SO_SNDBUF}, {SOL_SOCKET, SO_LINGER}, {IPPROTO_TCP, TCP_NODELAY},
        {IPPROTO_TCP, TCP_KEEPCNT}, {IPPROTO_IP, IP_TOS},    {IPPROTO_TCP, TCP_INFO},
    };
    oche__raw_option__init(raw);
    uint8_t which = input_byte(input) % (sizeof options / sizeof options[0] + 1);
    if (which < sizeof options / sizeof options[0]) {
        raw->level = (uint32_t)options[which].level;
        raw->name = (uint32_t)options[which].name;
    } else {
        raw->level = input_byte(input);
        raw->name = input_byte(input);
    }
}

static void option_body(struct request *request, struct input *input)
{
    uint8_t how = input_byte(input);
    Oche__Option body = OCHE__OPTION__INIT;
    body.name = (Oche__Option__Name)(how % 4);
    body.value = how & 0x80 ? input_value(input) : how >> 2 & 1;
    Oche__RawOption raw;
    if (how % 4 == 3) {
        raw_option(&raw, input);
        raw.value.data = (uint8_t *)(uintptr_t)input_take(input, how >> 4, &raw.value.len);
        body.raw = &raw;
    }
    pack(request, &body.base);
}

static void raw_option_body(struct request *request, struct input *input)
{
    Oche__RawOption body;
    raw_option(&body, input);
    body.size = input_byte(input);
    pack(request, &body.base);
}

static void raw_body(struct request *request, struct input *input)
{
    size_t taken;
    const uint8_t *bytes = input_take(input, input_byte(input), &taken);
    if (taken > 0)
        memcpy(request->body, bytes, taken);
    request->body_length = (uint32_t)taken;
}

static void make_body(struct request *request, struct input *input)
{
    switch (request->frame.opcode) {
    case FRAME_HELLO:
        hello_body(request, input);
        break;
    case FRAME_CONNECT:
        connect_body(request, input);
        break;
    case FRAME_LISTEN:
        listen_body(request, input);
        break;
    case FRAME_DATAGRAM:
        datagram_body(request, input);
        break;
    case FRAME_SET_OPTION:
        option_body(request, input);
        break;
    case FRAME_GET_OPTION:
        raw_option_body(request, input);
        break;
    default:
        break;
    }
}

void requests_make(struct request *request, struct input *input)
{
    uint8_t kind = input_byte(input);
    unsigned deviations = kind & 0x80 ? input_byte(input) : 0;
    struct frame *frame = &request->frame;
    /* The corpora stand on there being sixteen kinds. No opcode is 0: then the next byte is the opcode. */
    *frame = (struct frame){.opcode = kind % 16, .request_id = kind >> 4 & 7};
    if (frame->opcode == 0)
        frame->opcode = input_byte(input);
    request->body_length = request->payload_length = 0;
    request->is_honest = deviations == 0;

    if (deviations & BODY_IS_RAW)
        raw_body(request, input);
    else
        make_body(request, input);
    if ((deviations & BODY_IS_BENT) && request->body_length > 0) {
        uint32_t at = input_byte(input) % request->body_length;
        request->body[at] = input_byte(input);
    }
    switch (frame->opcode) {
    case FRAME_WRITE:
        request->payload_length = input_length(input);
        if (request->payload_length > FRAME_PAYLOAD_MAX && !(deviations & LENGTHS_ARE_LIES))
            request->payload_length = FRAME_PAYLOAD_MAX;
        frame->flags = input_byte(input) & (FRAME_MORE | FRAME_QUIET);
        break;
    case FRAME_READ:
        frame->value = input_length(input) + 1;
        break;
    case FRAME_LISTENER_CLOSE:
        frame->value = input_byte(input) & 1;
        break;
    case FRAME_CANCEL:
        frame->value = input_byte(input) & 7;
        break;
    default:
        break;
    }
    frame->body_length = (uint16_t)request->body_length;
    frame->payload_length = request->payload_length;
    if (deviations & FIELDS_ARE_RAW) {
        frame->flags = input_byte(input);
        frame->request_id = input_value(input);
        frame->value = input_value(input);
        frame->os_error = input_byte(input);
    }
    if (deviations & LENGTHS_ARE_LIES) {
        uint8_t which = input_byte(input);
        if (which & 1)
            frame->body_length = (uint16_t)input_length(input);
        if (which & 2)
            frame->payload_length = input_length(input);
        if (which & 4)
            frame->payload_offset = input_u32(input);
    }
}
