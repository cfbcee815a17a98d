/*
 * A client of the daemon that says anything, and writes anywhere, on the memory lane.
 */
#include "tests/fuzz/daemon_stage.h"
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    daemon_stage_play(data, size, true);
    return 0;
}
