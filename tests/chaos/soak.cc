// Mixed load for a given time: is it served without a fault, and is everything as it was at the end? See usage.
#include <algorithm>
#include <cstring>
#include <iomanip>
#include <iostream>
#include <map>
#include <sys/resource.h>
#include <thread>

#include "tests/chaos/client.h"
#include "tests/chaos/crew.h"
#include "tests/chaos/service.h"
#include "tests/support/command_line.h"
#include "tests/support/place.h"
#include "tests/support/process.h"
#include "tests/support/report.h"
#include "tests/support/sized.h"
#include "tests/support/text.h"

using namespace chaos;
using namespace test_support;

namespace
{
const char usage[] = R"(Usage: soak [OPTION]...
Four processes use one daemon for a while: on the memory lane and on the plain lane, with isolates that come and go and
with isolates that stay. They send and receive short and long, end streams by halves, meet resets, read slowly, connect
and close, and leave things pending. Every byte is compared with what must come.

From time to time all come to rest, those who come and go leave, and it is counted what the daemon and the processes
have. Flat is: descriptors and threads are the same at every rest; and of memory (resident, at rest, in the middle) a
process has at most 2 MiB more in the last quarter of the time than in the third.

  --seed N            what is random comes from this (default: 1)
  --seconds N         (default: 60)
  --method METHOD     how the daemon waits: epoll (default), select or io_uring
  --verbose           a line for each rest
  --help

Tells each failure on standard error. The exit code is 0 if there was none.
)";

constexpr double memory_limit = 2 << 20; // bytes
constexpr size_t fewest_samples = 8;     // fewer tell nothing of memory

struct Options {
    uint64_t seed = 1;
    int seconds = 60;
    std::string method = "epoll";
    bool verbose = false;
};

int failures = 0;

class Soak
{
  public:
    explicit Soak(const Options &options) : options_(options)
    {
        // Arenas so small that all of them has been in use after a while.
        place_.start_with({"--log-level", "info", "--workers", "2", "--max-arena-bytes", "1048576"});
        add("memory, who stay", "memory", 2, 0);
        add("plain, who stay", "plain", 1, 0);
        add("memory, who come and go", "memory", 3, 20);
        add("plain, who come and go", "plain", 3, 20);
    }

    void run()
    {
        const int64_t end = now() + options_.seconds * int64_t{1'000'000};
        const auto interval = std::chrono::seconds(std::clamp(options_.seconds / 40, 1, 10));
        do {
            for (auto &load : crew_) {
                load->go();
            }
            std::this_thread::sleep_for(interval);
            come_to_rest();
            take_samples();
        } while (now() < end || samples() < 2); // or nothing was compared
        for (auto &load : crew_) {
            require(load->quit(), load->name() + " does not end in order");
        }
        for (const auto &line :
             lines_with(place_.started_log(), "Sanitizer|runtime error:|[Aa]ssert|event=malformed")) {
            report_failure("the daemon's log says: " + line);
        }
    }

    void summarize() const
    {
        Report sum;
        for (const auto &load : crew_) {
            sum.requests += load->total().requests;
            sum.completions += load->total().completions;
            sum.bytes += load->total().bytes;
            sum.exchanges += load->total().exchanges;
        }
        std::cout << "soak: " << sum.requests << " requests, " << sum.completions << " completions; " << sum.exchanges
                  << " exchanges; " << sum.bytes << " bytes compared\n";
        for (const auto &[name, samples] : memory_) {
            const Footprint &footprint = first_.at(name);
            std::cout << "soak: " << std::left << std::setw(24) << name << std::right << std::fixed
                      << std::setprecision(2) << " memory " << samples.front() / (1 << 20) << " MiB at the first rest, "
                      << samples[samples.size() / 2] / (1 << 20) << " at half time, " << samples.back() / (1 << 20)
                      << " at the last; growth " << growth(samples) / (1 << 20) << " MiB; " << footprint.descriptors
                      << " descriptors, " << footprint.threads << " threads\n";
        }
    }

    // Of how many rests.
    size_t samples() const
    {
        return memory_.empty() ? 0 : memory_.begin()->second.size();
    }

    void judge()
    {
        for (const auto &[name, samples] : memory_) {
            if (memory_tells() && samples.size() >= fewest_samples) {
                require(growth(samples) <= memory_limit, name + ": memory is not flat");
            }
        }
    }

