// Lets each call of each scenario fail in turn. See usage, in options.cc.
#include <algorithm>
#include <atomic>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <mutex>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <thread>

#include "tests/support/descriptor.h"
#include "tests/support/process.h"
#include "tests/support/sanitized.h"
#include "tests/torture/list.h"
#include "tests/torture/names.h"
#include "tests/torture/options.h"
#include "tests/torture/plan.h"

using namespace test_support;
using namespace torture;

namespace
{
// A run that takes longer hangs: some time-outs, one after the other.
constexpr std::chrono::seconds watchdog{60};

// What fails in a run.
struct Failure {
    std::string scenario;
    int side;
    std::string lane;
    int function = -1;
    int nth = 0;
    int error = 0;
};

const char *name_of(int side)
{
    return side == TORTURE_DAEMON ? "daemon" : "client";
}

std::string to_text(const Failure &failure)
{
    std::string text =
        std::string("--side ") + name_of(failure.side) + " --lane " + failure.lane + " --scenario " + failure.scenario;
    if (failure.function >= 0) {
        text += std::string(" --only ") + function_names[failure.function] + ":" + std::to_string(failure.nth) + ":" +
                strerrorname_np(failure.error);
    }
    return text;
}

// A directory for all that the runs leave.
class Scratch
{
  public:
    Scratch()
    {
        if (!mkdtemp(path_.data())) {
            throw std::system_error(errno, std::generic_category(), path_);
        }
        // Preloads into the daemon alone, however it is started.
        std::ofstream(path("oched")) << "#!/bin/sh\nLD_PRELOAD='" << runfile("tests/torture/interpose.so") << "' exec '"
                                     << runfile("daemon/oched") << "' \"$@\"\n";
        chmod(path("oched").c_str(), 0700);
    }
    ~Scratch()
    {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    Scratch(const Scratch &) = delete;
    Scratch &operator=(const Scratch &) = delete;

    std::string path(const std::string &name) const
    {
        return path_ + "/" + name;
    }

  private:
    std::string path_ = "/tmp/oche-torture.XXXXXX";
};

struct Result {
    torture_plan plan{};
    bool survived = false;
    std::string output;
};

// Plays a scenario in a process of its own.
class Player
{
  public:
    Player(const Scratch &scratch, const std::string &method, unsigned number)
        : scratch_(scratch), method_(method), path_(scratch.path("plan" + std::to_string(number))),
          output_(memfd_create("output", MFD_CLOEXEC)), file_(open(path_.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600))
    {
        if (ftruncate(file_.get(), sizeof(torture_plan)) < 0) {
            throw std::system_error(errno, std::generic_category(), "the plan");
        }
    }

    Result play(const Failure &failure, int spare_blocks)
    {
        Result result;
        result.plan.side = failure.side;
        result.plan.function = failure.function;
        result.plan.nth = failure.nth;
        result.plan.error = failure.error;
        result.plan.spare_blocks = spare_blocks;
        check(pwrite(file_.get(), &result.plan, sizeof result.plan, 0));
        check(ftruncate(output_.get(), 0) + 1);

        ProcessOptions process;
        process.arguments = {runfile("tests/torture/scenario"), failure.scenario};
        process.environment = {TORTURE_PLAN_VARIABLE "=" + path_, "OCHE_DAEMON=" + scratch_.path("oched"),
                               "OCHE_LANE=" + failure.lane, "OCHE_TEST_METHOD=" + method_,
                               "TEST_TMPDIR=" + scratch_.path("")};
        if (failure.side == TORTURE_CLIENT) {
            process.environment.push_back("LD_PRELOAD=" + runfile("tests/torture/interpose.so"));
        }
        process.output = output_.get();
        process.error = output_.get();
        Process player(process);
        const auto status = player.wait(watchdog);
        check(pread(file_.get(), &result.plan, sizeof result.plan, 0));
        result.survived = status == 0;
        result.output = said();
        if (!status) {
            result.output += "it hangs\n";
        } else if (*status > 128) {
            result.output += std::string("the client is killed by SIG") + sigabbrev_np(*status - 128) + "\n";
        }
        return result;
    }

  private:
    static void check(ssize_t result)
    {
        if (result <= 0) {
            throw std::system_error(errno, std::generic_category(), "the plan");
        }
    }

    std::string said() const
    {
        std::string text(static_cast<size_t>(lseek(output_.get(), 0, SEEK_END)), '\0');
        check(pread(output_.get(), text.data(), text.size(), 0) + 1);
        lseek(output_.get(), 0, SEEK_SET);
        return text;
    }

    const Scratch &scratch_;
    std::string method_;
    std::string path_;
    Descriptor output_;
    Descriptor file_;
};

class Torture
{
  public:
    explicit Torture(const Options &options) : options_(options), end_(Clock::now() + options.seconds)
    {
        for (unsigned i = 0; i < options.jobs; i++) {
            players_.push_back(std::make_unique<Player>(scratch_, options.method, i));
        }
    }

    void run()
    {
        for (const auto &lane : options_.lanes) {
            for (const int side : {TORTURE_DAEMON, TORTURE_CLIENT}) {
                for (const auto &scenario : scenario_list()) {
                    if (wants(scenario, side, lane)) {
                        run({scenario.name, side, lane});
                    }
                }
            }
        }
    }

