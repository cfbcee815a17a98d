#include <catch2/catch.hpp>

extern "C" {
#include "client/session/pending.h"
}

#include <map>
#include <random>
#include <set>

namespace
{

class Pending
{
  public:
    ~Pending()
    {
        pending_deinit(&table);
    }
    int64_t add(int64_t request_id)
    {
        pending_request *request = pending_add(&table, 5);
        REQUIRE(request != nullptr);
        request->request_id = request_id;
        return pending_wire_id(&table, request);
    }
    pending_request *find(int64_t wire_id)
    {
        return pending_find(&table, wire_id);
    }

    pending table{};
};

} // namespace

TEST_CASE("an answer finds its request once")
{
    Pending pending;
    int64_t id = pending.add(-7);
    REQUIRE(pending.find(id) != nullptr);
    CHECK(pending.find(id)->request_id == -7);
    pending_remove(&pending.table, pending.find(id));
    CHECK(pending.find(id) == nullptr);
    CHECK(pending.table.count == 0);
}

TEST_CASE("an answer that nobody asked for finds nothing")
{
    Pending pending;
    int64_t id = pending.add(1);
    for (int64_t made_up :
         {int64_t(0), int64_t(-1), INT64_MIN, INT64_MAX, id + 1, -id, id << 1, id + (int64_t(1) << 32)})
        CHECK(pending.find(made_up) == nullptr);
}

TEST_CASE("a request in the place of an earlier one is not found by the earlier answer")
{
    Pending pending;
    std::set<int64_t> ids;
    for (int i = 0; i < 10000; i++) {
        int64_t id = pending.add(i);
        CHECK(ids.insert(id).second);
        pending_remove(&pending.table, pending.find(id));
    }
    for (int64_t id : ids)
        CHECK(pending.find(id) == nullptr);
}

TEST_CASE("pending requests agree with a map over a long random life, and all can be walked over")
{
    std::mt19937 random(3);
    Pending pending;
    std::map<int64_t, int64_t> model;
    for (int step = 0; step < 20000; step++) {
        if (random() % 100 < 52) {
            int64_t id = pending.add(step);
            REQUIRE(model.emplace(id, step).second);
        } else if (!model.empty()) {
            auto one = model.begin();
            std::advance(one, random() % model.size());
            REQUIRE(pending.find(one->first)->request_id == one->second);
            pending_remove(&pending.table, pending.find(one->first));
            model.erase(one);
        }
        REQUIRE(pending.table.count == model.size());
    }
    size_t walked = 0;
    pending_request *request = nullptr;
    while ((request = pending_next(&pending.table, request))) {
        walked++;
        CHECK(model.count(pending_wire_id(&pending.table, request)) == 1);
    }
    CHECK(walked == model.size());
}
