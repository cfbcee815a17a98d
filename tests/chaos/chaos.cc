// Strikes daemon and clients at random moments under load, and looks after each blow whether everybody who should be
// is well. See usage.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <future>
#include <iostream>
#include <map>
#include <set>
#include <sstream>
#include <sys/resource.h>
#include <thread>

#include "tests/chaos/client.h"
#include "tests/chaos/crew.h"
#include "tests/chaos/plan.h"
#include "tests/chaos/service.h"
#include "tests/support/command_line.h"
#include "tests/support/isolate.h"
#include "tests/support/place.h"
#include "tests/support/process.h"
#include "tests/support/report.h"
#include "tests/support/sized.h"
#include "tests/support/text.h"

using namespace chaos;
using namespace test_support;

namespace
{
using std::chrono::milliseconds;

const char usage[] = R"(Usage: chaos [OPTION]...
Four processes, each with several isolates, send and receive through one daemon and compare every byte. In each round
the daemon, or one of the two processes that are victims, is killed, aborts, aborts in the middle of a request, or is
stopped for a while. Then all that is left comes to rest, and must be well: each request has completed exactly once, a
new connection works, no process has descriptors, threads, memory or children more than before, no file is left over,
one daemon runs, and whose daemon lived has lost nothing. Once in a hundred rounds the daemon is stopped for longer
than calls wait for it.

  --seed N            what is random comes from this; the same seed gives the same blows (default: 1)
  --rounds N          (default: 100)
  --first N           begins with this round (default: 0)
  --lane LANE         memory (default) or plain
  --method METHOD     how the daemon waits: epoll (default), select or io_uring
  --verbose           a line for each round
  --help

Tells each failure on standard error, with its round. The exit code is 0 if there was none.
)";

constexpr int enough_failures = 20; // then it goes no further

// What the contract says, and as much again for a busy machine.
constexpr int64_t bound_of_blocking = 10'000'000;
// A call that never blocks, on a machine so busy that it is not given the processor.
constexpr int64_t bound_of_others = 3'000'000;
// Bytes that a process may have grown by between the third and the last quarter of the rounds.
constexpr double memory_limit = 8 << 20;

struct Options {
    uint64_t seed = 1;
    int rounds = 100;
    int first = 0;
    std::string lane = "memory";
    std::string method = "epoll";
    bool verbose = false;
};

std::string context; // of failures
int failures = 0;

class Chaos
{
  public:
    explicit Chaos(const Options &options) : options_(options), place_(runfile("tests/chaos/oched_with_faults"))
    {
        // Arenas so small that they are full now and then. More than one worker, as there are more sessions.
        place_.start_with({"--log-level", "info", "--workers", "2", "--max-arena-bytes", "1048576"});
        add("bystander 1", 0);
        add("bystander 2", 100);
        add("victim 1", 20);
        add("victim 2", 200);
    }

    void run()
    {
        context = "before the first round";
        come_to_rest();
        daemon_ = place_.server().value_or(0);
        footprints_ = lasting([this] { return look_around(); });
        files_ = files();
        for (int i = 0; i < options_.rounds; i++) {
            const int number = options_.first + i;
            const Plan plan(options_.seed, number);
            context = "round " + std::to_string(number) + " (" + blow_names[static_cast<size_t>(plan.blow)] + ")";
            blows_[plan.blow]++;
            const int64_t start = now();
            round(plan);
            if (failures >= enough_failures) {
                throw std::runtime_error("that is enough");
            }
            if (options_.verbose) {
                std::cout << "chaos: " << context << ": " << (now() - start) / 1000 << " ms" << std::endl;
            }
        }
        context = "after the last round";
        finish();
    }

