"""Tests of the real daemon through the real library."""

load("//tools/bazel:oche.bzl", "oche_test", "oche_test_library")

_METHODS = ["epoll", "select"]

_LANES = ["memory", "plain"]

def behaviour_test(name, size = "small", data = [], **kwargs):
    """A Catch2 test of the real daemon: one target for each way in which the daemon's loop can wait and each lane.

    The source is NAME.cc; the targets are NAME_epoll_memory, NAME_epoll_plain and so on.
    """
    oche_test_library(
        name = name + "_cases",
        srcs = [name + ".cc"],
        # Nobody calls a test case by name.
        alwayslink = True,
        deps = [
            "//tests/support",
            "//tests/support:main",
        ],
    )
    for method, lane in [(method, lane) for method in _METHODS for lane in _LANES]:
        oche_test(
            name = "_".join([name, method, lane]),
            size = size,
            srcs = ["//client:liboche.so"],
            data = [
                "//client:liboche.so",
                "//client:ochectl",
                "//daemon:oched",
                "//tests/support:companion",
            ] + data,
            env = {
                "OCHE_LANE": lane,
                "OCHE_TEST_METHOD": method,
            },
            deps = [":" + name + "_cases"],
            **kwargs
        )