    void summarize() const
    {
        std::cout << "torture: " << injected_ << " injected, " << injected_ - failed_ << " survived";
        if (missed_ > 0) {
            std::cout << "; " << missed_ << " calls did not come this time";
        }
        if (skipped_ > 0) {
            std::cout << "; " << skipped_ << " left out";
        }
        std::cout << std::endl;
    }

    bool is_well() const
    {
        return failed_ == 0 && broken_ == 0 && injected_ > 0;
    }

  private:
    bool wants(const Listed &scenario, int side, const std::string &lane) const
    {
        const auto &names = options_.scenarios;
        return (side == TORTURE_DAEMON ? scenario.tortures_daemon : scenario.tortures_client) &&
               (options_.side == 0 || options_.side == side) && (lane == "memory" || scenario.name != "fallback") &&
               (names.empty() || std::find(names.begin(), names.end(), scenario.name) != names.end());
    }

    void run(const Failure &nothing)
    {
        if (Clock::now() >= end_) {
            return;
        }
        // Twice: what threads do differs a little from run to run.
        torture_plan counted{};
        for (int i = 0; i < 2; i++) {
            const Result clean = players_[0]->play(nothing, INT_MAX);
            if (!clean.survived) {
                broken_++;
                tell(nothing, clean);
                return;
            }
            for (int f = 0; f < TORTURE_FUNCTION_COUNT; f++) {
                counted.counts[f] = std::max(counted.counts[f], clean.plan.counts[f]);
            }
            counted.spare_blocks = std::max(counted.spare_blocks, clean.plan.left_blocks);
        }
        show(nothing, counted);
        let_fail(failures_of(nothing, counted), counted.spare_blocks);
    }

    static void show(const Failure &nothing, const torture_plan &counted)
    {
        std::cout << "torture: " << to_text(nothing) << ":";
        for (int f = 0; f < TORTURE_FUNCTION_COUNT; f++) {
            if (counted.counts[f] > 0) {
                std::cout << " " << function_names[f] << " " << counted.counts[f];
            }
        }
        std::cout << std::endl;
    }

    std::vector<Failure> failures_of(const Failure &nothing, const torture_plan &counted)
    {
        std::vector<Failure> failures;
        for (int f = 0; f < TORTURE_FUNCTION_COUNT; f++) {
            for (int n = 1; n <= counted.counts[f]; n++) {
                for (const int *error = function_errors[f]; *error; error++) {
                    const bool wanted = (options_.function < 0 || options_.function == f) &&
                                        (options_.nth == 0 || options_.nth == n) &&
                                        (options_.error == 0 || options_.error == *error);
                    number_ += wanted;
                    if (wanted && number_ >= options_.from && number_ % options_.every == 0) {
                        failures.push_back({nothing.scenario, nothing.side, nothing.lane, f, n, *error});
                    }
                }
            }
        }
        return failures;
    }

    void let_fail(const std::vector<Failure> &failures, int spare_blocks)
    {
        std::atomic<size_t> next{0};
        std::vector<std::thread> threads;
        for (auto &player : players_) {
            threads.emplace_back([&] {
                for (size_t i = 0; (i = next++) < failures.size();) {
                    if (Clock::now() >= end_) {
                        skipped_++;
                        continue;
                    }
                    const Result result = player->play(failures[i], spare_blocks);
                    (result.plan.fired ? injected_ : missed_)++;
                    if (!result.survived) {
                        failed_ += result.plan.fired;
                        broken_ += !result.plan.fired;
                        tell(failures[i], result);
                    }
                }
            });
        }
        for (auto &thread : threads) {
            thread.join();
        }
    }

    void tell(const Failure &failure, const Result &result)
    {
        const std::lock_guard<std::mutex> lock(telling_);
        std::cerr << "torture: not survived: tools/torture --method " << options_.method << " " << to_text(failure)
                  << "\n"
                  << (result.plan.fired ? std::string("called from ") + result.plan.caller : "nothing was let fail")
                  << "\n"
                  << result.output << std::flush;
    }

    Options options_;
    Scratch scratch_;
    Clock::time_point end_;
    std::vector<std::unique_ptr<Player>> players_;
    std::mutex telling_;
    size_t number_ = 0;
    std::atomic<size_t> injected_{0};
    std::atomic<size_t> failed_{0};  // of these
    std::atomic<size_t> missed_{0};  // the call did not come
    std::atomic<size_t> skipped_{0}; // time was up
    std::atomic<size_t> broken_{0};  // failures without a reason
};

} // namespace

int main(int argc, char **argv)
{
    const Options options = parse_options(argc, argv);
    // What is preloaded defines what a sanitizer wants to define.
    if (is_sanitized) {
        std::cout << "SKIP torture: what it preloads would come in the place of the sanitizer" << std::endl;
        return 0;
    }
    try {
        Torture torture(options);
        torture.run();
        torture.summarize();
        return torture.is_well() ? 0 : 1;
    } catch (const std::exception &error) {
        std::cerr << "torture: " << error.what() << std::endl;
        return 1;
    }
}
