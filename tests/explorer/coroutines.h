// The explorer's threads are coroutines.
#ifndef OCHE_TESTS_EXPLORER_COROUTINES_H
#define OCHE_TESTS_EXPLORER_COROUTINES_H

#include "tests/support/skip.h"

#if defined(__SANITIZE_THREAD__)
#define SKIP_WITH_TSAN() SKIP("the explorer's threads are coroutines, which ThreadSanitizer does not know")
#else
#define SKIP_WITH_TSAN() (void)0
#endif

#endif
