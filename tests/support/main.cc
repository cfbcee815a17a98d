// The main function of all tests. It adds to Catch2 one line for each test case, which tools/test
// counts:
//   RUN name, then PASS name, FAIL name or SKIP name: why
// A RUN that nothing follows is where the program crashed or hung.
#define CATCH_CONFIG_RUNNER
// A crash belongs to the sanitizers and to the core dump.
#define CATCH_CONFIG_NO_POSIX_SIGNALS
#include <catch2/catch.hpp>

#include <cstdio>
#include <cstdlib>

#include "tests/support/skip.h"

namespace
{
std::string skip_reason;

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
        print_line("RUN " + info.name);
    }

    void testCaseEnded(const Catch::TestCaseStats &stats) override
    {
        const std::string &name = stats.testInfo.name;
        if (stats.totals.testCases.failed > 0) {
            print_line("FAIL " + name);
        } else if (!skip_reason.empty()) {
            print_line("SKIP " + name + ": " + skip_reason);
        } else {
            print_line("PASS " + name);
        }
        TestEventListenerBase::testCaseEnded(stats);
    }
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
    if (const char *filter = std::getenv("TESTBRIDGE_TEST_ONLY")) {
        session.configData().testsOrTags.push_back(filter);
    }
    return session.run();
}