    void summarize() const
    {
        Report sum;
        for (const auto &load : crew_) {
            sum.requests += load->total().requests;
            sum.completions += load->total().completions;
            sum.refusals += load->total().refusals;
            sum.bytes += load->total().bytes;
            sum.exchanges += load->total().exchanges;
            sum.losses += load->total().losses;
        }
        for (const auto &[blow, count] : blows_) {
            std::cout << "chaos: " << count << " times: " << blow_names[static_cast<size_t>(blow)] << "\n";
        }
        std::cout << "chaos: " << sum.requests << " requests, " << sum.completions << " completions, " << sum.refusals
                  << " refused at once; " << sum.bytes << " bytes compared; " << sum.exchanges << " exchanges, "
                  << sum.losses << " interrupted by the loss of the daemon\n"
                  << "chaos: slowest call of those that never block " << slowest_call_ / 1000
                  << " ms, slowest tcp_init " << slowest_open_ / 1000 << " ms\n";
        if (!recoveries_.empty()) {
            auto sorted = recoveries_;
            std::sort(sorted.begin(), sorted.end());
            std::cout << "chaos: from the daemon's end to an isolate's next echo: median " << median(sorted)
                      << " ms, 95 of 100 within " << sorted[sorted.size() * 95 / 100] << " ms, slowest "
                      << sorted.back() << " ms, of " << sorted.size() << "\n";
        }
    }

  private:
    void add(const std::string &name, unsigned life)
    {
        crew_.push_back(std::make_unique<Load>(
            LoadOptions{name, {}, options_.seed * 100 + crew_.size(), services_.port(), 2, life}));
        crew_.back()->go();
    }

    Load &victim(const Plan &plan)
    {
        return *crew_[2 + plan.victim];
    }

    void require(bool good, const std::string &what)
    {
        if (!good) {
            report_failure(what);
        }
    }

    uint64_t progress(const Load *except)
    {
        uint64_t sum = 0;
        for (auto &load : crew_) {
            sum += load.get() == except ? 0 : load->progress();
        }
        return sum;
    }

    // The others go on, or all do after the daemon does.
    void require_progress(const Load *except)
    {
        const uint64_t before = progress(except);
        require(eventually([&] { return progress(except) > before; }, endurance), "nobody gets anything done");
    }

    void strike(const Plan &plan)
    {
        switch (plan.blow) {
        case Blow::kill:
        case Blow::both:
            ::kill(daemon_, SIGKILL);
            break;
        case Blow::abort:
            ::kill(daemon_, SIGABRT);
            break;
        case Blow::fault: {
            sigval value{};
            value.sival_int = plan.fault;
            sigqueue(daemon_, SIGUSR1, value);
            break;
        }
        case Blow::stop:
        case Blow::stop_and_kill:
            stop(daemon_);
            std::this_thread::sleep_for(plan.pause);
            ::kill(daemon_, plan.blow == Blow::stop ? SIGCONT : SIGKILL);
            break;
        case Blow::victim_kill:
            victim(plan).kill(SIGKILL);
            break;
        case Blow::victim_abort:
            victim(plan).kill(SIGABRT);
            break;
        case Blow::victim_stop:
            stop(victim(plan).pid());
            std::this_thread::sleep_for(plan.pause);
            require_progress(&victim(plan));
            victim(plan).kill(SIGCONT);
            break;
        case Blow::long_stop:
            stop_for_long();
            break;
        }
        if (plan.blow == Blow::both) {
            victim(plan).kill(SIGKILL);
        }
    }

    // While the daemon is stopped, what waits for it waits no longer than it says.
    void stop_for_long()
    {
        Isolate early;
        early.start();
        const int64_t handle = early.value(early.connect({loopback4(), services_.port()}));
        stop(daemon_);
        auto opening = std::async(std::launch::async, [] {
            Isolate late;
            const int64_t start = now();
            const int64_t result = late.init();
            return std::make_pair(result, now() - start);
        });
        const int64_t start = now();
        const int64_t set = tcp_set_no_delay(handle, true);
        require(set == TCP_ERR_TIMED_OUT, "a setter comes to " + std::to_string(set) + " while the daemon is stopped");
        require(now() - start < bound_of_blocking, "a setter hangs while the daemon is stopped");
        const auto [result, time] = opening.get();
        require(result == TCP_ERR_DAEMON_UNAVAILABLE,
                "tcp_init comes to " + std::to_string(result) + " while the daemon is stopped");
        require(time < bound_of_blocking, "tcp_init hangs while the daemon is stopped");
        const int64_t ending = now();
        early.destroy();
        require(now() - ending < bound_of_blocking, "tcp_destroy hangs while the daemon is stopped");
        ::kill(daemon_, SIGCONT);
    }

