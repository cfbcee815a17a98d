#include <catch2/catch.hpp>

extern "C" {
#include "daemon/session/socket_table.h"
#include "proto/handle.h"
}

#include <map>
#include <random>
#include <set>
#include <vector>

namespace
{

class Table
{
  public:
    explicit Table(uint32_t limit)
    {
        socket_table_init(&table, limit);
    }
    ~Table()
    {
        for (uint32_t i = 0; i < table.size; i++) {
            if (table.slots[i].socket)
                socket_table_remove(&table, handle_make(i, table.slots[i].generation));
        }
        socket_table_deinit(&table);
    }

    int64_t add(struct socket *socket)
    {
        return socket_table_add(&table, socket);
    }
    struct socket *find(int64_t handle)
    {
        return socket_table_find(&table, handle);
    }
    void remove(int64_t handle)
    {
        socket_table_remove(&table, handle);
    }

    socket_table table;
};

// Addresses of sockets, at which the table does not look.
struct socket *thing(size_t number)
{
    static char things[1000];
    return reinterpret_cast<struct socket *>(&things[number]);
}

} // namespace

TEST_CASE("a handle finds its socket, and nothing once the socket is removed")
{
    Table table(100);
    int64_t first = table.add(thing(0));
    int64_t second = table.add(thing(1));
    CHECK(table.find(first) == thing(0));
    CHECK(table.find(second) == thing(1));
    table.remove(first);
    CHECK(table.find(first) == nullptr);
    CHECK(table.find(second) == thing(1));
}

TEST_CASE("a handle whose slot is used again does not find the new socket")
{
    Table table(1);
    std::set<int64_t> seen;
    for (int i = 0; i < 1000; i++) {
        int64_t handle = table.add(thing(i));
        REQUIRE(handle > 0);
        CHECK(seen.insert(handle).second);
        table.remove(handle);
        CHECK(table.find(handle) == nullptr);
    }
}

TEST_CASE("made-up handles find nothing")
{
    Table table(100);
    int64_t handle = table.add(thing(0));
    for (int64_t made_up :
         {int64_t(0), int64_t(-1), INT64_MIN, INT64_MAX, handle + 1, handle - 1, -handle,
          handle + (int64_t(1) << HANDLE_SLOT_BITS), handle | int64_t(1) << HANDLE_BITS, int64_t(HANDLE_SLOT_MAX)})
        CHECK(table.find(made_up) == nullptr);
}

TEST_CASE("a full socket table refuses, and takes again when one is removed")
{
    Table table(20);
    std::vector<int64_t> handles;
    for (int i = 0; i < 20; i++)
        handles.push_back(table.add(thing(i)));
    CHECK(table.add(thing(20)) == 0);
    table.remove(handles[7]);
    CHECK(table.add(thing(20)) > 0);
    CHECK(table.add(thing(21)) == 0);
}

TEST_CASE("a slot rests as long as the others allow before it is used again")
{
    Table table(16);
    std::vector<int64_t> handles;
    for (int i = 0; i < 16; i++)
        handles.push_back(table.add(thing(i)));
    for (int64_t handle : handles)
        table.remove(handle);
    int64_t next = table.add(thing(0));
    CHECK(handle_slot(next) == handle_slot(handles[0]));
}

TEST_CASE("a socket table agrees with a map over a long random life")
{
    std::mt19937 random(99);
    Table table(300);
    std::map<int64_t, struct socket *> model;
    for (int step = 0; step < 50000; step++) {
        if (random() % 2) {
            struct socket *object = thing(random() % 1000);
            int64_t handle = table.add(object);
            if (model.size() == 300) {
                REQUIRE(handle == 0);
            } else {
                REQUIRE(handle > 0);
                REQUIRE(model.emplace(handle, object).second);
            }
        } else if (!model.empty()) {
            auto one = model.begin();
            std::advance(one, random() % model.size());
            REQUIRE(table.find(one->first) == one->second);
            table.remove(one->first);
            REQUIRE(table.find(one->first) == nullptr);
            model.erase(one);
        }
        REQUIRE(table.table.used == model.size());
    }
}

TEST_CASE("handles of before are restored as they were, and all others are newer")
{
    Table table(40);
    socket_table_begin_after(&table.table, 7);
    const std::vector<int64_t> before{handle_make(3, 5), handle_make(0, 7), handle_make(20, 1), handle_make(39, 2)};
    for (const int64_t handle : before) {
        REQUIRE(socket_table_restore(&table.table, handle, thing(0)) == 0);
        REQUIRE(table.find(handle) == thing(0));
    }
    CHECK(socket_table_restore(&table.table, handle_make(3, 6), thing(1)) < 0);
    CHECK(socket_table_restore(&table.table, handle_make(40, 1), thing(1)) < 0);
    CHECK(socket_table_restore(&table.table, -1, thing(1)) < 0);
    std::set<uint32_t> slots{0, 3, 20, 39};
    for (int i = 0; i < 36; i++) {
        const int64_t handle = table.add(thing(1));
        REQUIRE(handle > 0);
        CHECK(handle_generation(handle) == 8);
        CHECK(slots.insert(handle_slot(handle)).second);
    }
    CHECK(table.add(thing(1)) == 0);
    for (const int64_t handle : before)
        CHECK(table.find(handle) == thing(0));
}
