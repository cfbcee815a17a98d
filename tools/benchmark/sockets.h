/*
 * Sockets on loopback, as the load generator and the plain server use them. Errors end the program.
 *
 * There are 28,000 ephemeral ports for each pair of addresses and destination port, and a connection that was closed
 * occupies one for a while: whatever makes many connections spreads them over several addresses 127.0.0.x.
 */
#ifndef OCHE_BENCHMARK_SOCKETS_H
#define OCHE_BENCHMARK_SOCKETS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

enum { SOCKETS_ADDRESSES = 16 };

/* 127.0.0.1 and following, for any number. */
struct sockaddr_in sockets_address(uint64_t number, uint16_t port);

/* Listens on the first `count` addresses, on one port that is free on all of them. Non-blocking. Returns the port. */
uint16_t sockets_listen(int fds[], unsigned count);

/* Connects to 127.0.0.1, from the address of that number; waits for the connection. Blocking. */
int sockets_connect(uint64_t from, uint16_t port);

/* The same, but begins only: the socket is non-blocking, and writable when it is connected. */
int sockets_begin_connect(uint64_t from, uint64_t to, uint16_t port);

void sockets_set_nonblocking(int fd);

/* As many descriptors as the system allows. */
void sockets_raise_limit(void);

/* Tells the runner that the server listens. */
void sockets_announce(uint16_t port);

#endif
