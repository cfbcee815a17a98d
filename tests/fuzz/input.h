/*
 * What a fuzzer offers, taken from the front. Behind the end there are zeros, so that every input means something.
 */
#ifndef OCHE_TESTS_FUZZ_INPUT_H
#define OCHE_TESTS_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct input {
    const uint8_t *at;
    size_t left;
};

static inline bool input_is_empty(const struct input *input)
{
    return input->left == 0;
}

/* Up to `size` bytes, as many as there are. */
static inline const uint8_t *input_take(struct input *input, size_t size, size_t *taken)
{
    const uint8_t *bytes = input->at;
    *taken = size < input->left ? size : input->left;
    if (*taken > 0)
        input->at += *taken;
    input->left -= *taken;
    return bytes;
}

/* An unsigned number of `size` bytes. */
static inline uint64_t input_number(struct input *input, size_t size)
{
    size_t taken;
    uint64_t number = 0;
    const uint8_t *bytes = input_take(input, size, &taken);
    for (size_t i = 0; i < taken; i++)
        number |= (uint64_t)bytes[i] << 8 * i;
    return number;
}

static inline uint8_t input_byte(struct input *input)
{
    return (uint8_t)input_number(input, 1);
}

static inline uint32_t input_u32(struct input *input)
{
    return (uint32_t)input_number(input, 4);
}

/* A length from one byte: dense where it is small, and then the limits of the protocol, and what is just beyond. */
static inline uint32_t input_length(struct input *input)
{
    static const uint32_t special[] = {255,   256,   1024,  4095,   4096,   4097,   16383,  16384,
                                       65535, 65536, 65537, 131072, 262143, 262144, 262145, 300000};
    uint8_t byte = input_byte(input);
    return byte < 0xf0 ? byte : special[byte - 0xf0];
}

/* A number of 64 bits from a byte: small, at a limit, or all of its bits. */
static inline int64_t input_value(struct input *input)
{
    static const int64_t special[] = {-1,
                                      INT64_MIN,
                                      INT64_MAX,
                                      INT32_MAX,
                                      INT32_MIN,
                                      UINT32_MAX,
                                      -9,
                                      -7,
                                      1 << 14,
                                      1 << 20,
                                      16 * 1024 * 1024,
                                      16 * 1024 * 1024 + 1,
                                      1LL << 20,
                                      (1LL << 20) + 1,
                                      1LL << 40,
                                      (1LL << 40) - 1};
    uint8_t byte = input_byte(input);
    if (byte < 0xe0)
        return byte;
    return byte < 0xf0 ? special[byte - 0xe0] : (int64_t)input_number(input, 8);
}

#endif
