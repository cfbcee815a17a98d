#include <catch2/catch.hpp>

extern "C" {
#include "proto/bytes.h"
}

#include <cstring>
#include <deque>
#include <random>

namespace
{

void append(bytes *queue, const std::string &text)
{
    uint8_t *room = bytes_reserve(queue, text.size());
    REQUIRE(room != nullptr);
    memcpy(room, text.data(), text.size());
    bytes_commit(queue, text.size());
}

std::string take(bytes *queue, size_t size)
{
    std::string text(reinterpret_cast<const char *>(bytes_front(queue)), size);
    bytes_take(queue, size);
    return text;
}

} // namespace

TEST_CASE("a byte queue gives back what was put in, in order")
{
    std::mt19937 random(42);
    std::deque<char> model;
    bytes queue{};
    for (int step = 0; step < 20000; step++) {
        if (random() % 2) {
            std::string text(random() % 300, '\0');
            for (char &c : text)
                c = static_cast<char>(random());
            append(&queue, text);
            model.insert(model.end(), text.begin(), text.end());
        } else {
            size_t size = model.empty() ? 0 : random() % model.size();
            std::string expected(model.begin(), model.begin() + static_cast<long>(size));
            REQUIRE(take(&queue, size) == expected);
            model.erase(model.begin(), model.begin() + static_cast<long>(size));
        }
        REQUIRE(bytes_length(&queue) == model.size());
    }
    bytes_deinit(&queue);
}

TEST_CASE("an empty byte queue keeps a small buffer and gives a large one back")
{
    bytes queue{};
    append(&queue, std::string(1000, 'x'));
    take(&queue, 1000);
    CHECK(queue.data != nullptr);
    append(&queue, std::string(1 << 20, 'x'));
    take(&queue, 1 << 20);
    CHECK(queue.data == nullptr);
    bytes_deinit(&queue);
}

TEST_CASE("room that is reserved and not committed leaves a byte queue as it was")
{
    bytes queue{};
    append(&queue, "abc");
    REQUIRE(bytes_reserve(&queue, 100000) != nullptr);
    CHECK(take(&queue, 3) == "abc");
    bytes_deinit(&queue);
}

TEST_CASE("an absurd reservation fails and leaves a byte queue as it was")
{
    bytes queue{};
    append(&queue, "abc");
    CHECK(bytes_reserve(&queue, SIZE_MAX - 1) == nullptr);
    CHECK(take(&queue, 3) == "abc");
    bytes_deinit(&queue);
}
