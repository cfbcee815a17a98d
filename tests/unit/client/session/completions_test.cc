#include <catch2/catch.hpp>

extern "C" {
#include "client/session/completions.h"
}

#include <deque>
#include <random>

TEST_CASE("completions come out in the order in which they went in")
{
    std::mt19937 random(11);
    std::deque<int64_t> model;
    completions queue{};
    for (int64_t step = 0; step < 20000; step++) {
        if (random() % 100 < 51) {
            oche_completion completion{};
            completion.request_id = step;
            REQUIRE(completions_reserve(&queue, 1));
            completions_push(&queue, &completion);
            model.push_back(step);
        } else {
            oche_completion completion{};
            bool popped = completions_pop(&queue, &completion);
            REQUIRE(popped == !model.empty());
            if (popped) {
                REQUIRE(completion.request_id == model.front());
                model.pop_front();
            }
        }
    }
    completions_deinit(&queue);
}

TEST_CASE("room that was reserved is there when memory is not")
{
    completions queue{};
    REQUIRE(completions_reserve(&queue, 1000));
    oche_completion *ring = queue.ring;
    for (int i = 0; i < 1000; i++) {
        oche_completion completion{};
        completions_push(&queue, &completion);
    }
    CHECK(queue.ring == ring);
    CHECK(queue.count == 1000);
    completions_deinit(&queue);
}
