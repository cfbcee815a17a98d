#include <catch2/catch.hpp>

#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/descriptor.h"

extern "C" {
#include "client/os/diagnostics.h"
#include "proto/errors.h"
#include "tests/unit/client/os/region_try.h"
}

using test_support::Descriptor;

namespace
{
const memory_sizes sizes{64 * 1024, 64 * 1024, 1024 * 1024, 1024 * 1024};

Descriptor memory(size_t size, int seals)
{
    Descriptor fd(memfd_create("region", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    REQUIRE(ftruncate(fd.get(), static_cast<off_t>(size)) == 0);
    REQUIRE(fcntl(fd.get(), F_ADD_SEALS, seals) == 0);
    return fd;
}

bool is_refused(const Descriptor &fd, const std::string &why)
{
    diagnostics_clear();
    return region_try(fd.get(), &sizes) == OCHE_ERR_DAEMON_UNAVAILABLE &&
           std::string(diagnostics_last()).find(why) != std::string::npos;
}
// What is written to the region is written to the memory, from end to end.
bool has_marks(const Descriptor &fd)
{
    uint8_t first = 0;
    uint8_t last = 0;
    REQUIRE(pread(fd.get(), &first, 1, 0) == 1);
    REQUIRE(pread(fd.get(), &last, 1, static_cast<off_t>(memory_total(&sizes)) - 1) == 1);
    return first == REGION_TRY_MARK && last == REGION_TRY_MARK;
}

bool is_mapped()
{
    std::ifstream maps("/proc/self/maps");
    const std::string all((std::istreambuf_iterator<char>(maps)), std::istreambuf_iterator<char>());
    REQUIRE(!all.empty());
    return all.find("memfd:region") != std::string::npos;
}
} // namespace

TEST_CASE("memory of the right size that is sealed against shrinking and growing is mapped")
{
    const Descriptor fd = memory(memory_total(&sizes), F_SEAL_SHRINK | F_SEAL_GROW);
    REQUIRE(region_try(fd.get(), &sizes) == 0);
    CHECK(has_marks(fd));
    CHECK_FALSE(is_mapped()); // no more, when nobody needs it
}

TEST_CASE("memory that the daemon could shrink or grow later is refused")
{
    CHECK(is_refused(memory(memory_total(&sizes), 0), "not sealed"));
    CHECK(is_refused(memory(memory_total(&sizes), F_SEAL_SHRINK), "not sealed"));
    CHECK(is_refused(memory(memory_total(&sizes), F_SEAL_GROW), "not sealed"));
}

TEST_CASE("memory that is smaller or larger than the daemon says is refused")
{
    CHECK(is_refused(memory(memory_total(&sizes) - 4096, F_SEAL_SHRINK | F_SEAL_GROW), "not as large"));
    CHECK(is_refused(memory(memory_total(&sizes) + 4096, F_SEAL_SHRINK | F_SEAL_GROW), "not as large"));
}

TEST_CASE("a descriptor that is no shared memory is refused")
{
    CHECK(is_refused(Descriptor(open("/dev/null", O_RDWR | O_CLOEXEC)), "its seals"));
}

TEST_CASE("memory that may not be written to is refused")
{
    const Descriptor writable = memory(memory_total(&sizes), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    CHECK(is_refused(writable, "mapping it"));
}
