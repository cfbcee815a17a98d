/*
 * Sends a file to an echo server through oche, and writes what comes back.
 *
 *     echo_file PORT < FILE > COPY
 *
 * Reads and writes at the same time, with at most WINDOW bytes on the way, and ends when the server has sent
 * everything back.
 */
#include <err.h>
#include <errno.h>
#include <oche/oche.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PIECE = 64 * 1024, WINDOW = 4 * 1024 * 1024 };
enum request { CONNECT = 1, READ, WRITE, CLOSE_WRITE };

struct transfer {
    oche_session *session;
    int64_t connection;
    int64_t sent; /* bytes of the file that were given to oche_write */
    int64_t came_back;
    bool whole_file_sent;
    bool done;
};

static void check(int64_t result, const char *what)
{
    if (result < 0)
        errx(1, "%s: %s (%s)", what, oche_error_text(result), oche_error_name(result));
}

static void send_more(struct transfer *transfer)
{
    static uint8_t piece[PIECE];
    while (!transfer->whole_file_sent && transfer->sent - transfer->came_back < WINDOW) {
        ssize_t size = read(STDIN_FILENO, piece, sizeof piece);
        if (size < 0)
            err(1, "reading the file");
        if (size == 0) {
            check(oche_close_write(transfer->session, CLOSE_WRITE, transfer->connection), "close_write");
            transfer->whole_file_sent = true;
        } else {
            check(oche_write(transfer->session, WRITE, transfer->connection, piece, (size_t)size), "write");
            transfer->sent += size;
        }
    }
}

static void write_out(const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDOUT_FILENO, data, size);
        if (written < 0 && errno != EINTR)
            err(1, "writing the copy");
        if (written > 0) {
            data += written;
            size -= (size_t)written;
        }
    }
}

static void on_completion(struct transfer *transfer, const struct oche_completion *completion)
{
    switch ((enum request)completion->request_id) {
    case CONNECT:
        check(completion->result, "connect");
        transfer->connection = completion->result;
        check(oche_read(transfer->session, READ, transfer->connection), "read");
        send_more(transfer);
        break;
    case READ:
        if (completion->result == TCP_ERR_CLOSED) {
            transfer->done = true;
            break;
        }
        check(completion->result, "read");
        write_out(completion->data, (size_t)completion->result);
        oche_data_free(completion->data_owner);
        transfer->came_back += completion->result;
        check(oche_read(transfer->session, READ, transfer->connection), "read");
        send_more(transfer);
        break;
    case WRITE:
        check(completion->result, "write");
        break;
    case CLOSE_WRITE:
        check(completion->result, "close_write");
        break;
    }
}

int main(int argc, char **argv)
{
    static const uint8_t loopback[] = {127, 0, 0, 1};
    struct transfer transfer = {0};
    int port = argc == 2 ? atoi(argv[1]) : 0;
    if (port < 1 || port > 65535)
        errx(2, "usage: echo_file PORT < FILE > COPY");
    if (oche_session_open(NULL, &transfer.session) < 0)
        errx(1, "%s", oche_last_error());
    struct oche_connect_options options = {
        .size = sizeof options, .address = loopback, .address_length = 4, .port = (uint16_t)port};
    check(oche_connect(transfer.session, CONNECT, &options), "connect");

    struct pollfd polled = {.fd = oche_session_get_fd(transfer.session), .events = POLLIN};
    while (!transfer.done) {
        int64_t status = oche_session_dispatch(transfer.session);
        struct oche_completion completion = {.size = sizeof completion};
        while (oche_session_pop(transfer.session, &completion))
            on_completion(&transfer, &completion);
        check(status, "daemon");
        if (!transfer.done)
            poll(&polled, 1, -1);
    }
    oche_session_close(transfer.session);
    if (transfer.came_back != transfer.sent)
        errx(1, "sent %lld bytes, but %lld came back", (long long)transfer.sent, (long long)transfer.came_back);
    return 0;
}
