"""The rules oche's BUILD files use: cc_* with the project's flags. Warnings are errors."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")

_WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wcast-qual",
    "-Wpointer-arith",
    "-Wshadow",
    "-Wundef",
    "-Wvla",
]

# For C.
OCHE_COPTS = _WARNINGS + [
    "-std=c11",
    "-D_GNU_SOURCE",
    "-fvisibility=hidden",
    "-Wmissing-prototypes",
    "-Wstrict-prototypes",
]

# For C++, in which only tests are written: quick to compile matters more than quick to run.
OCHE_CXXOPTS = _WARNINGS + [
    "-O1",
    "-std=c++17",
    "-D_GNU_SOURCE",
]

# Libraries are archives only (linkstatic): else Bazel would also link a lib<name>.so of each.

def oche_c_library(name, copts = [], **kwargs):
    cc_library(name = name, copts = OCHE_COPTS + copts, linkstatic = True, **kwargs)

def oche_c_binary(name, copts = [], **kwargs):
    """A program, or with linkshared = True a shared library."""
    cc_binary(name = name, copts = OCHE_COPTS + copts, **kwargs)

def oche_test_library(name, copts = [], **kwargs):
    """C++ code that several tests share."""
    cc_library(name = name, copts = OCHE_CXXOPTS + copts, linkstatic = True, testonly = True, **kwargs)

def oche_test(name, copts = [], deps = [], size = "small", **kwargs):
    """A Catch2 test. Its sources include <catch2/catch.hpp> and define no main."""
    cc_test(
        name = name,
        size = size,
        linkstatic = True,
        copts = OCHE_CXXOPTS + copts,
        deps = deps + ["//tests/support:main"],
        **kwargs
    )

def oche_test_program(name, copts = [], linkopts = [], deps = [], **kwargs):
    """A Catch2 test as a program, for a rule that says how it runs."""
    cc_binary(
        name = name,
        testonly = True,
        copts = OCHE_CXXOPTS + copts,
        linkopts = ["-lstdc++"] + linkopts,
        deps = deps + ["//tests/support:main"],
        **kwargs
    )
