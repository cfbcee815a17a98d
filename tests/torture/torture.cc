// Lets each call of each scenario fail in turn. See usage.
#include <algorithm>
#include <atomic>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <getopt.h>
#include <iostream>
#include <mutex>
#include <sstream>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <thread>

#include "tests/support/descriptor.h"
#include "tests/support/process.h"
#include "tests/torture/list.h"
#include "tests/torture/plan.h"

using namespace test_support;
using namespace torture;

namespace
{
const char usage[] = R"(Usage: torture [OPTION]...
Plays each scenario once and counts the calls that can fail, memory and descriptors and all; then plays it again for each
of them, and lets that one fail, with each error that it can have. After each the daemon must serve the next client, and
nothing may have crashed, hung, leaked, been lost or been told twice.

  --scenario NAME     only this one; may be repeated (--list names them)
  --side SIDE         only calls of the daemon, or only of the client
  --lane LANE         memory or plain (default: both)
  --method METHOD     how the daemon waits: epoll (default) or select
  --only FUNCTION[:N[:ERROR]]
                      only this function, only its N-th call, only this error: --only malloc:3:ENOMEM
  --every K           one of K failures (default: 1), by turns through all functions
  --from N            begins with the N-th failure
  --jobs N            runs at a time (default: 2)
  --seconds N         begins no run after that (default: no end)
  --list, --help

Each failure that was not survived is told on standard error, with how to repeat it. The exit code is 0 if there was
none.
)";

const char *const function_names[] = {
#define NAME(name, errors) #name,
    TORTURE_FUNCTIONS(NAME)
#undef NAME
};

const int function_errors[][TORTURE_ERRORS_MOST] = {
#define ERRORS(name, ...) __VA_ARGS__,
    TORTURE_FUNCTIONS(ERRORS)
#undef ERRORS
};

struct Options {
    std::vector<std::string> scenarios;
    int side = 0; // 0: both
    std::vector<std::string> lanes{"memory", "plain"};
    std::string method = "epoll";
    int function = -1;
    int nth = 0;
    int error = 0;
    size_t every = 1;
    size_t from = 1;
    unsigned jobs = 2;
    std::chrono::seconds seconds = std::chrono::hours(24);
};

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

// What is preloaded defines what a sanitizer wants to define.
constexpr bool is_sanitized =
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    true;
#else
    false;
#endif

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

[[noreturn]] void refuse(const std::string &why)
{
    std::cerr << "torture: " << why << "\n" << usage;
    exit(2);
}

int function_called(const std::string &name)
{
    const auto *found = std::find(std::begin(function_names), std::end(function_names), name);
    if (found == std::end(function_names)) {
        refuse("no function " + name);
    }
    return static_cast<int>(found - std::begin(function_names));
}

int error_called(int function, const std::string &name)
{
    for (const int *error = function_errors[function]; *error; error++) {
        if (name == strerrorname_np(*error)) {
            return *error;
        }
    }
    refuse(std::string(function_names[function]) + " does not fail with " + name);
}

void parse_only(Options &options, const std::string &text)
{
    std::istringstream parts(text);
    std::string function, nth, error;
    getline(parts, function, ':');
    options.function = function_called(function);
    if (getline(parts, nth, ':')) {
        options.nth = std::stoi(nth);
    }
    if (getline(parts, error)) {
        options.error = error_called(options.function, error);
    }
}

void list()
{
    for (const auto &scenario : scenario_list()) {
        std::cout << scenario.name << (scenario.tortures_daemon ? " daemon" : "")
                  << (scenario.tortures_client ? " client" : "") << "\n";
    }
    exit(0);
}

Options parse(int argc, char **argv)
{
    static const option known[] = {
        {"scenario", required_argument, nullptr, 's'}, {"side", required_argument, nullptr, 'd'},
        {"lane", required_argument, nullptr, 'l'},     {"method", required_argument, nullptr, 'm'},
        {"only", required_argument, nullptr, 'o'},     {"every", required_argument, nullptr, 'e'},
        {"from", required_argument, nullptr, 'f'},     {"jobs", required_argument, nullptr, 'j'},
        {"seconds", required_argument, nullptr, 't'},  {"list", no_argument, nullptr, 'i'},
        {"help", no_argument, nullptr, 'h'},           {}};
    Options options;
    const auto &all = scenario_list();
    for (int found = 0; (found = getopt_long(argc, argv, "", known, nullptr)) != -1;) {
        const std::string text = optarg ? optarg : "";
        try {
            switch (found) {
            case 's':
                if (std::none_of(all.begin(), all.end(), [&](const Listed &one) { return one.name == text; })) {
                    refuse("no scenario " + text);
                }
                options.scenarios.push_back(text);
                break;
            case 'd':
                options.side = text == "daemon" ? TORTURE_DAEMON : text == "client" ? TORTURE_CLIENT : -1;
                break;
            case 'l':
                options.lanes = {text};
                break;
            case 'm':
                options.method = text;
                break;
            case 'o':
                parse_only(options, text);
                break;
            case 'e':
                options.every = std::max(1UL, std::stoul(text));
                break;
            case 'f':
                options.from = std::stoul(text);
                break;
            case 'j':
                options.jobs = static_cast<unsigned>(std::stoul(text));
                break;
            case 't':
                options.seconds = std::chrono::seconds(std::stoul(text));
                break;
            case 'i':
                list();
                break;
            case 'h':
                std::cout << usage;
                exit(0);
            default:
                refuse("wrong command line");
            }
        } catch (const std::logic_error &) {
            refuse(text + " is no number");
        }
    }
    const std::string &lane = options.lanes[0];
    if (optind < argc || options.side < 0 || options.jobs < 1 || options.jobs > 64 ||
        (lane != "memory" && lane != "plain") || (options.method != "epoll" && options.method != "select")) {
        refuse("wrong command line");
    }
    return options;
}
} // namespace

int main(int argc, char **argv)
{
    const Options options = parse(argc, argv);
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
