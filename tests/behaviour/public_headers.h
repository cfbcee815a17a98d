/* The functions of the public headers, by name: taken in C11 (public_headers.c). A function that is added to a header
 * is added here. */
#ifndef TESTS_BEHAVIOUR_PUBLIC_HEADERS_H
#define TESTS_BEHAVIOUR_PUBLIC_HEADERS_H

#ifdef __cplusplus
extern "C" {
#endif

struct public_function {
    const char *name;
    void (*address)(void);
};

/* Ends with a null name. */
extern const struct public_function public_functions[];

/* What the C compiler makes of the headers' error codes, to be compared with proto/errors.h. */
struct public_code {
    const char *name;
    long long code;
};
extern const struct public_code public_codes[];

#ifdef __cplusplus
}
#endif

#endif
