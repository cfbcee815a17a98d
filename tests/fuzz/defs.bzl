"""Fuzz targets."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_test")
load("//tools/bazel:oche.bzl", "OCHE_COPTS", "oche_c_library")

def fuzz_target(name, deps, wraps = []):
    """NAME.c as a fuzzer, and as a test that replays its corpus.

    The test is NAME, without libFuzzer, with any compiler. The fuzzer is NAME_fuzzer, for clang and --config=fuzz:
    tools/fuzz builds and runs it.

    Args:
      name: the target; the corpus is corpus/NAME/*
      deps: what is fuzzed, and what helps
      wraps: functions of the C library that are replaced, for the linker's --wrap
    """
    linkopts = ["-Wl,--wrap=" + function for function in wraps]
    oche_c_library(
        name = name + "_target",
        testonly = True,
        srcs = [name + ".c"],
        # Nobody calls it by name but libFuzzer.
        alwayslink = True,
        deps = deps + [":support"],
    )
    cc_test(
        name = name,
        size = "small",
        srcs = ["replay.c"],
        args = ["tests/fuzz/corpus/" + name],
        copts = OCHE_COPTS,
        data = native.glob(["corpus/%s/*" % name]),
        linkopts = linkopts,
        linkstatic = True,
        deps = [
            ":" + name + "_target",
            ":support",
        ],
    )
    cc_binary(
        name = name + "_fuzzer",
        testonly = True,
        linkopts = linkopts + ["-fsanitize=fuzzer"],
        tags = ["manual"],
        deps = [":" + name + "_target"],
    )
