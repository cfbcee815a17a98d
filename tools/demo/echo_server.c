/*
 * An echo server on oche.h: what comes in on a connection goes out again.
 *
 *     echo_server [PORT [CERTIFICATE KEY]]
 *
 * Serves 127.0.0.1:PORT (default: 0, any free port) until SIGINT or SIGTERM; with a certificate and its key, which are
 * files in PEM, with TLS.
 *
 * Prints "listening PORT" once it serves. The request id says what a completion is about: the kind of request in the
 * upper half, and for reads and writes the connection's handle in a table in the lower half.
 */
#include <err.h>
#include <oche/oche.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1024, FILE_MAX = 128 * 1024 };
enum kind { PREPARED, LISTENED, ACCEPTED, CAME, WENT, CLOSED };

struct server {
    oche_session *session;
    uint16_t port;
    int64_t listener;
    int64_t connections[CONNECTIONS_MAX]; /* handles, 0: free */
};

static int64_t id(enum kind kind, uint32_t index)
{
    return (int64_t)kind << 32 | index;
}

static void check(int64_t result, const char *what)
{
    if (result < 0)
        errx(1, "%s: %s (%s)", what, oche_error_text(result), oche_error_name(result));
}

/* `context`: 0 is without TLS. */
static void begin_to_listen(const struct server *server, int64_t context)
{
    static const uint8_t loopback[] = {127, 0, 0, 1};
    const struct oche_listen_options options = {.size = sizeof options,
                                                .address = loopback,
                                                .address_length = sizeof loopback,
                                                .port = server->port,
                                                .tls_context = context};
    check(oche_listen(server->session, id(LISTENED, 0), &options), "listen");
}

/* Copied into `text`, which has room for FILE_MAX bytes: how many there are. */
static size_t read_file(const char *path, char *text)
{
    FILE *file = fopen(path, "re");
    if (!file)
        err(1, "%s", path);
    size_t size = fread(text, 1, FILE_MAX, file);
    fclose(file);
    return size;
}

static void prepare_tls(const struct server *server, const char *certificate, const char *key)
{
    static char chain_text[FILE_MAX], key_text[FILE_MAX];
    const struct oche_tls_identity identity = {
        .chain = chain_text,
        .chain_length = read_file(certificate, chain_text),
        .key = key_text,
        .key_length = read_file(key, key_text),
    };
    const struct oche_tls_options options = {.size = sizeof options, .identities = &identity, .identity_count = 1};
    check(oche_tls_context(server->session, id(PREPARED, 0), &options), "TLS");
}

static void close_connection(struct server *server, uint32_t index)
{
    oche_close(server->session, id(CLOSED, index), server->connections[index]);
    server->connections[index] = 0;
}

static void on_accepted(struct server *server, int64_t connection)
{
    uint32_t index = 0;
    while (index < CONNECTIONS_MAX && server->connections[index] != 0)
        index++;
    if (index == CONNECTIONS_MAX) {
        oche_close(server->session, id(CLOSED, 0), connection);
    } else {
        server->connections[index] = connection;
        check(oche_read(server->session, id(CAME, index), connection), "read");
    }
    check(oche_accept(server->session, id(ACCEPTED, 0), server->listener), "accept");
}

/* One read, then its bytes are written, then the next read: so a peer that does not read makes us stop reading. */
static void on_completion(struct server *server, const struct oche_completion *completion)
{
    enum kind kind = (enum kind)(completion->request_id >> 32);
    uint32_t index = (uint32_t)completion->request_id;
    struct oche_endpoint local = {.size = sizeof local};

    switch (kind) {
    case PREPARED:
        if (completion->result < 0)
            errx(1, "TLS: %s", completion->why ? completion->why : oche_error_text(completion->result));
        begin_to_listen(server, completion->result);
        break;
    case LISTENED:
        check(completion->result, "listen");
        server->listener = completion->result;
        check(oche_get_local(server->session, server->listener, &local), "local address");
        printf("listening %u\n", local.port);
        fflush(stdout);
        check(oche_accept(server->session, id(ACCEPTED, 0), server->listener), "accept");
        break;
    case ACCEPTED:
        check(completion->result, "accept");
        on_accepted(server, completion->result);
        break;
    case CAME:
        if (completion->result < 0 || oche_write(server->session, id(WENT, index), server->connections[index],
                                                 completion->data, (size_t)completion->result) < 0)
            close_connection(server, index);
        oche_data_free(completion->data_owner);
        break;
    case WENT:
        if (completion->result < 0 || oche_read(server->session, id(CAME, index), server->connections[index]) < 0)
            close_connection(server, index);
        break;
    case CLOSED:
        break;
    }
}

static void serve(struct server *server)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    struct pollfd polled[2] = {
        {.fd = oche_session_get_fd(server->session), .events = POLLIN},
        {.fd = signalfd(-1, &signals, SFD_CLOEXEC), .events = POLLIN},
    };
    for (;;) {
        int64_t status = oche_session_dispatch(server->session);
        struct oche_completion completion = {.size = sizeof completion};
        while (oche_session_pop(server->session, &completion))
            on_completion(server, &completion);
        check(status, "daemon");
        if (poll(polled, 2, -1) > 0 && polled[1].revents)
            return;
    }
}

int main(int argc, char **argv)
{
    static struct server server;
    int port = argc > 1 ? atoi(argv[1]) : 0;
    if (argc == 3 || argc > 4 || port < 0 || port > 65535)
        errx(2, "usage: echo_server [PORT [CERTIFICATE KEY]]");
    server.port = (uint16_t)port;
    if (oche_session_open(NULL, &server.session) < 0)
        errx(1, "%s", oche_last_error());
    if (argc == 4)
        prepare_tls(&server, argv[2], argv[3]);
    else
        begin_to_listen(&server, 0);
    serve(&server);
    oche_session_close(server.session);
    return 0;
}
