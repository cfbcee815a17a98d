#include "tests/chaos/crew.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <poll.h>
#include <stdexcept>
#include <thread>

#include "tests/chaos/client.h"
#include "tests/support/descriptor_table.h"
#include "tests/support/process.h"
#include "tests/support/sanitized.h"
#include "tests/support/sized.h"

using namespace test_support;

namespace chaos
{
namespace
{
// Longer than a client waits for a request, so that it says itself which one hangs.
constexpr std::chrono::milliseconds answer_limit = endurance + patience;
} // namespace

Footprint footprint_of(pid_t pid)
{
    const std::string status = contents_of("/proc/" + std::to_string(pid) + "/status");
    const size_t threads = status.find("\nThreads:");
    return {descriptor_count(pid),
            threads == std::string::npos ? 0 : strtoul(status.c_str() + threads + 9, nullptr, 10),
            resident_bytes_of(pid)};
}

bool is_same(const Footprints &some, const Footprints &others)
{
    return std::equal(some.begin(), some.end(), others.begin(), others.end(), [](const auto &one, const auto &other) {
        return one.first == other.first && one.second.descriptors == other.second.descriptors &&
               one.second.threads == other.second.threads;
    });
}

Footprints lasting(const std::function<Footprints()> &look)
{
    Footprints seen = look();
    eventually([&] {
        std::this_thread::sleep_for(moment);
        const Footprints before = std::exchange(seen, look());
        return is_same(before, seen);
    });
    return seen;
}

void stop(pid_t pid)
{
    ::kill(pid, SIGSTOP);
    const std::filesystem::path tasks = "/proc/" + std::to_string(pid) + "/task";
    const bool stopped = eventually([&] {
        const auto threads = std::filesystem::directory_iterator(tasks);
        return std::all_of(begin(threads), end(threads), [](const auto &thread) {
            return contents_of(thread.path() / "stat").find(") T") != std::string::npos;
        });
    });
    if (!stopped) {
        throw std::runtime_error("a process does not stop");
    }
}

Load::Load(LoadOptions options) : options_(std::move(options))
{
    start();
}

void Load::start()
{
    auto environment = options_.environment;
    // With one heap malloc_trim() gives back all that is not in use, with several it does not: mallopt(3).
    environment.emplace_back("MALLOC_ARENA_MAX=1");
    process_ = std::make_unique<Companion>(environment, "tests/chaos/load");
    process_->tell("start " + std::to_string(options_.seed + 1'000'003 * generation_++) + " " +
                   std::to_string(options_.port) + " " + std::to_string(options_.isolates) + " " +
                   std::to_string(options_.life));
    if (process_->answer(answer_limit) != "ready") {
        throw std::runtime_error(name() + " does not start");
    }
    report_ = {};
}

const std::string &Load::name() const
{
    return options_.name;
}

unsigned Load::isolates() const
{
    return options_.isolates;
}

pid_t Load::pid()
{
    return process_->process().pid();
}

void Load::kill(int signal)
{
    process_->process().kill(signal);
}

std::optional<int> Load::wait()
{
    return process_->process().wait();
}

void Load::replace()
{
    add_up();
    start();
}

void Load::go()
{
    process_->ask("go");
}

uint64_t Load::progress()
{
    return std::stoull(process_->ask("progress"));
}

void Load::tell(const std::string &command)
{
    process_->tell(command);
}

const Report &Load::take_report()
{
    report_ = Report::from(process_->answer(answer_limit));
    return report_;
}

const Report &Load::report() const
{
    return report_;
}

const Report &Load::total() const
{
    return total_;
}

void Load::add_up()
{
    total_.requests += report_.requests;
    total_.completions += report_.completions;
    total_.refusals += report_.refusals;
    total_.bytes += report_.bytes;
    total_.exchanges += report_.exchanges;
    total_.losses += report_.losses;
    report_ = {};
}

bool Load::quit()
{
    add_up();
    process_->tell("quit");
    return process_->answer(answer_limit) == "bye" && process_->process().wait() == 0;
}

oche_statistics ask_daemon()
{
    auto options = sized<oche_session_options>();
    options.never_start = true;
    oche_session *session = nullptr;
    if (oche_session_open(&options, &session) < 0) {
        throw std::runtime_error(std::string("the daemon cannot be asked: ") + oche_last_error());
    }
    auto statistics = sized<oche_statistics>();
    auto completion = sized<oche_completion>();
    int64_t status = oche_get_statistics(session, 1, &statistics);
    bool done = false;
    while (status == 0 && !done) {
        pollfd polled{oche_session_get_fd(session), POLLIN, 0};
        if (poll(&polled, 1, static_cast<int>(endurance.count())) <= 0) {
            break;
        }
        status = oche_session_dispatch(session);
        done = oche_session_pop(session, &completion);
    }
    oche_session_close(session);
    if (!done || completion.result != 0) {
        throw std::runtime_error("the daemon does not answer a question");
    }
    return statistics;
}

double median(std::vector<double> values)
{
    if (values.empty()) {
        return 0;
    }
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

double growth(const std::vector<double> &samples)
{
    const auto at = [&](size_t quarter) {
        return samples.begin() + static_cast<std::ptrdiff_t>(samples.size() * quarter / 4);
    };
    return median({at(3), at(4)}) - median({at(2), at(3)});
}

bool memory_tells()
{
    return !is_sanitized;
}
} // namespace chaos
