/*
 * The Dart VM of this process: asks it which isolate is calling, posts completions to a native
 * port.
 *
 * There is one VM in a process, so its functions are found once for all.
 */
#ifndef OCHE_CLIENT_PORT_DART_PORT_H
#define OCHE_CLIENT_PORT_DART_PORT_H

#include <oche/oche.h>
#include <stdbool.h>
#include <stdint.h>

struct dart_isolate {
    const void *address; /* NULL: none. A later isolate may get the address of one that is gone */
};

/* Finds the functions in the data of NativeApi.initializeApiDLData. False: not the data of a VM
 * that this library understands. */
bool dart_port_resolve(const void *api_data);

/* The isolate that is calling; none before dart_port_resolve(). Not from a leaf call. */
struct dart_isolate dart_port_current_isolate(void);

/* False: the port is closed. True too if the VM cannot tell. Not from a leaf call. */
bool dart_port_is_open(int64_t port);

enum { DART_PORT_BATCH_MAX = 64 };

/* Posts [request_id, result, data or endpoints or null], or a triple of these for each of several completions, in one
 * flat array; with `error_detail` a failure has its errno in the place of null. `count` is from 1 to
 * DART_PORT_BATCH_MAX. Takes the data of the completions over. False: the isolate is gone. From any thread. */
bool dart_port_post(int64_t port, const struct oche_completion *completions, size_t count, bool error_detail);

#endif
