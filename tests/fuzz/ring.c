/*
 * Both ends of a ring, step by step, against a queue; and, once the input has scribbled over what is shared, that
 * neither end leaves the ring.
 */
#include "proto/ring.h"

#include "tests/fuzz/check.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/target.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { QUEUE = 4096 };

static struct ring_shared shared;
static struct ring_producer producer;
static struct ring_consumer consumer;
static uint8_t *memory;

/* Of honest use: the sizes of the records that are not taken yet, and what is known of both ends. */
static struct {
    uint32_t sizes[QUEUE];
    uint32_t first, published, last;
    uint32_t serial_in, serial_out;
    bool scribbled;
} model;

static void check_inside(const uint8_t *at, uint32_t size)
{
    CHECK(at >= memory + RING_RECORD_PREFIX && at <= memory + producer.size);
    CHECK(size <= (size_t)(memory + producer.size - at));
}

static void put(uint32_t size, uint32_t less)
{
    uint32_t most = ring_record_max(producer.size);
    size = size < most ? size : most;
    uint8_t *room = ring_reserve(&producer, size);
    if (!room) {
        /* An empty ring has room for the longest record, wherever the last one ended. */
        CHECK(model.scribbled || consumer.released != producer.head);
        return;
    }
    check_inside(room, size);
    uint32_t used = size - (less < size ? less : size);
    memset(room, (int)(model.serial_in & 0xff), size);
    ring_commit(&producer, used);
    CHECK(model.scribbled || model.last - model.first < QUEUE);
    model.sizes[model.last++ % QUEUE] = used;
    model.serial_in++;
}

static void publish(void)
{
    ring_publish(&producer);
    model.published = model.last;
}

static void check_record(const uint8_t *record, uint32_t size)
{
    uint8_t expected = (uint8_t)model.serial_out++;
    CHECK(model.first < model.published);
    CHECK(size == model.sizes[model.first++ % QUEUE]);
    for (uint32_t i = 0; i < size; i++)
        CHECK(record[i] == expected);
}

static void take(void)
{
    const uint8_t *record;
    uint32_t size;
    volatile uint8_t sum = 0;
    int r = ring_next(&consumer, &record, &size);
    if (r != RING_RECORD) {
        CHECK(model.scribbled || (r == RING_EMPTY && model.first == model.published));
        return;
    }
    check_inside(record, size);
    if (!model.scribbled)
        check_record(record, size);
    for (uint32_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + record[i]);
}

static void rest(void)
{
    bool sleeps = ring_sleep(&consumer);
    CHECK(model.scribbled || sleeps == (model.first == model.published));
}

/* Both answers are possible; but not to wait for ever when there is nothing to wait for. */
static void wait_for_room(void)
{
    bool waits = ring_wait_for_room(&producer);
    CHECK(model.scribbled || waits || producer.tail == consumer.released);
}

static void scribble(struct input *input)
{
    _Atomic uint32_t *words[] = {&shared.head, &shared.tail, &shared.producer_waits, &shared.consumer_sleeps};
    uint8_t which = input_byte(input);
    model.scribbled = true;
    if (which < 0x80) {
        size_t taken;
        size_t at = input_number(input, 2) % producer.size;
        const uint8_t *bytes = input_take(input, which % 16, &taken);
        taken = taken < producer.size - at ? taken : producer.size - at;
        if (taken > 0)
            memcpy(memory + at, bytes, taken);
    } else {
        _Atomic uint32_t *word = words[which % 4];
        atomic_store(word, which & 0x40 ? atomic_load(word) + (uint32_t)(int8_t)input_byte(input) : input_u32(input));
    }
}

static void step(struct input *input)
{
    uint8_t op = input_byte(input);
    switch (op % 8) {
    case 0:
    case 1:
        put(input_byte(input) * (op & 0x80 ? 16u : 1u), op & 0x40 ? input_byte(input) : 0);
        break;
    case 2:
        publish();
        break;
    case 3:
    case 4:
        take();
        break;
    case 5:
        ring_release(&consumer);
        break;
    case 6:
        if (op & 0x80)
            rest();
        else
            wait_for_room();
        break;
    default:
        /* Seldom, for it ends the comparison. */
        if (op & 0x80)
            scribble(input);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {.at = data, .left = size};
    uint8_t setup = input_byte(&input);
    uint32_t bytes = RING_SIZE_MIN << setup % 3;
    memset(&model, 0, sizeof model);
    shared = (struct ring_shared){0};
    memory = calloc(1, bytes);
    CHECK(memory);
    ring_producer_init(&producer, &shared, memory, bytes);
    ring_consumer_init(&consumer, &shared, memory, bytes);
    if (setup & 0x80) {
        /* As after four gigabytes, for positions wrap. */
        uint32_t start = 0 - bytes;
        producer.head = producer.published = producer.tail = start;
        consumer.head = consumer.released = consumer.tail = start;
        shared.head = shared.tail = start;
    }
    while (!input_is_empty(&input))
        step(&input);
    free(memory);
    return 0;
}