    void round(const Plan &plan)
    {
        for (auto &load : crew_) {
            load->go();
        }
        std::this_thread::sleep_for(plan.delay);
        int64_t struck = now();
        strike(plan);
        if (plan.ends_daemon()) {
            struck = plan.blow == Blow::stop_and_kill ? now() : struck;
            require(eventually([&] { return !is_alive(daemon_); }, endurance), "the daemon does not die");
            struck = plan.blow == Blow::fault ? now() : struck;
        }
        if (plan.ends_victim()) {
            require(victim(plan).wait().has_value(), "the victim does not die");
            victim(plan).replace();
            victim(plan).go();
        }
        require_progress(nullptr);
        std::map<const Load *, Report> before;
        for (auto &load : crew_) {
            before[load.get()] = load->report();
        }
        come_to_rest();
        for (auto &load : crew_) {
            check(*load, before[load.get()], plan, struck);
        }
        check_daemon(plan);
    }

    // Everybody, and not one after the other.
    void come_to_rest()
    {
        for (auto &load : crew_) {
            load->tell("rest");
        }
        for (auto &load : crew_) {
            load->take_report();
        }
    }

    void check(Load &load, const Report &before, const Plan &plan, int64_t struck)
    {
        const Report &report = load.report();
        const std::string &name = load.name();
        require(report.errors == before.errors, name + " has found something wrong");
        require(report.requests == report.completions, name + ": " + std::to_string(report.requests) + " requests, " +
                                                           std::to_string(report.completions) + " completions");
        require(plan.ends_daemon() || report.losses == before.losses, name + " has lost something");
        require(plan.blow == Blow::long_stop || report.held_up == before.held_up, name + " got no session at first");
        require(report.blocks == 0, name + " has data that it has not given back");
        require(report.children == 0, name + " has children");
        if (plan.blow != Blow::victim_stop) {
            require(report.slowest_call < bound_of_others, name + ": a call has hung");
            require(report.slowest_open < bound_of_blocking, name + ": tcp_init has hung");
            slowest_call_ = std::max(slowest_call_, report.slowest_call);
            slowest_open_ = std::max(slowest_open_, report.slowest_open);
        }
        if (plan.ends_daemon()) {
            for (const int64_t recovered : report.recoveries) {
                recoveries_.push_back(static_cast<double>(std::max<int64_t>(recovered - struck, 0)) / 1000);
            }
        }
        memory_[name].push_back(static_cast<double>(footprint_of(load.pid()).resident));
    }

    Footprints look_around()
    {
        Footprints footprints;
        footprints["the daemon"] = footprint_of(daemon_);
        for (auto &load : crew_) {
            footprints[load->name()] = footprint_of(load->pid());
        }
        return footprints;
    }

    std::set<std::string> files() const
    {
        std::set<std::string> names;
        for (const auto &entry : std::filesystem::directory_iterator(place_.path(""))) {
            names.insert(entry.path().filename());
        }
        return names;
    }

