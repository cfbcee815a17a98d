#include <catch2/catch.hpp>

extern "C" {
#include "daemon/engine/engine.h"
}

#include <ctime>
#include <vector>

namespace
{

// Longer than any slice.
void use_processor()
{
    const clock_t start = clock();
    while (clock() - start < CLOCKS_PER_SEC / 250) {
    }
}

struct Job {
    engine_work job{};
    std::vector<int> *done = nullptr;
    int name = 0;
    bool is_long = false;
    engine *stops = nullptr; // after it has run

    Job() = default;
    Job(const Job &) = delete;
    Job &operator=(const Job &) = delete;
    ~Job()
    {
        if (job.run)
            engine_work_cancel(&job);
    }

    void submit(time_slice *share, std::vector<int> *to, int as)
    {
        list_init(&job.node);
        job.share = share;
        job.run = run;
        done = to;
        name = as;
        engine_submit(&job);
    }

    static void run(engine_work *job)
    {
        Job *self = reinterpret_cast<Job *>(job);
        if (self->is_long)
            use_processor();
        self->done->push_back(self->name);
        if (self->stops)
            engine_stop(self->stops);
    }
};

class Loop
{
  public:
    Loop()
        : engine_(engine_new(
              ENGINE_EPOLL, [](void *) {}, nullptr))
    {
        REQUIRE(engine_);
        time_slice_init(&one, engine_);
        task_.task.run = end_turn;
        list_init(&task_.task.node);
    }
    ~Loop()
    {
        engine_deferred_cancel(&task_.task);
        time_slice_deinit(&one);
        engine_free(engine_);
    }
    Loop(const Loop &) = delete;
    Loop &operator=(const Loop &) = delete;

    engine *get() const
    {
        return engine_;
    }
    // How many jobs were done when the first turn ended.
    void note_first_turn(const std::vector<int> *done)
    {
        task_.done = done;
        engine_defer(engine_, &task_.task);
    }
    size_t in_first_turn() const
    {
        return task_.count;
    }

    time_slice one{};

  private:
    struct Note {
        engine_deferred task{};
        const std::vector<int> *done = nullptr;
        size_t count = 0;
    };
    static void end_turn(engine_deferred *task)
    {
        Note *note = reinterpret_cast<Note *>(task);
        note->count = note->done->size();
    }

    engine *engine_;
    Note task_;
};

} // namespace

TEST_CASE("a share does in one turn what it has to do, as long as it is the only one")
{
    Loop loop;
    std::vector<int> done;
    Job jobs[4];
    for (int i = 0; i < 4; i++) {
        jobs[i].is_long = true;
        jobs[i].submit(&loop.one, &done, i);
    }
    jobs[3].stops = loop.get();
    loop.note_first_turn(&done);
    CHECK(engine_run(loop.get()) == 0);
    CHECK(done == std::vector<int>{0, 1, 2, 3});
    CHECK(loop.in_first_turn() == 4);
}

TEST_CASE("beside another share it has to wait when its slice is over, and goes on in its order")
{
    Loop loop;
    time_slice other;
    time_slice_init(&other, loop.get());
    std::vector<int> done;
    {
        Job floods[4];
        Job polite;
        for (int i = 0; i < 4; i++) {
            floods[i].is_long = true;
            floods[i].submit(&loop.one, &done, i);
        }
        polite.submit(&other, &done, 100);
        floods[3].stops = loop.get();
        loop.note_first_turn(&done);
        CHECK(engine_run(loop.get()) == 0);
    }
    CHECK(done == std::vector<int>{0, 100, 1, 2, 3});
    CHECK(loop.in_first_turn() == 2);
    time_slice_deinit(&other);
}

TEST_CASE("a job that is submitted twice runs once, and one that is cancelled does not run")
{
    Loop loop;
    std::vector<int> done;
    Job twice;
    Job cancelled;
    Job last;
    twice.submit(&loop.one, &done, 1);
    engine_submit(&twice.job);
    cancelled.submit(&loop.one, &done, 2);
    last.stops = loop.get();
    last.submit(&loop.one, &done, 3);
    engine_work_cancel(&cancelled.job);
    CHECK(engine_run(loop.get()) == 0);
    CHECK(done == std::vector<int>{1, 3});
}
