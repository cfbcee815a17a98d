/*
 * The peer of tools/bench --tls: an echo server with one thread, one epoll, and OpenSSL on memory BIOs, as a server is
 * written that wants no more than that.
 *
 *     tls_server CERTIFICATE KEY      serves a free port of 127.0.0.1, which it prints as "listening PORT"
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 4096, EVENTS = 64, CHUNK = 64 * 1024 };

struct connection {
    int fd;
    SSL *ssl;
    BIO *in, *out;
};

static struct connection connections[CONNECTIONS_MAX]; /* by descriptor */
static char ciphertext[CHUNK], plaintext[CHUNK];

/* What could not be sent stays in the BIO. False: the connection is over. */
static bool flush(struct connection *connection)
{
    char *data;
    long size;
    while ((size = BIO_get_mem_data(connection->out, &data)) > 0) {
        ssize_t sent = send(connection->fd, data, (size_t)size, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN;
        char dropped[CHUNK];
        for (ssize_t left = sent; left > 0;)
            left -= BIO_read(connection->out, dropped, left < CHUNK ? (int)left : CHUNK);
    }
    return true;
}

/* Nothing is read while something waits to be sent. */
static bool serve(struct connection *connection)
{
    if (!flush(connection))
        return false;
    while (BIO_ctrl_pending(connection->out) == 0) {
        ssize_t got = recv(connection->fd, ciphertext, sizeof ciphertext, 0);
        if (got <= 0)
            return got < 0 && errno == EAGAIN;
        BIO_write(connection->in, ciphertext, (int)got);
        int count;
        while ((count = SSL_read(connection->ssl, plaintext, sizeof plaintext)) > 0)
            SSL_write(connection->ssl, plaintext, count);
        if (SSL_get_error(connection->ssl, count) != SSL_ERROR_WANT_READ) {
            SSL_shutdown(connection->ssl);
            flush(connection);
            return false;
        }
        if (!flush(connection))
            return false;
    }
    return true;
}

static void end(struct connection *connection)
{
    close(connection->fd);
    SSL_free(connection->ssl);
}

static void accept_one(SSL_CTX *context, int epoll, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 || fd >= CONNECTIONS_MAX) {
        close(fd);
        return;
    }
    struct connection *connection = &connections[fd];
    *connection =
        (struct connection){.fd = fd, .ssl = SSL_new(context), .in = BIO_new(BIO_s_mem()), .out = BIO_new(BIO_s_mem())};
    SSL_set_bio(connection->ssl, connection->in, connection->out);
    SSL_set_accept_state(connection->ssl);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        errx(2, "usage: tls_server CERTIFICATE KEY");
    signal(SIGPIPE, SIG_IGN);
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(context, argv[1]) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, argv[2], SSL_FILETYPE_PEM) != 1)
        errx(1, "certificate or key cannot be read");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, SOMAXCONN) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) < 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0)
        err(1, "listen");
    printf("listening %u\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            struct connection *connection = &connections[events[i].data.fd];
            if (events[i].data.fd == listener)
                accept_one(context, epoll, listener);
            else if (!serve(connection))
                end(connection);
        }
    }
}
