#ifndef OCHE_PROTO_VERSION_H
#define OCHE_PROTO_VERSION_H

/* Of the daemon and the library alike: they are released together. */
#define OCHE_VERSION "0.1.0"

#endif