  private:
    void add(const std::string &name, const std::string &lane, unsigned isolates, unsigned life)
    {
        crew_.push_back(std::make_unique<Load>(LoadOptions{
            name, {"OCHE_LANE=" + lane}, options_.seed * 100 + crew_.size(), services_.port(), isolates, life}));
        sessions_ += life ? 0 : isolates;
        leaves_[crew_.back().get()] = life != 0;
    }

    void require(bool good, const std::string &what)
    {
        if (!good) {
            report_failure(what);
        }
    }

    void come_to_rest()
    {
        for (auto &load : crew_) {
            load->tell(leaves_[load.get()] ? "leave" : "rest");
        }
        for (auto &load : crew_) {
            const Report before = load->report();
            const Report &report = load->take_report();
            const std::string &name = load->name();
            require(report.errors == before.errors, name + ": something is wrong");
            require(report.requests == report.completions, name + ": " + std::to_string(report.requests) +
                                                               " requests, " + std::to_string(report.completions) +
                                                               " completions");
            require(report.losses == 0 && report.held_up == 0, name + ": the daemon was lost, or did not answer");
            require(report.blocks == 0, name + ": data was not given back");
            require(report.children == 0, name + ": there are children");
        }
    }

    Footprints look_around()
    {
        Footprints footprints;
        footprints["the daemon"] = footprint_of(place_.server().value_or(0));
        for (auto &load : crew_) {
            footprints[load->name()] = footprint_of(load->pid());
        }
        return footprints;
    }

    void take_samples()
    {
        auto statistics = sized<oche_statistics>();
        const bool clean = eventually([&] {
            statistics = ask_daemon();
            return statistics.sockets_open == 0 && statistics.sessions_open == sessions_ + 1;
        });
        require(clean, "the daemon has " + std::to_string(statistics.sockets_open) + " sockets and " +
                           std::to_string(statistics.sessions_open) + " sessions when all rest");
        if (first_.empty()) {
            first_ = lasting([this] { return look_around(); });
        }
        Footprints footprints;
        const bool same = eventually([&] {
            footprints = look_around();
            return is_same(footprints, first_);
        });
        std::string line;
        for (const auto &[name, footprint] : footprints) {
            const std::string has = name + ": " + std::to_string(footprint.descriptors) + " descriptors, " +
                                    std::to_string(footprint.threads) + " threads, " +
                                    std::to_string(footprint.resident / 1024) + " KiB";
            require(same, "not as at the first rest: " + has);
            line += "; " + has;
            memory_[name].push_back(static_cast<double>(footprint.resident));
        }
        if (options_.verbose) {
            std::cout << "soak: " << samples() << line << std::endl;
        }
    }

    Options options_;
    Services services_;
    Place place_;
    std::vector<std::unique_ptr<Load>> crew_;
    std::map<const Load *, bool> leaves_; // at a rest
    size_t sessions_ = 0;                 // that stay
    Footprints first_;
    std::map<std::string, std::vector<double>> memory_;
};

Options parse(int argc, char **argv)
{
    Options options;
    CommandLine line("soak", usage);
    line.option("seed", [&](const std::string &text) { options.seed = std::stoull(text); });
    line.option("seconds", [&](const std::string &text) { options.seconds = std::stoi(text); });
    line.option("method", [&](const std::string &text) { options.method = text; });
    line.flag("verbose", [&] { options.verbose = true; });
    line.parse(argc, argv);
    if (options.seconds < 1 ||
        (options.method != "epoll" && options.method != "select" && options.method != "io_uring")) {
        line.refuse();
    }
    return options;
}
} // namespace

void test_support::report_failure(const std::string &text)
{
    failures++;
    std::cerr << "soak: " << text << std::endl;
}

int main(int argc, char **argv)
{
    const Options options = parse(argc, argv);
    const rlimit no_cores{0, 0};
    setrlimit(RLIMIT_CORE, &no_cores);
    setenv("OCHE_TEST_METHOD", options.method.c_str(), 1);
    size_t rests = 0;
    try {
        Soak soak(options);
        soak.run();
        soak.judge();
        soak.summarize();
        rests = soak.samples();
    } catch (const std::exception &error) {
        report_failure(error.what());
    }
    std::cout << "soak: seed " << options.seed << ", " << options.seconds << " s, " << rests << " rests, method "
              << options.method << ": " << (failures ? "NOT flat, " : "flat, ") << failures << " failures" << std::endl;
    return failures ? 1 : 0;
}
