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

# For C++, in which only tests are written. Most of a build is compiling them, and what they do themselves takes next to
# no time: so they are not optimised, and have line numbers but no more for a debugger (--config=debug has). UBSan stays
# out of them: it makes them take twice as long to compile, and judges the product, not its tests.
OCHE_CXXOPTS = _WARNINGS + [
    "-O0",
    "-g1",
    "-U_FORTIFY_SOURCE",
    "-fno-sanitize=undefined",
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

def oche_test_program(name, copts = [], linkopts = [], **kwargs):
    """A program for oche_program_test: C++, with its main."""
    cc_binary(
        name = name,
        testonly = True,
        copts = OCHE_CXXOPTS + copts,
        linkopts = ["-lstdc++"] + linkopts,
        **kwargs
    )

def _oche_program_test_impl(ctx):
    test = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(output = test, target_file = ctx.executable.program, is_executable = True)
    return [
        DefaultInfo(
            executable = test,
            runfiles = ctx.attr.program[DefaultInfo].default_runfiles,
        ),
        testing.TestEnvironment(ctx.attr.env),
    ]

# A test that runs a program of its own target, with "args" as any test has them. So tests that differ in their arguments
# or their environment share one program, which is linked once.
oche_program_test = rule(
    implementation = _oche_program_test_impl,
    test = True,
    attrs = {
        "program": attr.label(executable = True, cfg = "target", mandatory = True),
        "env": attr.string_dict(),
    },
)
