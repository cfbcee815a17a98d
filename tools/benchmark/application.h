/*
 * The application of an isolate: what a Dart program would do with the tcp_* calls, in C.
 *
 * It is the same for oche and for the reference, which differ in what implements the calls. Several accepts are
 * outstanding; each connection has one read pending; what was read is written back at once.
 */
#ifndef OCHE_BENCHMARK_APPLICATION_H
#define OCHE_BENCHMARK_APPLICATION_H

#include "tools/benchmark/arguments.h"

/* Serves for ever, or, in MODE_CONNECT, measures, and prints the result. The caller is the isolate
 * of vm.h, and tcp_init() was called. Errors end the program. */
void application_run(const struct server_options *options);

#endif
