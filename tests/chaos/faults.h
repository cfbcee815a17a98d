/* Where faults.c can abort the daemon. */
#ifndef OCHE_TESTS_CHAOS_FAULTS_H
#define OCHE_TESTS_CHAOS_FAULTS_H

enum fault_place {
    FAULT_FRAME_TAKEN,   /* out of the lane, and nothing done yet */
    FAULT_FRAME_HANDLED, /* done, and what the turn has produced is not shown to the client */
    FAULT_REPLY_QUEUED,
    FAULT_DATA_RECEIVED, /* bytes lie in the lane that nobody knows of */
    FAULT_DATA_QUEUED,
    FAULT_PLACES,
};

#endif
