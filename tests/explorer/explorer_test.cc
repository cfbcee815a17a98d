// The explorer itself, by the litmus tests that memory models are explained with.
#include <catch2/catch.hpp>

#include <cstring>
#include <string>

#include "tests/explorer/coroutines.h"

extern "C" {
#include "tests/explorer/explorer.h"
}

namespace
{
uint32_t x;
uint32_t y;
uint32_t first_read;
uint32_t second_read;
int data;
int bell;
explorer_order order_of_stores;
explorer_order order_of_loads;

void begin(void * /*state*/)
{
    x = y = first_read = second_read = 0;
}

void store(uint32_t &object)
{
    explorer_store(&object, sizeof object, 1, order_of_stores);
}

uint32_t load(const uint32_t &object)
{
    return static_cast<uint32_t>(explorer_load(&object, sizeof object, order_of_loads));
}

const char *fine(void * /*state*/)
{
    return nullptr;
}

explorer_result explore(void (*first)(void *), void (*second)(void *), const char *(*end)(void *),
                        explorer_order stores, explorer_order loads)
{
    order_of_stores = stores;
    order_of_loads = loads;
    explorer_scenario scenario{};
    scenario.begin = begin;
    scenario.threads[0] = first;
    scenario.threads[1] = second;
    scenario.end = end;
    return explorer_run(&scenario);
}

explorer_result store_buffering(explorer_order stores, explorer_order loads)
{
    return explore(
        [](void *) {
            store(x);
            first_read = load(y);
        },
        [](void *) {
            store(y);
            second_read = load(x);
        },
        [](void *) { return first_read == 0 && second_read == 0 ? "neither sees the other" : nullptr; }, stores, loads);
}

explorer_result message_passing(explorer_order stores, explorer_order loads)
{
    return explore(
        [](void *) {
            explorer_access(&data);
            store(x);
        },
        [](void *) {
            if (load(x) != 0) {
                explorer_access(&data);
            }
        },
        fine, stores, loads);
}
} // namespace

TEST_CASE(
    "two threads that store and then load each other's may both see nothing, unless the accesses are sequentially "
    "consistent")
{
    SKIP_WITH_TSAN();
    CHECK(store_buffering(EXPLORER_RELAXED, EXPLORER_RELAXED).fault != nullptr);
    CHECK(store_buffering(EXPLORER_RELEASE, EXPLORER_ACQUIRE).fault != nullptr);
    CHECK(store_buffering(EXPLORER_SC, EXPLORER_ACQUIRE).fault != nullptr);
    const explorer_result result = store_buffering(EXPLORER_SC, EXPLORER_SC);
    CHECK(result.fault == nullptr);
    CHECK(result.executions > 2);
}

TEST_CASE("what was written before a flag is seen with it by release and acquire, and only by both")
{
    SKIP_WITH_TSAN();
    CHECK(message_passing(EXPLORER_RELAXED, EXPLORER_RELAXED).fault != nullptr);
    CHECK(message_passing(EXPLORER_RELEASE, EXPLORER_RELAXED).fault != nullptr);
    CHECK(message_passing(EXPLORER_RELAXED, EXPLORER_ACQUIRE).fault != nullptr);
    CHECK(message_passing(EXPLORER_RELEASE, EXPLORER_ACQUIRE).fault == nullptr);
    CHECK(message_passing(EXPLORER_SC, EXPLORER_SC).fault == nullptr);
}

TEST_CASE("no thread sees a value again that is older than one that it has seen")
{
    SKIP_WITH_TSAN();
    const explorer_result result = explore([](void *) { store(x); },
                                           [](void *) {
                                               first_read = load(x);
                                               second_read = load(x);
                                           },
                                           [](void *) { return first_read > second_read ? "time goes back" : nullptr; },
                                           EXPLORER_RELAXED, EXPLORER_RELAXED);
    CHECK(result.fault == nullptr);
}

TEST_CASE("of two modifications neither is lost")
{
    SKIP_WITH_TSAN();
    const explorer_result result = explore(
        [](void *) { explorer_modify(&x, sizeof x, EXPLORER_ADD, 1, EXPLORER_RELAXED); },
        [](void *) {
            explorer_modify(&x, sizeof x, EXPLORER_ADD, 1, EXPLORER_RELAXED);
            first_read = load(x);
        },
        [](void *) { return first_read == 2 ? "both are there" : nullptr; }, EXPLORER_RELAXED, EXPLORER_RELAXED);
    CHECK(result.fault != nullptr);
}

TEST_CASE("who waits for a bell that nobody rings is found, and the trace tells how it came")
{
    SKIP_WITH_TSAN();
    const explorer_result result = explore(
        [](void *) {
            if (load(x) == 0) {
                explorer_wait(&bell);
            }
        },
        [](void *) { store(x); }, fine, EXPLORER_SC, EXPLORER_SC);
    REQUIRE(result.fault != nullptr);
    CHECK(std::string(result.fault).find("waits for a bell") != std::string::npos);
    CHECK(std::string(result.trace).find("thread 1 stores ?: 1") != std::string::npos);
    const explorer_result rung = explore([](void *) { explorer_wait(&bell); }, [](void *) { explorer_ring(&bell); },
                                         fine, EXPLORER_SC, EXPLORER_SC);
    CHECK(rung.fault == nullptr);
}
