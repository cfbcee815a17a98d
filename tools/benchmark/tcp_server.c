/*
 * A server through the tcp_* calls. Linked three times: with liboche as the server that is measured; with reference.c
 * as the in-process design that it is compared with; with direct.c to tell what liboche's thread costs.
 */
#include "tools/benchmark/application.h"
#include "tools/benchmark/sockets.h"
#include "tools/benchmark/vm.h"

#include <err.h>
#include <oche/tcp_socket.h>

int main(int argc, char **argv)
{
    struct server_options options;
    arguments_parse(argc, argv, &options);
    sockets_raise_limit();
    vm_enter();
    int64_t result = tcp_init(vm_data(), vm_port());
    if (result < 0)
        errx(1, "tcp_init: error %lld (OCHE_LOG=1 in the environment tells more)", (long long)result);
    application_run(&options);
}
