#include "client/session/awaiting.h"

#include "client/os/waiter.h"
#include "client/session/session.h"
#include "proto/errors.h"

enum { WAIT_LIMIT = 5 /* seconds */ };

/* The answer may still come; it finds nobody. */
static void stop_waiting(struct oche_session *session, const struct waiter *waiter)
{
    struct pending_request *request = NULL;
    while ((request = pending_next(&session->pending, request))) {
        if (pending_may_be_awaited(request->opcode) && request->waiter == waiter) {
            request->waiter = NULL;
            request->value = NULL;
            request->no_completion = true;
            return;
        }
    }
}

int64_t awaiting_answer(struct oche_session *session, int64_t status, struct waiter *waiter, int32_t *os_error)
{
    if (status == 0) {
        if (waiter_wait(waiter, &session->mutex, WAIT_LIMIT)) {
            status = waiter->result;
            *os_error = waiter->os_error;
        } else {
            stop_waiting(session, waiter);
            status = OCHE_ERR_TIMED_OUT;
        }
    }
    waiter_deinit(waiter);
    return status;
}
