"""Tests of the real daemon through the real library."""

load("//tools/bazel:oche.bzl", "oche_test_program")

def _behaviour_test_impl(ctx):
    test = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(output = test, target_file = ctx.executable.program, is_executable = True)
    runfiles = ctx.runfiles(files = ctx.files.data).merge(ctx.attr.program[DefaultInfo].default_runfiles)
    return [
        DefaultInfo(executable = test, runfiles = runfiles),
        testing.TestEnvironment(ctx.attr.environment),
    ]

# A program is linked once, and each of its tests runs it in an environment of its own.
_behaviour_variant_test = rule(
    implementation = _behaviour_test_impl,
    test = True,
    attrs = {
        "program": attr.label(executable = True, cfg = "target", mandatory = True),
        "data": attr.label_list(allow_files = True),
        "environment": attr.string_dict(),
    },
)

# How the daemon's loop waits, and on which lane frames come, by what a test depends on. The two have nothing to do with
# each other: so one of the four pairs is left out.
_VARIANTS = {
    (): {"": ("epoll", "memory")},
    ("lane",): {"_memory": ("epoll", "memory"), "_plain": ("epoll", "plain")},
    ("method",): {"_epoll": ("epoll", "memory"), "_select": ("select", "memory")},
    ("lane", "method"): {
        "_epoll_memory": ("epoll", "memory"),
        "_epoll_plain": ("epoll", "plain"),
        "_select_memory": ("select", "memory"),
    },
}

def behaviour_test(name, depends_on = [], size = "small", data = [], tags = [], linkopts = []):
    """A Catch2 test of the real daemon, in NAME.cc.

    Args:
        name: also the target's, but for what it depends on: NAME_memory, NAME_select, NAME_epoll_plain and so on.
        depends_on: "lane" if what it tests is done in different code on the two lanes; "method" if it has to do with how
            the daemon's loop waits.
        size: as of any test.
        data: what it needs at run time, besides the product.
        tags: as of any test. Those with select(2) also have the tag "select".
        linkopts: as of any program.
    """
    oche_test_program(
        name = name + "_program",
        srcs = [
            name + ".cc",
            "//client:liboche.so",
        ],
        linkopts = linkopts,
        deps = ["//tests/support"],
    )
    for suffix, (method, lane) in _VARIANTS[tuple(depends_on)].items():
        _behaviour_variant_test(
            name = name + suffix,
            size = size,
            program = name + "_program",
            data = [
                "//client:liboche.so",
                "//client:ochectl",
                "//daemon:oched",
                "//tests/support:companion",
            ] + data,
            environment = {
                "OCHE_LANE": lane,
                "OCHE_TEST_METHOD": method,
            },
            tags = tags + (["select"] if method == "select" else []),
        )
