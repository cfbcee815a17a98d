"""Tests of the real daemon through the real library."""

load("//tools/bazel:oche.bzl", "oche_program_test", "oche_test_program")

# The targets of a test by what it depends on: what is behind its name, how the daemon's loop waits, and the lane. A test
# that depends on both has both lanes with epoll, and one with each of the other methods: the lanes know nothing of how the
# loop waits, so what can go wrong on the plain lane with select goes wrong in one of the others.
_TARGETS = {
    "": [("", "epoll", "memory")],
    "lane": [("_memory", "epoll", "memory"), ("_plain", "epoll", "plain")],
    "method": [
        ("_epoll", "epoll", "memory"),
        ("_select", "select", "memory"),
        ("_io_uring", "io_uring", "memory"),
    ],
    "lane method": [
        ("_epoll_memory", "epoll", "memory"),
        ("_epoll_plain", "epoll", "plain"),
        ("_select_memory", "select", "memory"),
        ("_io_uring_memory", "io_uring", "memory"),
    ],
}

def behaviour_test(name, depends_on = [], size = "small", data = [], deps = [], tags = []):
    """A Catch2 test of the real daemon, one target for each setting in which it may come out differently.

    The source is NAME.cc. It is linked once, as NAME_program, and each target runs that.

    Args:
      name: the target, if it depends on nothing; else NAME_memory and NAME_plain, or NAME_epoll, NAME_select and
        NAME_io_uring, or NAME_epoll_memory, NAME_epoll_plain, NAME_select_memory and NAME_io_uring_memory
      depends_on: "lane", if what it is about is other code on the memory lane than on the plain lane; "method", if it is
        about what the daemon's loop waits for. Neither: it runs once, on the memory lane with epoll
      size: as of any test
      data: what it needs at run time, besides the product
      deps: what it is linked with, besides that
      tags: as of any test; the targets with another method than epoll also have that one as a tag
    """
    oche_test_program(
        name = name + "_program",
        srcs = [
            name + ".cc",
            "//client:liboche.so",
        ],
        data = [
            "//client:liboche.so",
            "//client:ochectl",
            "//daemon:oched",
            "//tests/support:companion",
        ] + data,
        deps = [
            "//tests/support",
            "//tests/support:main",
        ] + deps,
    )
    for suffix, method, lane in _TARGETS[" ".join(sorted(depends_on))]:
        oche_program_test(
            name = name + suffix,
            size = size,
            env = {
                "OCHE_LANE": lane,
                "OCHE_TEST_METHOD": method,
            },
            program = name + "_program",
            tags = tags + ([method] if method != "epoll" else []),
        )
