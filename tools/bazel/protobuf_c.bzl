"""C code from a .proto, by the system's protoc-c."""

load("@rules_cc//cc:defs.bzl", "cc_library")

def protobuf_c_library(name, src, **kwargs):
    """A library of the messages in src, "NAME.proto"; include it as "PACKAGE/NAME.pb-c.h"."""
    base = src[:-len(".proto")]
    # Its macros would break our warnings where they are used: a system header may.
    native.genrule(
        name = name + "_protoc",
        srcs = [src],
        outs = [base + ".pb-c.c", base + ".pb-c.h"],
        cmd = "protoc-c -I. --c_out=$(GENDIR) $(SRCS)" +
              " && sed -i '1i #pragma GCC system_header' $(RULEDIR)/" + base + ".pb-c.h",
    )
    cc_library(
        name = name,
        srcs = [base + ".pb-c.c"],
        hdrs = [base + ".pb-c.h"],
        # Generated code: not ours to be strict with.
        copts = ["-std=c11", "-fvisibility=hidden", "-w"],
        linkstatic = True,
        deps = ["//tools/bazel:protobuf_c"],
        **kwargs
    )
