// What a process under load answers when it rests: one line.
#pragma once

#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

namespace chaos
{
struct Report {
    // Since the process began.
    uint64_t requests = 0;    // that were queued
    uint64_t completions = 0; // of these
    uint64_t refusals = 0;    // requests that were refused at once
    uint64_t bytes = 0;       // that were compared
    uint64_t exchanges = 0;   // that were finished
    uint64_t losses = 0;      // exchanges that the loss of the daemon interrupted
    uint64_t held_up = 0;     // calls of tcp_init that failed because the daemon did not answer
    uint64_t errors = 0;      // which are told on standard error
    // Since the last report, microseconds.
    int64_t slowest_call = 0; // of those that never block
    int64_t slowest_open = 0; // of tcp_init
    // Now.
    uint64_t blocks = 0;   // of data that was not given back
    uint64_t children = 0; // that somebody would have to wait for
    // When isolates had their first echo after a loss, since the last report.
    std::vector<int64_t> recoveries;

    std::string text() const
    {
        std::ostringstream line;
        line << requests << ' ' << completions << ' ' << refusals << ' ' << bytes << ' ' << exchanges << ' ' << losses
             << ' ' << held_up << ' ' << errors << ' ' << slowest_call << ' ' << slowest_open << ' ' << blocks << ' '
             << children;
        for (const int64_t recovery : recoveries) {
            line << ' ' << recovery;
        }
        return line.str();
    }

    static Report from(const std::string &text)
    {
        Report report;
        std::istringstream line(text);
        line >> report.requests >> report.completions >> report.refusals >> report.bytes >> report.exchanges >>
            report.losses >> report.held_up >> report.errors >> report.slowest_call >> report.slowest_open >>
            report.blocks >> report.children;
        for (int64_t recovery = 0; line >> recovery;) {
            report.recoveries.push_back(recovery);
        }
        return report;
    }
};
} // namespace chaos
