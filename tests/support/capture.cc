#include "tests/support/capture.h"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/mman.h>
#include <system_error>
#include <unistd.h>

namespace test_support
{
Capture::Capture(int stream)
    : stream_(stream), before_(fcntl(stream, F_DUPFD_CLOEXEC, 3)), file_(memfd_create("capture", MFD_CLOEXEC))
{
    fflush(nullptr);
    if (!before_ || !file_ || dup2(file_.get(), stream_) < 0) {
        throw std::system_error(errno, std::generic_category(), "cannot capture a standard stream");
    }
}

Capture::~Capture()
{
    fflush(nullptr);
    dup2(before_.get(), stream_);
}

std::string Capture::text() const
{
    fflush(nullptr);
    std::string text(static_cast<size_t>(lseek(file_.get(), 0, SEEK_END)), '\0');
    const ssize_t count = pread(file_.get(), text.data(), text.size(), 0);
    text.resize(count > 0 ? static_cast<size_t>(count) : 0);
    return text;
}
} // namespace test_support
