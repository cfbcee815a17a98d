/*
 * The load of tools/bench --tls: clients with TLS against an echo server.
 *
 *     tls_load PORT MILLISECONDS echo CONNECTIONS SIZE     each sends SIZE bytes and waits until they are back
 *     tls_load PORT MILLISECONDS full|resumed              one connection after the other, with one byte each
 *
 * Prints how many messages came back, or how many connections there were, and in which time: a line of JSON.
 * Certificates are not verified, for it is the server that is measured.
 */
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SIZE_MAX_OF_MESSAGE = 1024 * 1024, EVENTS = 64, CHUNK = 64 * 1024 };

struct client {
    SSL *ssl;
    int sent; /* of the message that is under way */
    int got;
};

static char bytes[SIZE_MAX_OF_MESSAGE];

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static SSL *connect_to(SSL_CTX *context, uint16_t port, SSL_SESSION *session)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        err(1, "connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    SSL *ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (session)
        SSL_set_session(ssl, session);
    if (SSL_connect(ssl) != 1)
        errx(1, "the handshake failed");
    return ssl;
}

static void disconnect(SSL *ssl)
{
    int fd = SSL_get_fd(ssl);
    SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
}

/* ---- echo ---- */

static void check_again(const struct client *client, int result)
{
    int error = SSL_get_error(client->ssl, result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
        errx(1, "the connection broke");
}

/* As much as goes without waiting. Returns how many messages came back. */
static long go_on(struct client *client, int size)
{
    long count = 0;
    for (;;) {
        bool moved = false;
        if (client->sent < size) {
            int sent = SSL_write(client->ssl, bytes, size - client->sent);
            if (sent > 0) {
                client->sent += sent;
                moved = true;
            } else {
                check_again(client, sent);
            }
        }
        static char into[CHUNK];
        int got = SSL_read(client->ssl, into, sizeof into);
        if (got > 0) {
            client->got += got;
            moved = true;
        } else {
            check_again(client, got);
        }
        if (client->got == size) {
            client->sent = client->got = 0;
            count++;
        }
        if (!moved)
            return count;
    }
}

static long echo(SSL_CTX *context, uint16_t port, double seconds, int connections, int size)
{
    struct client *clients = calloc((size_t)connections, sizeof *clients);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!clients || epoll < 0)
        err(1, "clients");
    for (int i = 0; i < connections; i++) {
        clients[i].ssl = connect_to(context, port, NULL);
        int fd = SSL_get_fd(clients[i].ssl);
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u32 = (uint32_t)i};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
    puts("{\"event\": \"ready\"}");
    fflush(stdout);
    double end = now() + seconds;
    long count = 0;
    while (now() < end) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(epoll, events, EVENTS, 100);
        for (int i = 0; i < ready; i++)
            count += go_on(&clients[events[i].data.u32], size);
    }
    for (int i = 0; i < connections; i++)
        disconnect(clients[i].ssl);
    free(clients);
    return count;
}

/* ---- handshakes ---- */

/* A byte there and back, so that tickets have come. */
static void exchange(SSL *ssl)
{
    char byte = 'x';
    if (SSL_write(ssl, &byte, 1) != 1 || SSL_read(ssl, &byte, 1) != 1)
        errx(1, "no echo");
}

static long shake_hands(SSL_CTX *context, uint16_t port, double seconds, bool resumes)
{
    SSL_SESSION *session = NULL;
    long count = 0;
    puts("{\"event\": \"ready\"}");
    fflush(stdout);
    for (double end = now() + seconds; now() < end; count++) {
        SSL *ssl = connect_to(context, port, session);
        exchange(ssl);
        if (resumes && session && !SSL_session_reused(ssl))
            errx(1, "the session was not resumed");
        SSL_SESSION_free(session);
        session = resumes ? SSL_get1_session(ssl) : NULL;
        disconnect(ssl);
    }
    SSL_SESSION_free(session);
    return count;
}

int main(int argc, char **argv)
{
    bool echoes = argc == 6 && strcmp(argv[3], "echo") == 0;
    bool resumes = argc == 4 && strcmp(argv[3], "resumed") == 0;
    if (!echoes && !resumes && (argc != 4 || strcmp(argv[3], "full") != 0))
        errx(2, "usage: tls_load PORT MILLISECONDS (echo CONNECTIONS SIZE | full | resumed)");
    signal(SIGPIPE, SIG_IGN);
    uint16_t port = (uint16_t)atoi(argv[1]);
    double seconds = atoi(argv[2]) / 1e3;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    int size = echoes ? atoi(argv[5]) : 0;
    if (size < 0 || size > SIZE_MAX_OF_MESSAGE)
        errx(2, "SIZE is 1 to %d", SIZE_MAX_OF_MESSAGE);
    double begin = now();
    long count =
        echoes ? echo(context, port, seconds, atoi(argv[4]), size) : shake_hands(context, port, seconds, resumes);
    printf("{\"event\": \"done\", \"count\": %ld, \"seconds\": %.6f}\n", count, now() - begin);
    return 0;
}
