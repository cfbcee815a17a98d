// Plays one scenario, with what the plan lets fail, and judges. The exit code is 0 if all is well.
#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <map>
#include <optional>
#include <sys/resource.h>
#include <system_error>
#include <unistd.h>

#include "tests/support/descriptor_table.h"
#include "tests/support/report.h"
#include "tests/support/text.h"
#include "tests/torture/scenarios.h"

using namespace test_support;
using namespace torture;

namespace
{
int failures = 0;

size_t threads()
{
    const std::filesystem::directory_iterator tasks("/proc/self/task");
    return static_cast<size_t>(std::distance(begin(tasks), end(tasks)));
}

std::string listing(const std::map<int, std::string> &descriptors)
{
    std::string text;
    for (const auto &[number, target] : descriptors) {
        text += " " + std::to_string(number) + "=" + target;
    }
    return text;
}

class Play
{
  public:
    explicit Play(const Scenario &scenario) : scenario_(scenario)
    {
    }

    void run()
    {
        descriptors_ = descriptor_count(getpid());
        threads_ = threads();
        if (scenario_.start == Start::before) {
            stage_.must_serve(scenario_.arguments);
            eventually([&] { return count_lines(stage_.log(), "event=confined") > 0; });
            daemon_descriptors_ = descriptor_count(stage_.daemon().pid());
            crowd();
            settle();
        }
        blocks_ = blocks();
        stage_.arm();
        try {
            scenario_.play(stage_);
        } catch (const Ended &end) {
            explain(end);
        } catch (const std::system_error &error) {
            explain(error); // a peer's, whose connection was cut off
        }
        look_at_daemon();
        settle();
        stage_.disarm();
        look_around();
        afterwards();
    }

  private:
    // An end that is well if something was let fail.
    void explain(const std::exception &end)
    {
        if (!stage_.has_fired()) {
            report_failure(std::string("nothing failed, and yet: ") + end.what());
        }
    }

    int blocks()
    {
        return __atomic_load_n(&stage_.plan().blocks, __ATOMIC_SEQ_CST);
    }

    bool is_daemon_there() const
    {
        return daemon_descriptors_ && stage_.has_daemon();
    }

    // Closing takes the daemon, and the library's threads, a moment.
    void settle()
    {
        eventually([&] {
            return descriptor_count(getpid()) <= descriptors_ && threads() <= threads_ &&
                   (!is_daemon_there() || descriptor_count(stage_.daemon().pid()) <= *daemon_descriptors_);
        });
    }

    void look_around()
    {
        if (descriptor_count(getpid()) > descriptors_) {
            report_failure("the client has descriptors left:" + listing(descriptors_of(getpid())));
        }
        if (threads() > threads_) {
            report_failure("the client has threads left");
        }
        if (is_daemon_there() && descriptor_count(stage_.daemon().pid()) > *daemon_descriptors_) {
            report_failure("the daemon has descriptors left:" + listing(descriptors_of(stage_.daemon().pid())));
        }
    }

    // It could not wait.
    bool may_leave()
    {
        const torture_plan &plan = stage_.plan();
        const bool waited = plan.function == TORTURE_epoll_wait || plan.function == TORTURE_select;
        return plan.side == TORTURE_DAEMON && waited && plan.error != EINTR && stage_.has_fired();
    }

    bool has_left_for_that(int status)
    {
        return may_leave() && status == 1 && count_lines(stage_.log(), " error ") > 0;
    }

    // It may be gone only for that, or when it could not start.
    void look_at_daemon()
    {
        if (scenario_.loses_daemon || scenario_.start == Start::within || (stage_.has_daemon() && !may_leave())) {
            return;
        }
        const int status = stage_.daemon().wait().value_or(-1);
        if (!has_left_for_that(status)) {
            report_failure("the daemon left with " + std::to_string(status));
        }
    }

    // The failure is over: the next client is served, by this daemon or a new one.
    void afterwards()
    {
        visit();
        settle();
        const bool counts = stage_.plan().side == TORTURE_CLIENT || (is_daemon_there() && !scenario_.loses_daemon);
        const auto more = [&] { return blocks() - blocks_; };
        const int spare = stage_.plan().spare_blocks;
        if (counts && spare != INT_MAX) {
            eventually([&] { return more() <= spare; }, std::chrono::milliseconds(500));
        }
        stage_.plan().left_blocks = counts ? more() : 0;
        if (counts && more() > spare) {
            report_failure(std::to_string(more()) + " blocks of memory are left, not " + std::to_string(spare));
        }
        if (stage_.has_daemon()) {
            stage_.daemon().kill(SIGTERM);
            const int status = stage_.daemon().wait().value_or(-1);
            if (status != 0 && !has_left_for_that(status)) { // the call that fails may come as late as this
                report_failure("the daemon leaves with " + std::to_string(status));
            }
        }
        // Whatever fails, it is not that the client says what no client says.
        for (const auto &line : lines_with(stage_.log(), "Sanitizer|runtime error:|[Aa]ssert|event=malformed")) {
            report_failure("the daemon: " + line);
        }
    }

    const Scenario &scenario_;
    Stage stage_;
    int blocks_ = 0;
    size_t descriptors_ = 0; // of the client, before
    size_t threads_ = 0;
    std::optional<size_t> daemon_descriptors_;
};
} // namespace

void test_support::report_failure(const std::string &text)
{
    failures++;
    std::cerr << text << std::endl;
}

int main(int argc, char **argv)
{
    const rlimit no_cores{0, 0};
    setrlimit(RLIMIT_CORE, &no_cores);
    const auto &all = scenarios();
    const auto scenario =
        std::find_if(all.begin(), all.end(), [&](const Scenario &one) { return argc == 2 && one.name == argv[1]; });
    if (scenario == all.end()) {
        std::cerr << "there is no such scenario" << std::endl;
        return 2;
    }
    try {
        Play(*scenario).run();
    } catch (const std::exception &error) {
        report_failure(error.what());
    }
    return failures ? 1 : 0;
}
