#include <catch2/catch.hpp>

extern "C" {
#include "client/session/heartbeat.h"
}

namespace
{
// A daemon and the time, as far as a session sees them.
class Watch
{
  public:
    Watch()
    {
        heartbeat_begin(&beat);
    }

    // A request begins.
    void owe()
    {
        owed = true;
        if (heartbeat_needs_watch(&beat)) {
            heartbeat_watch(&beat, now);
        }
    }

    // Goes to the next tick. `late`: so many milliseconds after it was due.
    heartbeat_verdict tick(int64_t late = 0)
    {
        REQUIRE(beat.due > 0);
        REQUIRE(beat.due + late > now);
        now = beat.due + late;
        const heartbeat_verdict verdict = heartbeat_tick(&beat, now, owed);
        if (verdict == HEARTBEAT_ASK) {
            heartbeat_asked(&beat);
        }
        return verdict;
    }

    // The milliseconds until the next question, during which nothing is heard.
    int64_t ask()
    {
        const int64_t before = now;
        for (;;) {
            const heartbeat_verdict verdict = tick();
            REQUIRE(verdict != HEARTBEAT_LOST);
            if (verdict == HEARTBEAT_ASK) {
                return now - before;
            }
        }
    }

    void answer()
    {
        CHECK(heartbeat_answered(&beat));
        heartbeat_hear(&beat);
    }

    heartbeat beat{};
    int64_t now = 1'000'000;
    bool owed = false;
};
} // namespace

TEST_CASE("a daemon that owes nothing is not watched")
{
    Watch watch;
    CHECK(watch.beat.due == 0);
    watch.owe();
    CHECK(watch.beat.due == watch.now + HEARTBEAT_MOMENT);
    heartbeat_hear(&watch.beat);
    watch.owed = false;
    CHECK(watch.tick() == HEARTBEAT_FINE);
    CHECK(watch.beat.due == 0);
}

TEST_CASE("one that does not know PING is never watched")
{
    heartbeat beat{};
    CHECK_FALSE(heartbeat_needs_watch(&beat));
    CHECK(beat.due == 0);
}

TEST_CASE("a request of many needs no new watch")
{
    Watch watch;
    watch.owe();
    CHECK_FALSE(heartbeat_needs_watch(&watch.beat));
}

TEST_CASE("a daemon that owes an answer and is silent is asked, and lost after some ticks more")
{
    Watch watch;
    watch.owe();
    CHECK(watch.ask() == HEARTBEAT_SILENCE);
    for (int i = 1; i < HEARTBEAT_TICKS_UNANSWERED; i++) {
        CHECK(watch.tick() == HEARTBEAT_FINE);
    }
    CHECK(watch.tick() == HEARTBEAT_LOST);
}

TEST_CASE("a daemon that says something now and then is never asked")
{
    Watch watch;
    watch.owe();
    for (int i = 0; i < 1000; i++) {
        heartbeat_hear(&watch.beat);
        CHECK(watch.tick() == HEARTBEAT_FINE);
    }
}

TEST_CASE("any word is an answer, also at the last moment")
{
    Watch watch;
    watch.owe();
    watch.ask();
    for (int i = 1; i < HEARTBEAT_TICKS_UNANSWERED; i++) {
        CHECK(watch.tick() == HEARTBEAT_FINE);
    }
    heartbeat_hear(&watch.beat);
    CHECK(watch.tick() == HEARTBEAT_FINE);
    watch.ask();
}

TEST_CASE("a client that was stopped for long gives the daemon as many ticks as any other")
{
    Watch watch;
    watch.owe();
    const int64_t hour = 3'600'000;
    CHECK(watch.tick(hour) == HEARTBEAT_FINE);
    CHECK(watch.tick(hour) == HEARTBEAT_ASK);
    for (int i = 1; i < HEARTBEAT_TICKS_UNANSWERED; i++) {
        CHECK(watch.tick(hour) == HEARTBEAT_FINE);
        CHECK(watch.beat.due == watch.now + HEARTBEAT_TICK);
    }
    CHECK(watch.tick() == HEARTBEAT_LOST);
}

TEST_CASE("a question that could not be asked is asked again, and nothing is lost by that")
{
    Watch watch;
    watch.owe();
    watch.tick();
    for (int i = 0; i < 3 * HEARTBEAT_TICKS_UNANSWERED; i++) {
        watch.now = watch.beat.due;
        CHECK(heartbeat_tick(&watch.beat, watch.now, true) == HEARTBEAT_ASK);
    }
}

TEST_CASE("while an answer stays out for long, questions become rare, and frequent again with a new request")
{
    Watch watch;
    watch.owe();
    int64_t last = watch.ask();
    for (int i = 0; i < 10; i++) {
        watch.answer();
        const int64_t next = watch.ask();
        CHECK(next > last);
        last = next < HEARTBEAT_SILENCE_MAX ? next : last;
        CHECK(next <= HEARTBEAT_SILENCE_MAX + HEARTBEAT_TICK);
    }
    watch.answer();
    watch.tick();
    watch.owe();
    CHECK(watch.ask() == HEARTBEAT_SILENCE);
}

TEST_CASE("an answer that nobody asked for is none")
{
    Watch watch;
    CHECK_FALSE(heartbeat_answered(&watch.beat));
    watch.owe();
    watch.ask();
    watch.answer();
    CHECK_FALSE(heartbeat_answered(&watch.beat));
}
