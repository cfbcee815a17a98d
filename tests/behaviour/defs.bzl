"""Tests of the real daemon through the real library."""

load("//tools/bazel:oche.bzl", "oche_test", "oche_test_library")

_METHODS = ["epoll", "select"]

def behaviour_test(name, size = "small", **kwargs):
    """A Catch2 test of the real daemon: one target for each way in which the daemon's loop can wait.

    The source is NAME.cc; the targets are NAME_epoll and NAME_select.
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
    for method in _METHODS:
        oche_test(
            name = name + "_" + method,
            size = size,
            srcs = ["//client:liboche.so"],
            data = [
                "//client:liboche.so",
                "//daemon:oched",
                "//tests/support:companion",
            ],
            env = {"OCHE_TEST_METHOD": method},
            deps = [":" + name + "_cases"],
            **kwargs
        )
