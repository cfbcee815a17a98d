// What can be done with the engine's ring, and what cannot.

#include <catch2/catch.hpp>

#include <liburing.h>

extern "C" {
#include "daemon/engine/restricted_ring.h"
}

#include "tests/support/skip.h"

#include <cerrno>
#include <fcntl.h>
#include <functional>
#include <sys/syscall.h>
#include <unistd.h>

namespace
{

// The result of one operation.
int result_of(io_uring &ring, const std::function<void(io_uring_sqe *)> &prepare)
{
    io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    REQUIRE(sqe);
    prepare(sqe);
    REQUIRE(io_uring_submit_and_wait(&ring, 1) == 1);
    io_uring_cqe *cqe = nullptr;
    REQUIRE(io_uring_peek_cqe(&ring, &cqe) == 0);
    const int result = cqe->res;
    io_uring_cqe_seen(&ring, cqe);
    return result;
}

} // namespace

TEST_CASE("a ring does what the engine needs, and opens no files")
{
    io_uring ring{};
    if (restricted_ring_open(&ring) != 0) {
        SKIP("this system has no io_uring for us");
    }
    REQUIRE(restricted_ring_enable(&ring) == 0);
    CHECK(result_of(ring, [](io_uring_sqe *sqe) { io_uring_prep_nop(sqe); }) == 0);
    CHECK(result_of(ring, [](io_uring_sqe *sqe) {
              io_uring_prep_openat(sqe, AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC, 0);
          }) == -EACCES);
    CHECK(result_of(ring, [](io_uring_sqe *sqe) { io_uring_prep_read(sqe, 0, nullptr, 0, 0); }) == -EACCES);
    CHECK(result_of(ring, [](io_uring_sqe *sqe) {
              io_uring_prep_nop(sqe);
              sqe->flags = IOSQE_ASYNC;
          }) == -EACCES);
    io_uring_probe probe{};
    CHECK(syscall(SYS_io_uring_register, ring.ring_fd, IORING_REGISTER_PROBE, &probe, 0) == -1);
    CHECK(errno == EACCES);
    io_uring_queue_exit(&ring);
}

TEST_CASE("before a ring is enabled it does nothing")
{
    io_uring ring{};
    if (restricted_ring_open(&ring) != 0) {
        SKIP("this system has no io_uring for us");
    }
    io_uring_prep_nop(io_uring_get_sqe(&ring));
    CHECK(io_uring_submit(&ring) == -EBADFD);
    io_uring_queue_exit(&ring);
}
