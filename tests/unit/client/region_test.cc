#include <catch2/catch.hpp>

#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/descriptor.h"

extern "C" {
#include "client/diagnostics.h"
#include "proto/errors.h"
#include "tests/unit/client/region_try.h"
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
} // namespace

TEST_CASE("memory of the right size that is sealed against shrinking and growing is mapped")
{
    CHECK(region_try(memory(memory_total(&sizes), F_SEAL_SHRINK | F_SEAL_GROW).get(), &sizes) == 0);
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
