/*
 * What is to fail in a run, and what became of it: a file that all processes of the run map. The environment names it.
 */
#ifndef OCHE_TESTS_TORTURE_PLAN_H
#define OCHE_TESTS_TORTURE_PLAN_H

#include "tests/torture/functions.h"

#define TORTURE_PLAN_VARIABLE "OCHE_TORTURE_PLAN"

enum torture_side {
    TORTURE_DAEMON = 1, /* all calls of the process that runs oched, its libraries' included */
    TORTURE_CLIENT = 2, /* the calls that liboche.so makes */
};

/* Of plain numbers, so that C and C++ see the same; what changes while several processes look is changed atomically. */
struct torture_plan {
    int side;
    int function; /* of enum torture_function; -1: nothing fails, calls are counted */
    int nth;      /* from 1 */
    int error;
    int armed; /* calls are counted, and may fail, while it is 1 */
    int fired; /* 1: it has failed */
    int counts[TORTURE_FUNCTION_COUNT];
    int blocks;       /* of memory that the side has now */
    int left_blocks;  /* said at the end: how many more it has than before */
    int spare_blocks; /* so many more are no leak: as many as without a failure */
    char caller[256]; /* of the call that failed, for addr2line */
};

#endif
