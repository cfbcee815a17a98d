// A loop of the engine for tests, which ends with a failed test when it runs for too long.
#pragma once

#include <catch2/catch.hpp>

extern "C" {
#include "daemon/engine/engine.h"
}

namespace test_support
{
inline bool has_method(engine_method method)
{
    return engine_method_probe(method) == 0;
}

class Loop
{
  public:
    explicit Loop(engine_method method)
        : engine_(engine_new(
              method, [](void *) {}, nullptr))
    {
        REQUIRE(engine_);
        time_slice_init(&slice, engine_);
        engine_timer_init(&limit_, engine_, on_limit, this);
        engine_timer_set(&limit_, 10'000);
    }
    ~Loop()
    {
        engine_timer_deinit(&limit_);
        time_slice_deinit(&slice);
        engine_free(engine_);
    }
    Loop(const Loop &) = delete;
    Loop &operator=(const Loop &) = delete;

    engine *get() const
    {
        return engine_;
    }
    // Until somebody stops it.
    void run()
    {
        CHECK(engine_run(engine_) == 0);
        CHECK_FALSE(is_late_);
    }

    time_slice slice{};

    // For what is told at the end of a turn.
    void run_a_little()
    {
        engine_timer soon;
        engine_timer_init(
            &soon, engine_, [](void *owner) { engine_stop(static_cast<engine *>(owner)); }, engine_);
        engine_timer_set(&soon, 5);
        run();
        engine_timer_deinit(&soon);
    }

  private:
    static void on_limit(void *owner)
    {
        auto *self = static_cast<Loop *>(owner);
        self->is_late_ = true;
        engine_stop(self->engine_);
    }

    engine *engine_;
    engine_timer limit_{};
    bool is_late_ = false;
};
} // namespace test_support
