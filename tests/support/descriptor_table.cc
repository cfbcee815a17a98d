#include "tests/support/descriptor_table.h"

#include <filesystem>
#include <system_error>

#include "tests/support/patience.h"

namespace test_support
{
namespace
{
// The lines of those of `table` that `other` does not have.
std::string missing_in(const DescriptorTable &other, const DescriptorTable &table, const std::string &what)
{
    std::string lines;
    for (const auto &[number, target] : table) {
        const auto found = other.find(number);
        if (found == other.end() || found->second != target) {
            lines += "\n  " + what + " " + std::to_string(number) + " " + target;
        }
    }
    return lines;
}
} // namespace

DescriptorTable descriptors_of(pid_t pid)
{
    DescriptorTable result;
    const std::string directory = "/proc/" + std::to_string(pid) + "/fd";
    std::error_code gone; // the process may leave while it is looked at
    for (auto at = std::filesystem::directory_iterator(directory, gone); at != end(at); at.increment(gone)) {
        const auto target = std::filesystem::read_symlink(at->path(), gone);
        // The descriptor that the iterator reads the directory with is not one of the process's own.
        if (!gone && target.string() != directory) {
            result[std::stoi(at->path().filename())] = target;
        }
    }
    return result;
}

size_t descriptor_count(pid_t pid)
{
    return descriptors_of(pid).size();
}

std::string changed_since(const DescriptorTable &before, pid_t pid)
{
    DescriptorTable now;
    const bool same = eventually([&] {
        now = descriptors_of(pid);
        return now.size() == before.size();
    });
    return same ? ""
                : std::to_string(before.size()) + " descriptors have become " + std::to_string(now.size()) +
                      missing_in(before, now, "came:") + missing_in(now, before, "went:");
}
} // namespace test_support
