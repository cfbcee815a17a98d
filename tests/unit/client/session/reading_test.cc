#include <catch2/catch.hpp>

extern "C" {
#include "client/session/reading.h"
#include "proto/errors.h"
}

#include <algorithm>
#include <vector>

namespace
{

data *some(uint32_t size)
{
    const std::vector<uint8_t> bytes(size, 'x');
    return data_new_copy(bytes.data(), size);
}

// Data comes and the application reads it.
void pass(reading *r, uint32_t size)
{
    REQUIRE(reading_come(r, size));
    oche_completion completion = reading_deliver(r, some(size));
    CHECK(completion.result == size);
    data_free(static_cast<data *>(completion.data_owner));
}

} // namespace

TEST_CASE("the first read grants a small window, and nothing more is due until half of it was consumed")
{
    reading r{};
    REQUIRE(reading_due(&r) == READING_WINDOW_FIRST);
    reading_grant(&r);
    CHECK(reading_due(&r) == 0);
    pass(&r, READING_WINDOW_FIRST / 2 - 1);
    CHECK(reading_due(&r) == 0);
    pass(&r, 1);
    CHECK(reading_due(&r) == READING_WINDOW_FIRST / 2 + READING_WINDOW_FIRST);
}

TEST_CASE("the window doubles up to its largest for who reads on, and credit never exceeds it")
{
    reading r{};
    uint32_t window = 0;
    for (int i = 0; i < 10; i++) {
        REQUIRE(reading_due(&r) > 0);
        reading_grant(&r);
        window = std::max<uint32_t>(READING_WINDOW_FIRST, std::min<uint32_t>(2 * window, READING_WINDOW_LAST));
        CHECK(r.window == window);
        CHECK(r.credit == window);
        pass(&r, window);
    }
    CHECK(window == READING_WINDOW_LAST);
}

TEST_CASE("data ahead counts against the window until it is read")
{
    reading r{};
    reading_grant(&r);
    REQUIRE(reading_come(&r, READING_WINDOW_FIRST));
    CHECK(reading_due(&r) == 0);
    CHECK_FALSE(reading_come(&r, 1));
}

TEST_CASE("more data than was granted is refused")
{
    reading r{};
    CHECK_FALSE(reading_come(&r, 1));
    reading_grant(&r);
    CHECK_FALSE(reading_come(&r, READING_WINDOW_FIRST + 1));
    CHECK(reading_come(&r, READING_WINDOW_FIRST));
}

TEST_CASE("the end of a stream stays, comes once, and asks for nothing more")
{
    reading r{};
    reading_grant(&r);
    pass(&r, READING_WINDOW_FIRST);
    REQUIRE(reading_finish(&r, OCHE_ERR_READ_FAILED, 104));
    CHECK(reading_due(&r) == 0);
    CHECK_FALSE(reading_come(&r, 1));
    CHECK_FALSE(reading_finish(&r, OCHE_ERR_CLOSED, 0));
    for (int i = 0; i < 2; i++) {
        oche_completion completion = reading_deliver_end(&r);
        CHECK(completion.result == OCHE_ERR_READ_FAILED);
        CHECK(completion.os_error == 104);
        CHECK(completion.data == nullptr);
    }
}

TEST_CASE("what is ahead when reading stops is freed")
{
    reading r{};
    reading_grant(&r);
    for (uint32_t size : {1u, 100u, 5000u}) {
        REQUIRE(reading_come(&r, size));
        data_queue_push(&r.ahead, some(size));
    }
    reading_deinit(&r);
    CHECK(r.ahead.first == nullptr);
}
