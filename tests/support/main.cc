// The main function of all tests. It adds to Catch2 one line for each test case, which tools/test
// counts:
//   RUN name, then PASS name, FAIL name or SKIP name: why
// A RUN that nothing follows is where the program crashed or hung. A program of which no test case was asked for says
// NONE, once. A test case that leaves this process with more or
// fewer descriptors than it had has failed, whatever it says itself.
#define CATCH_CONFIG_RUNNER
// A crash belongs to the sanitizers and to the core dump.
#define CATCH_CONFIG_NO_POSIX_SIGNALS
#include <catch2/catch.hpp>

#include <cstdio>
#include <cstdlib>
#include <unistd.h>

#include "tests/support/descriptor_table.h"
#include "tests/support/skip.h"

namespace
{
std::string skip_reason;
bool descriptors_changed = false;
unsigned cases = 0;

// In one piece, and at once: children of the test write to the same place, and the next test may
// crash.
void print_line(const std::string &line)
{
    std::fflush(stdout);
    std::fputs((line + "\n").c_str(), stdout);
    std::fflush(stdout);
}

struct ResultLines : Catch::TestEventListenerBase {
    using TestEventListenerBase::TestEventListenerBase;

    void testCaseStarting(const Catch::TestCaseInfo &info) override
    {
        TestEventListenerBase::testCaseStarting(info);
        skip_reason.clear();
        cases++;
        print_line("RUN " + info.name);
        before_ = test_support::descriptors_of(getpid());
    }

    void testCaseEnded(const Catch::TestCaseStats &stats) override
    {
        const std::string &name = stats.testInfo.name;
        const std::string change = test_support::changed_since(before_, getpid());
        if (!change.empty()) {
            // Too late for Catch2 to count it: main() does.
            descriptors_changed = true;
            print_line(name + ": of this process " + change);
        }
        if (stats.totals.testCases.failed > 0 || !change.empty()) {
            print_line("FAIL " + name);
        } else if (!skip_reason.empty()) {
            print_line("SKIP " + name + ": " + skip_reason);
        } else {
            print_line("PASS " + name);
        }
        TestEventListenerBase::testCaseEnded(stats);
    }

  private:
    test_support::DescriptorTable before_;
};

CATCH_REGISTER_LISTENER(ResultLines)
} // namespace

void test_support::mark_skipped(const std::string &why)
{
    skip_reason = why.empty() ? "no reason given" : why;
}

int main(int argc, char *argv[])
{
    Catch::Session session;
    if (int error = session.applyCommandLine(argc, argv)) {
        return error;
    }
    // bazel test --test_filter=...
    const char *filter = std::getenv("TESTBRIDGE_TEST_ONLY");
    if (filter) {
        session.configData().testsOrTags.push_back(filter);
    }
    const int failures = session.run();
    const bool lists = session.configData().listTests || session.configData().listTestNamesOnly ||
                       session.configData().listTags || session.configData().showHelp;
    if (cases == 0 && failures == 0 && !lists) {
        print_line("NONE");
        // Others of the programs that Bazel runs may have cases of that name; else there is a mistake.
        return filter ? 0 : 1;
    }
    return failures == 0 && descriptors_changed ? 1 : failures;
}
