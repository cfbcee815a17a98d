#include "tests/support/others.h"

#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/descriptor.h"

namespace test_support
{
const char *why_no_others()
{
    if (geteuid() != 0) {
        return "only root can give files away";
    }
    const Descriptor file(memfd_create("file", MFD_CLOEXEC));
    return fchown(file.get(), nobody, nobody) == 0 ? nullptr : "this user namespace knows no other users";
}
} // namespace test_support
