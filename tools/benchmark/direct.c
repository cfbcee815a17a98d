/*
 * The tcp_* calls and the messages of vm.h on the interface without callbacks (oche.h): one thread, no native port.
 *
 * The difference to the server through liboche's own tcp_* calls is what the poster thread, the queue and the wake-ups
 * between threads cost. Of the contract it has what application.c calls.
 */
#include "tools/benchmark/vm.h"

#include <err.h>
#include <oche/oche.h>
#include <poll.h>
#include <stddef.h>

enum { BATCH = 4096 };

static oche_session *session;
static struct vm_message messages[BATCH];

static void give_back(void *isolate_callback_data, void *peer)
{
    (void)isolate_callback_data;
    oche_data_free(peer);
}

void vm_enter(void)
{
}

void *vm_data(void)
{
    return NULL;
}

int64_t vm_port(void)
{
    return 0;
}

static size_t pop(void)
{
    struct oche_completion completion = {.size = sizeof completion};
    size_t count = 0;
    while (count < BATCH && oche_session_pop(session, &completion)) {
        messages[count++] = (struct vm_message){
            .request_id = completion.request_id,
            .result = completion.result,
            .data = completion.data,
            .finalizer = completion.data_owner ? give_back : NULL,
            .peer = completion.data_owner,
        };
    }
    return count;
}

size_t vm_take(const struct vm_message **taken, int timeout_ms)
{
    struct pollfd pollfd = {.fd = oche_session_get_fd(session), .events = POLLIN};
    *taken = messages;
    size_t count = pop();
    while (count == 0) {
        /* Sends what was queued since the last time, too. */
        if (oche_session_dispatch(session) < 0)
            errx(1, "the daemon is gone");
        count = pop();
        if (count == 0 && poll(&pollfd, 1, timeout_ms) == 0)
            break;
    }
    return count;
}

void vm_finalize(const struct vm_message *message)
{
    if (message->finalizer)
        message->finalizer(NULL, message->peer);
}

int64_t tcp_init(void *dart_api_dl_data, int64_t send_port)
{
    (void)dart_api_dl_data, (void)send_port;
    return oche_session_open(NULL, &session);
}

int64_t tcp_connect(int64_t request_id, const uint8_t *addr, int64_t addr_len, int64_t port, const uint8_t *source_addr,
                    int64_t source_addr_len, int64_t source_port)
{
    struct oche_connect_options options = {
        .size = sizeof options,
        .address = addr,
        .address_length = (size_t)addr_len,
        .port = (uint16_t)port,
        .source_address = source_addr,
        .source_address_length = (size_t)source_addr_len,
        .source_port = (uint16_t)source_port,
    };
    return oche_connect(session, request_id, &options);
}

int64_t tcp_listen(int64_t request_id, const uint8_t *addr, int64_t addr_len, int64_t port, bool v6_only,
                   int64_t backlog, bool shared)
{
    struct oche_listen_options options = {
        .size = sizeof options,
        .address = addr,
        .address_length = (size_t)addr_len,
        .port = (uint16_t)port,
        .v6_only = v6_only,
        .shared = shared,
        .backlog = (uint32_t)backlog,
    };
    return oche_listen(session, request_id, &options);
}

int64_t tcp_accept(int64_t request_id, int64_t listener)
{
    return oche_accept(session, request_id, listener);
}

int64_t tcp_read(int64_t request_id, int64_t handle)
{
    return oche_read(session, request_id, handle);
}

int64_t tcp_write(int64_t request_id, int64_t handle, const uint8_t *data, int64_t offset, int64_t count)
{
    return oche_write(session, request_id, handle, data + offset, (size_t)count);
}

int64_t tcp_close(int64_t request_id, int64_t handle)
{
    return oche_close(session, request_id, handle);
}

int64_t tcp_get_local_port(int64_t handle)
{
    struct oche_endpoint endpoint = {.size = sizeof endpoint};
    int64_t result = oche_get_local(session, handle, &endpoint);
    return result < 0 ? result : endpoint.port;
}
