#include <catch2/catch.hpp>

extern "C" {
#include "daemon/engine/engine.h"
}

#include <ctime>
#include <vector>

namespace
{

// Longer than any allowance.
void use_processor()
{
    const clock_t start = clock();
    while (clock() - start < CLOCKS_PER_SEC / 250) {
    }
}

struct Piece {
    engine_work work{};
    std::vector<int> *done = nullptr;
    int name = 0;
    bool is_long = false;
    engine *stops = nullptr; // after it has run

    Piece() = default;
    Piece(const Piece &) = delete;
    Piece &operator=(const Piece &) = delete;
    ~Piece()
    {
        if (work.run)
            engine_work_cancel(&work);
    }

    void submit(time_slice *slice, std::vector<int> *to, int as)
    {
        list_init(&work.node);
        work.slice = slice;
        work.run = run;
        done = to;
        name = as;
        engine_work_submit(&work);
    }

    static void run(engine_work *work)
    {
        Piece *self = reinterpret_cast<Piece *>(work);
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
        note_.deferred.run = end_turn;
        list_init(&note_.deferred.node);
    }
    ~Loop()
    {
        engine_deferred_cancel(&note_.deferred);
        time_slice_deinit(&one);
        engine_free(engine_);
    }
    Loop(const Loop &) = delete;
    Loop &operator=(const Loop &) = delete;

    engine *get() const
    {
        return engine_;
    }
    // How many pieces of work were done when the first turn ended.
    void note_first_turn(const std::vector<int> *done)
    {
        note_.done = done;
        engine_defer(engine_, &note_.deferred);
    }
    size_t in_first_turn() const
    {
        return note_.count;
    }

    time_slice one{};

  private:
    struct Note {
        engine_deferred deferred{};
        const std::vector<int> *done = nullptr;
        size_t count = 0;
    };
    static void end_turn(engine_deferred *deferred)
    {
        Note *note = reinterpret_cast<Note *>(deferred);
        note->count = note->done->size();
    }

    engine *engine_;
    Note note_;
};

} // namespace

TEST_CASE("a slice does in one turn what it has to do, as long as it is the only one")
{
    Loop loop;
    std::vector<int> done;
    Piece pieces[4];
    for (int i = 0; i < 4; i++) {
        pieces[i].is_long = true;
        pieces[i].submit(&loop.one, &done, i);
    }
    pieces[3].stops = loop.get();
    loop.note_first_turn(&done);
    CHECK(engine_run(loop.get()) == 0);
    CHECK(done == std::vector<int>{0, 1, 2, 3});
    CHECK(loop.in_first_turn() == 4);
}

TEST_CASE("beside another slice it has to wait when its time is over, and goes on in its order")
{
    Loop loop;
    time_slice other;
    time_slice_init(&other, loop.get());
    std::vector<int> done;
    {
        Piece floods[4];
        Piece polite;
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

TEST_CASE("work that is submitted twice runs once, and one that is cancelled does not run")
{
    Loop loop;
    std::vector<int> done;
    Piece twice;
    Piece cancelled;
    Piece last;
    twice.submit(&loop.one, &done, 1);
    engine_work_submit(&twice.work);
    cancelled.submit(&loop.one, &done, 2);
    last.stops = loop.get();
    last.submit(&loop.one, &done, 3);
    engine_work_cancel(&cancelled.work);
    CHECK(engine_run(loop.get()) == 0);
    CHECK(done == std::vector<int>{1, 3});
}
