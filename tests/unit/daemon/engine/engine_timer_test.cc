#include <catch2/catch.hpp>

extern "C" {
#include "daemon/engine/engine.h"
}

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

namespace
{

class Loop
{
  public:
    explicit Loop(engine_method method)
        : engine_(engine_new(
              method, [](void *) {}, nullptr))
    {
        REQUIRE(engine_);
    }
    ~Loop()
    {
        engine_free(engine_);
    }
    Loop(const Loop &) = delete;
    Loop &operator=(const Loop &) = delete;

    engine *get() const
    {
        return engine_;
    }

  private:
    engine *engine_;
};

struct Alarm {
    engine_timer timer{};
    int64_t due = 0; // when it was due when it fired
    std::vector<Alarm *> *fired = nullptr;
    engine *stops = nullptr; // when it fires
    Alarm *cancels = nullptr;

    Alarm(engine *engine, std::vector<Alarm *> *to) : fired(to)
    {
        engine_timer_init(&timer, engine, on_timer, this);
    }
    Alarm(const Alarm &) = delete;
    Alarm &operator=(const Alarm &) = delete;
    ~Alarm()
    {
        engine_timer_deinit(&timer);
    }

    static void on_timer(void *owner)
    {
        auto *self = static_cast<Alarm *>(owner);
        self->due = self->timer.due;
        self->fired->push_back(self);
        if (self->cancels)
            engine_timer_cancel(&self->cancels->timer);
        if (self->stops)
            engine_stop(self->stops);
    }
};

} // namespace

TEST_CASE("timers fire once, in the order in which they are due, however they were set and cancelled")
{
    const auto method = GENERATE(ENGINE_EPOLL, ENGINE_SELECT);
    Loop loop(method);
    std::vector<Alarm *> fired;
    std::vector<std::unique_ptr<Alarm>> alarms;
    std::mt19937 random(7);
    for (int i = 0; i < 500; i++)
        alarms.push_back(std::make_unique<Alarm>(loop.get(), &fired));
    std::vector<bool> is_set(alarms.size());
    for (int i = 0; i < 5000; i++) {
        const size_t which = random() % alarms.size();
        is_set[which] = random() % 3 != 0;
        if (is_set[which])
            engine_timer_set(&alarms[which]->timer, random() % 20);
        else
            engine_timer_cancel(&alarms[which]->timer);
    }
    Alarm last(loop.get(), &fired);
    last.stops = loop.get();
    engine_timer_set(&last.timer, 21);
    CHECK(engine_run(loop.get()) == 0);
    CHECK(fired.size() == 1 + static_cast<size_t>(std::count(is_set.begin(), is_set.end(), true)));
    CHECK(fired.back() == &last);
    CHECK(std::is_sorted(fired.begin(), fired.end(), [](Alarm *one, Alarm *other) { return one->due < other->due; }));
    for (size_t i = 0; i < alarms.size(); i++)
        CHECK(std::count(fired.begin(), fired.end(), alarms[i].get()) == (is_set[i] ? 1 : 0));
}

TEST_CASE("a timer that another one cancels when both are due does not fire")
{
    Loop loop(ENGINE_EPOLL);
    std::vector<Alarm *> fired;
    Alarm first(loop.get(), &fired);
    Alarm second(loop.get(), &fired);
    Alarm last(loop.get(), &fired);
    first.cancels = &second;
    last.stops = loop.get();
    engine_timer_set(&first.timer, 0);
    engine_timer_set(&second.timer, 0);
    engine_timer_set(&last.timer, 1);
    CHECK(engine_run(loop.get()) == 0);
    CHECK(fired == std::vector<Alarm *>{&first, &last});
}

TEST_CASE("a timer that was never initialized can be cancelled")
{
    engine_timer timer{};
    engine_timer_cancel(&timer);
    engine_timer_deinit(&timer);
}
