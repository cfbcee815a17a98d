#include <catch2/catch.hpp>

extern "C" {
#include "client/session/handles.h"
#include "client/session/public_handle.h"
}

TEST_CASE("a handle is known until it is removed, and never by another generation")
{
    handles table{};
    int64_t first = handle_make(7, 1), second = handle_make(7, 2);
    REQUIRE(handles_add(&table, first, HANDLE_CONNECTION) != nullptr);
    CHECK(handles_find(&table, first)->kind == HANDLE_CONNECTION);
    CHECK(handles_find(&table, second) == nullptr);
    CHECK(handles_slot_is_taken(&table, second));
    handles_remove(handles_find(&table, first));
    CHECK(handles_find(&table, first) == nullptr);
    CHECK_FALSE(handles_slot_is_taken(&table, second));
    REQUIRE(handles_add(&table, second, HANDLE_LISTENER) != nullptr);
    CHECK(handles_find(&table, first) == nullptr);
    CHECK(handles_find(&table, second)->kind == HANDLE_LISTENER);
    handles_deinit(&table);
}

TEST_CASE("the highest slot has its place, and slots that were never used are unknown")
{
    handles table{};
    int64_t last = handle_make(HANDLE_SLOT_MAX, HANDLE_GENERATION_MAX);
    CHECK(handles_find(&table, last) == nullptr);
    REQUIRE(handles_add(&table, last, HANDLE_CONNECTION) != nullptr);
    CHECK(handles_find(&table, last) != nullptr);
    CHECK(handles_find(&table, handle_make(HANDLE_SLOT_MAX - 1, 1)) == nullptr);
    CHECK(handles_find(&table, handle_make(12345, 1)) == nullptr);
    handles_deinit(&table);
}

TEST_CASE("what a listener accepted is found, and nothing else, also while it is removed")
{
    handles table{};
    int64_t listener = handle_make(0, 1), other = handle_make(1, 1);
    handles_add(&table, listener, HANDLE_LISTENER);
    handles_add(&table, other, HANDLE_LISTENER);
    for (uint32_t slot = 2; slot < 5000; slot++) {
        handle_entry *entry = handles_add(&table, handle_make(slot, 1), HANDLE_CONNECTION);
        REQUIRE(entry != nullptr);
        entry->listener = slot % 2 ? listener : other;
    }
    size_t position = 0;
    uint32_t found = 0;
    while (handle_entry *entry = handles_next_accepted(&table, listener, &position)) {
        CHECK(entry->listener == listener);
        handles_remove(entry);
        found++;
    }
    CHECK(found == 2499);
    CHECK(handles_find(&table, listener) != nullptr);
    for (uint32_t slot = 2; slot < 5000; slot++)
        REQUIRE((handles_find(&table, handle_make(slot, 1)) == nullptr) == (slot % 2 == 1));
    handles_deinit(&table);
}

TEST_CASE("a public handle is positive and gives back its session and its handle on the wire")
{
    int64_t wire = handle_make(HANDLE_SLOT_MAX, HANDLE_GENERATION_MAX);
    int64_t tag = public_tag_make(PUBLIC_SESSIONS - 1, PUBLIC_GENERATION_MAX);
    int64_t handle = tag | wire;
    CHECK(handle == INT64_MAX);
    CHECK(public_tag(handle) == tag);
    CHECK(public_to_wire(handle) == wire);
    CHECK(public_session(handle) == PUBLIC_SESSIONS - 1);
}
