/*
 * A daemon that says anything to the client, on the plain lane.
 */
#include "tests/fuzz/client_stage.h"
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    client_stage_play(data, size, false);
    return 0;
}
