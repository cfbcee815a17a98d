/*
 * Structs of the product's headers, on their way between a caller and a library that may have been built from different
 * versions of these headers. Each starts with its size, which the caller sets. Later versions add fields at the end,
 * behind the padding that there is, and 0 in them means what was before them.
 *
 * `least` is the size that the struct had in the first version: PUBLIC_STRUCT_UNTIL its last field of then.
 */
#ifndef OCHE_CLIENT_SESSION_PUBLIC_STRUCT_H
#define OCHE_CLIENT_SESSION_PUBLIC_STRUCT_H

#include <stdbool.h>
#include <stddef.h>

#define PUBLIC_STRUCT_UNTIL(type, field) (offsetof(type, field) + sizeof(((type *)0)->field))

/* Copies what the caller has set to *own, `size` bytes, which is the struct as this version knows it: fields that the
 * caller does not know of are 0 there. False: the caller has not set the size, or has set fields that only later
 * versions of the library understand. */
bool public_struct_take(void *own, size_t size, const void *callers, size_t least);

/* Copies *own, `size` bytes, to the caller, as far as both know the struct; its size stays. False: the caller has not
 * set the size, and nothing was copied. */
bool public_struct_give(void *callers, const void *own, size_t size, size_t least);

#endif
