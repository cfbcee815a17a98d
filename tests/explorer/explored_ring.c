/* The code itself, over the explorer's stdatomic.h. */
#include "proto/ring.c"

#include "tests/explorer/explored_ring.h"

struct conversation {
    unsigned records;
    uint32_t record_size;
    bool eager;
    struct ring_shared shared;
    _Alignas(8) uint8_t data[RING_SIZE_MIN];
    struct ring_producer producer;
    struct ring_consumer consumer;
    int producer_bell;
    int consumer_bell;
    unsigned taken;
};

static void begin(void *state)
{
    struct conversation *conversation = state;
    memset(&conversation->shared, 0, sizeof conversation->shared);
    ring_producer_init(&conversation->producer, &conversation->shared, conversation->data, RING_SIZE_MIN);
    ring_consumer_init(&conversation->consumer, &conversation->shared, conversation->data, RING_SIZE_MIN);
    conversation->taken = 0;
    explorer_name(&conversation->shared.head, sizeof conversation->shared.head, "head");
    explorer_name(&conversation->shared.tail, sizeof conversation->shared.tail, "tail");
    explorer_name(&conversation->shared.consumer_sleeps, sizeof conversation->shared.consumer_sleeps,
                  "consumer_sleeps");
    explorer_name(&conversation->shared.producer_waits, sizeof conversation->shared.producer_waits, "producer_waits");
    explorer_name(&conversation->consumer_bell, 0, "the consumer's bell");
    explorer_name(&conversation->producer_bell, 0, "the producer's bell");
}

static void produce(void *state)
{
    struct conversation *conversation = state;
    for (unsigned i = 0; i < conversation->records; i++) {
        uint8_t *room;
        while (!(room = ring_reserve(&conversation->producer, conversation->record_size))) {
            if (ring_wait_for_room(&conversation->producer))
                explorer_wait(&conversation->producer_bell);
        }
        explorer_access(room);
        memcpy(room, &i, sizeof i);
        ring_commit(&conversation->producer, conversation->record_size);
        if (ring_publish(&conversation->producer))
            explorer_ring(&conversation->consumer_bell);
    }
}

static void release(struct conversation *conversation)
{
    if (ring_release(&conversation->consumer))
        explorer_ring(&conversation->producer_bell);
}

static void take(struct conversation *conversation, const uint8_t *record, uint32_t size)
{
    unsigned number;
    explorer_access(record);
    memcpy(&number, record, sizeof number);
    if (size != conversation->record_size || number != conversation->taken)
        explorer_fail("a record is not the next one");
    conversation->taken++;
    if (conversation->eager)
        release(conversation);
}

static void consume(void *state)
{
    struct conversation *conversation = state;
    while (conversation->taken < conversation->records) {
        const uint8_t *record;
        uint32_t size;
        switch (ring_next(&conversation->consumer, &record, &size)) {
        case RING_RECORD:
            take(conversation, record, size);
            break;
        case RING_EMPTY:
            release(conversation);
            if (ring_sleep(&conversation->consumer))
                explorer_wait(&conversation->consumer_bell);
            break;
        default:
            explorer_fail("the ring is broken");
        }
    }
}

static const char *end(void *state)
{
    const struct conversation *conversation = state;
    return conversation->taken == conversation->records ? NULL : "a record is missing";
}

struct explorer_result explored_ring(unsigned records, uint32_t record_size, bool eager)
{
    static struct conversation conversation;
    conversation = (struct conversation){.records = records, .record_size = record_size, .eager = eager};
    const struct explorer_scenario scenario = {
        .begin = begin,
        .threads = {produce, consume},
        .end = end,
        .state = &conversation,
    };
    return explorer_run(&scenario);
}
