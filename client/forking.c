#include "client/forking.h"

#include "client/isolates.h"
#include "client/region.h"
#include "client/sessions.h"

#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int result;

static void before(void)
{
    isolates_before_fork();
    sessions_before_fork();
}

static void after_in_parent(void)
{
    sessions_after_fork_in_parent();
    isolates_after_fork_in_parent();
}

static void after_in_child(void)
{
    region_after_fork_in_child();
    sessions_after_fork_in_child();
    isolates_after_fork_in_child();
}

static void install(void)
{
    result = -pthread_atfork(before, after_in_parent, after_in_child);
}

int forking_prepare(void)
{
    pthread_once(&once, install);
    return result;
}
