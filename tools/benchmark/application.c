#include "tools/benchmark/application.h"

#include "tools/benchmark/clock.h"
#include "tools/benchmark/sockets.h"
#include "tools/benchmark/vm.h"

#include <err.h>
#include <oche/tcp_socket.h>
#include <stdbool.h>
#include <stdlib.h>

enum { ACCEPTS = 16 };

/* A request id says what has been completed, and for which connection. Of a quiet write, it is negative. */
enum request { REQUEST_LISTEN, REQUEST_ACCEPT, REQUEST_READ, REQUEST_WRITE, REQUEST_CLOSE, REQUEST_CONNECT };
enum { REQUEST_BITS = 3 };

struct connection {
    int64_t handle; /* of a free one: the index of the next, or -1 */
    union {
        uint64_t received; /* MODE_SINK */
        uint64_t start;    /* MODE_CONNECT */
        unsigned writing;  /* MODE_SOURCE: writes in flight */
    };
    bool ending;
};

static const struct server_options *options;
static struct connection *connections;
static size_t connection_count;
static int64_t first_free = -1;
static int64_t listener;
static const uint8_t *source_data;
static struct measurement measurement;
static uint64_t connects;

static int64_t id_of(enum request request, size_t index)
{
    return (int64_t)index << REQUEST_BITS | request;
}

static void check(const char *call, int64_t result)
{
    if (result < 0)
        errx(1, "%s: error %lld", call, (long long)result);
}

static size_t connection_new(int64_t handle)
{
    if (first_free < 0) {
        size_t room = connection_count ? 2 * connection_count : 64;
        connections = realloc(connections, room * sizeof *connections);
        if (!connections)
            err(1, "realloc");
        while (connection_count < room) {
            connections[connection_count].handle = first_free;
            first_free = (int64_t)connection_count++;
        }
    }
    size_t index = (size_t)first_free;
    first_free = connections[index].handle;
    connections[index] = (struct connection){.handle = handle};
    return index;
}

static void connection_free(size_t index)
{
    connections[index].handle = first_free;
    first_free = (int64_t)index;
}

static void close_connection(size_t index)
{
    check("tcp_close", tcp_close(id_of(REQUEST_CLOSE, index), connections[index].handle));
}

static void read_next(size_t index)
{
    check("tcp_read", tcp_read(id_of(REQUEST_READ, index), connections[index].handle));
}

static void write_data(size_t index, const uint8_t *data, size_t size)
{
    int64_t id = id_of(REQUEST_WRITE, index);
    bool quiet = options->quiet_writes && options->mode == MODE_ECHO;
    check("tcp_write", tcp_write(quiet ? -id : id, connections[index].handle, data, 0, (int64_t)size));
}

static void on_listen(int64_t handle)
{
    check("tcp_listen", handle);
    listener = handle;
    for (int i = 0; i < ACCEPTS; i++)
        check("tcp_accept", tcp_accept(id_of(REQUEST_ACCEPT, 0), listener));
    sockets_announce((uint16_t)tcp_get_local_port(listener));
}

static void on_accept(int64_t handle)
{
    check("tcp_accept", handle);
    size_t index = connection_new(handle);
    switch (options->mode) {
    case MODE_ACCEPT:
        close_connection(index);
        break;
    case MODE_SOURCE:
        for (unsigned i = 0; i < options->in_flight; i++)
            write_data(index, source_data, options->write_size);
        connections[index].writing = options->in_flight;
        break;
    default:
        read_next(index);
        break;
    }
    check("tcp_accept", tcp_accept(id_of(REQUEST_ACCEPT, 0), listener));
}

static void answer_count(size_t index)
{
    uint8_t count[8];
    for (int i = 0; i < 8; i++)
        count[i] = (uint8_t)(connections[index].received >> (56 - 8 * i));
    connections[index].ending = true;
    write_data(index, count, sizeof count);
}

static void on_read(size_t index, const struct vm_message *message)
{
    if (message->result > 0) {
        if (options->mode == MODE_ECHO)
            write_data(index, message->data, (size_t)message->result);
        else
            connections[index].received += (uint64_t)message->result;
        read_next(index);
    } else if (options->mode == MODE_SINK && message->result == TCP_ERR_CLOSED) {
        answer_count(index);
    } else {
        close_connection(index);
    }
}

static void on_write(size_t index, int64_t result)
{
    struct connection *connection = &connections[index];
    if (options->mode == MODE_SINK) {
        close_connection(index);
    } else if (options->mode == MODE_SOURCE) {
        if (result > 0 && !connection->ending) {
            write_data(index, source_data, options->write_size);
            return;
        }
        connection->ending = true; /* the client has closed */
        if (--connection->writing == 0)
            close_connection(index);
    }
    /* An echo that fails: the pending read fails, too. */
}

static void connect_next(void)
{
    struct sockaddr_in address = sockets_address(connects++, options->port);
    size_t index = connection_new(0);
    connections[index].start = clock_now();
    check("tcp_connect", tcp_connect(id_of(REQUEST_CONNECT, index), (const uint8_t *)&address.sin_addr,
                                     sizeof address.sin_addr, options->port, NULL, 0, 0));
}

static void on_connect(size_t index, int64_t handle)
{
    check("tcp_connect", handle);
    connections[index].handle = handle;
    close_connection(index);
}

static void on_close(size_t index, int64_t result)
{
    check("tcp_close", result);
    if (options->mode == MODE_CONNECT)
        measurement_add(&measurement, connections[index].start, clock_now(), 0);
    connection_free(index);
    if (options->mode == MODE_CONNECT)
        connect_next();
}

static void handle(const struct vm_message *message)
{
    int64_t id = message->request_id < 0 ? -message->request_id : message->request_id;
    size_t index = (size_t)(id >> REQUEST_BITS);
    switch ((enum request)(id & ((1 << REQUEST_BITS) - 1))) {
    case REQUEST_LISTEN:
        on_listen(message->result);
        break;
    case REQUEST_ACCEPT:
        on_accept(message->result);
        break;
    case REQUEST_READ:
        on_read(index, message);
        break;
    case REQUEST_WRITE:
        on_write(index, message->result);
        break;
    case REQUEST_CLOSE:
        on_close(index, message->result);
        break;
    case REQUEST_CONNECT:
        on_connect(index, message->result);
        break;
    }
    vm_finalize(message);
}

static void turn(int timeout_ms)
{
    const struct vm_message *messages;
    size_t count = vm_take(&messages, timeout_ms);
    for (size_t i = 0; i < count; i++)
        handle(&messages[i]);
}

static void serve(void)
{
    struct sockaddr_in address = sockets_address(0, 0);
    check("tcp_listen", tcp_listen(id_of(REQUEST_LISTEN, 0), (const uint8_t *)&address.sin_addr,
                                   sizeof address.sin_addr, 0, false, 0, false));
    for (;;)
        turn(-1);
}

static void measure_connects(void)
{
    measurement_start(&measurement, &options->limits);
    for (unsigned i = 0; i < options->in_flight; i++)
        connect_next();
    while (measurement_goes_on(&measurement, clock_now()))
        turn(MEASUREMENT_WAIT_MS);
    measurement_end(&measurement, clock_now());
}

void application_run(const struct server_options *server_options)
{
    options = server_options;
    source_data = calloc(1, options->write_size);
    if (!source_data)
        err(1, "calloc");
    if (options->mode == MODE_CONNECT)
        measure_connects();
    else
        serve();
}
