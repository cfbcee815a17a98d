/*
 * A client of the daemon that says anything, on the plain lane; it may ask for the memory lane too.
 */
#include "tests/fuzz/daemon_stage.h"
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    daemon_stage_play(data, size, false);
    return 0;
}
