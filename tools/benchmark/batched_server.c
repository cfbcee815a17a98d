/*
 * The server of tcp_server.c as the Dart package uses liboche: what completes together comes in one message, and the
 * writes of an echo are not heard of when they are done.
 */
#include "tools/benchmark/application.h"
#include "tools/benchmark/sockets.h"
#include "tools/benchmark/vm.h"

#include <err.h>
#include <oche/oche.h>

int main(int argc, char **argv)
{
    struct server_options options;
    arguments_parse(argc, argv, &options);
    options.quiet_writes = true;
    sockets_raise_limit();
    vm_enter();
    int64_t result = tcp_init(vm_data(), vm_port());
    if (result == 0)
        result = oche_isolate_enable(OCHE_FEATURE_BATCHED_POSTS | OCHE_FEATURE_QUIET_WRITES);
    if (result < 0)
        errx(1, "tcp_init: error %lld (OCHE_LOG=1 in the environment tells more)", (long long)result);
    application_run(&options);
}