    void check_daemon(const Plan &plan)
    {
        const pid_t daemon = place_.server().value_or(0);
        require(plan.ends_daemon() == (daemon != daemon_),
                plan.ends_daemon() ? "the daemon lives" : "there is another daemon");
        daemon_ = daemon;
        size_t sessions = 1; // who asks
        for (const auto &load : crew_) {
            sessions += load->isolates();
        }
        auto statistics = sized<oche_statistics>();
        const bool clean = eventually([&] {
            statistics = ask_daemon();
            return statistics.sockets_open == 0 && statistics.sessions_open == sessions;
        });
        require(clean, "the daemon has " + std::to_string(statistics.sockets_open) + " sockets and " +
                           std::to_string(statistics.sessions_open) + " sessions in the place of 0 and " +
                           std::to_string(sessions));
        require(eventually([&] { return place_.daemons() == 1; }),
                "there are " + std::to_string(place_.daemons()) + " daemons");
        Footprints present;
        eventually([&] {
            present = look_around();
            return is_same(present, footprints_);
        });
        for (const auto &[name, footprint] : present) {
            const Footprint &first = footprints_[name];
            require(footprint.descriptors == first.descriptors && footprint.threads == first.threads,
                    name + " has " + std::to_string(footprint.descriptors) + " descriptors and " +
                        std::to_string(footprint.threads) + " threads in the place of " +
                        std::to_string(first.descriptors) + " and " + std::to_string(first.threads));
        }
        for (const auto &file : files()) {
            require(files_.count(file) > 0, "a file is left over: " + file);
        }
    }

    void finish()
    {
        for (const auto &[name, samples] : memory_) {
            if (memory_tells() && name.rfind("bystander", 0) == 0 && samples.size() >= 40) {
                require(growth(samples) < memory_limit,
                        name + " grows: " + std::to_string(growth(samples) / 1024) + " KiB");
            }
        }
        for (auto &load : crew_) {
            require(load->quit(), load->name() + " does not end in order");
        }
        require(eventually([] { return ask_daemon().sessions_open == 1; }), "sessions are left over");
        for (const auto &line :
             lines_with(place_.started_log(), "Sanitizer|runtime error:|[Aa]ssert|event=malformed")) {
            report_failure("the daemon's log says: " + line);
        }
    }

    Options options_;
    Services services_;
    Place place_;
    std::vector<std::unique_ptr<Load>> crew_;
    pid_t daemon_ = 0;
    Footprints footprints_;
    std::set<std::string> files_;
    std::map<std::string, std::vector<double>> memory_;
    std::map<Blow, int> blows_;
    std::vector<double> recoveries_; // milliseconds
    int64_t slowest_call_ = 0;
    int64_t slowest_open_ = 0;
};

Options parse(int argc, char **argv)
{
    Options options;
    CommandLine line("chaos", usage);
    line.option("seed", [&](const std::string &text) { options.seed = std::stoull(text); });
    line.option("rounds", [&](const std::string &text) { options.rounds = std::stoi(text); });
    line.option("first", [&](const std::string &text) { options.first = std::stoi(text); });
    line.option("lane", [&](const std::string &text) { options.lane = text; });
    line.option("method", [&](const std::string &text) { options.method = text; });
    line.flag("verbose", [&] { options.verbose = true; });
    line.parse(argc, argv);
    if (options.rounds < 1 || options.first < 0 || (options.lane != "memory" && options.lane != "plain") ||
        (options.method != "epoll" && options.method != "select" && options.method != "io_uring")) {
        line.refuse();
    }
    return options;
}
} // namespace

void test_support::report_failure(const std::string &text)
{
    failures++;
    std::cerr << "chaos: " << context << ": " << text << std::endl;
}

int main(int argc, char **argv)
{
    const Options options = parse(argc, argv);
    const rlimit no_cores{0, 0};
    setrlimit(RLIMIT_CORE, &no_cores);
    setenv("OCHE_LANE", options.lane.c_str(), 1);
    setenv("OCHE_TEST_METHOD", options.method.c_str(), 1);
    try {
        Chaos chaos(options);
        chaos.run();
        chaos.summarize();
    } catch (const std::exception &error) {
        report_failure(error.what());
    }
    std::cout << "chaos: seed " << options.seed << ", " << options.rounds << " rounds, lane " << options.lane
              << ", method " << options.method << ": " << failures << " failures" << std::endl;
    return failures ? 1 : 0;
}
