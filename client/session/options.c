#include "client/session/options.h"

#include "client/os/waiter.h"
#include "client/session/awaiting.h"
#include "client/session/operations.h"
#include "client/session/session.h"
#include "proto/errors.h"
#include "proto/oche.pb-c.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

enum { VALUE_MAX = 64 /* bytes of a value; no option that the daemon knows has more than eight */ };

/* ---- asking ---- */

/* Either way the answer goes: to a completion, or to `waiter`, which may be NULL. */
static int64_t ask_to_set(struct oche_session *session, int64_t request_id, int64_t handle, const Oche__Option *message,
                          struct waiter *waiter)
{
    struct pending_request *request;
    int64_t status = operation_on_connection(session, FRAME_SET_OPTION, request_id, handle, &message->base, &request);
    if (status < 0)
        return status;
    request->option = (uint8_t)message->name;
    request->argument = message->value;
    request->waiter = waiter;
    return 0;
}

static int64_t set_flag(struct oche_session *session, int64_t request_id, int64_t handle, enum options_flag flag,
                        bool enabled, struct waiter *waiter)
{
    Oche__Option message;
    oche__option__init(&message);
    message.name = flag == OPTIONS_KEEP_ALIVE ? OCHE__OPTION__NAME__KEEP_ALIVE : OCHE__OPTION__NAME__NO_DELAY;
    message.value = enabled;
    return ask_to_set(session, request_id, handle, &message, waiter);
}

/* Which of those with a getter it is. */
static Oche__Option__Name name_of(const struct options_raw *option)
{
    if (option->level == SOL_SOCKET && option->name == SO_KEEPALIVE)
        return OCHE__OPTION__NAME__KEEP_ALIVE;
    if (option->level == IPPROTO_TCP && option->name == TCP_NODELAY)
        return OCHE__OPTION__NAME__NO_DELAY;
    return OCHE__OPTION__NAME__UNKNOWN;
}

static int64_t set_raw(struct oche_session *session, int64_t request_id, int64_t handle,
                       const struct options_raw *option, struct waiter *waiter)
{
    if (!option->value && option->size > 0)
        return OCHE_ERR_INVALID_ARGUMENT;
    Oche__RawOption raw;
    oche__raw_option__init(&raw);
    raw.level = (uint32_t)option->level;
    raw.name = (uint32_t)option->name;
    /* Of a longer value the system takes no notice beyond its own length. */
    raw.value =
        (ProtobufCBinaryData){.data = option->value, .len = option->size < VALUE_MAX ? option->size : VALUE_MAX};
    Oche__Option message;
    oche__option__init(&message);
    message.raw = &raw;
    message.name = name_of(option);
    int32_t number = 0;
    if (raw.value.len > 0)
        memcpy(&number, raw.value.data, raw.value.len < sizeof number ? raw.value.len : sizeof number);
    message.value = number != 0;
    return ask_to_set(session, request_id, handle, &message, waiter);
}

static int64_t get_raw(struct oche_session *session, int64_t request_id, int64_t handle,
                       const struct options_raw *option, struct waiter *waiter)
{
    if (!option->value && option->size > 0)
        return OCHE_ERR_INVALID_ARGUMENT;
    Oche__RawOption message;
    oche__raw_option__init(&message);
    message.level = (uint32_t)option->level;
    message.name = (uint32_t)option->name;
    message.size = option->size < VALUE_MAX ? (uint32_t)option->size : VALUE_MAX;
    struct pending_request *request;
    int64_t status = operation_on_connection(session, FRAME_GET_OPTION, request_id, handle, &message.base, &request);
    if (status < 0)
        return status;
    request->argument = message.size;
    request->value = option->value;
    request->waiter = waiter;
    return 0;
}

int64_t options_set_flag(struct oche_session *session, int64_t request_id, int64_t handle, enum options_flag flag,
                         bool enabled)
{
    return set_flag(session, request_id, handle, flag, enabled, NULL);
}

int64_t options_set(struct oche_session *session, int64_t request_id, int64_t handle, const struct options_raw *option)
{
    return set_raw(session, request_id, handle, option, NULL);
}

int64_t options_get(struct oche_session *session, int64_t request_id, int64_t handle, const struct options_raw *option)
{
    return get_raw(session, request_id, handle, option, NULL);
}

/* ---- waiting ---- */

int64_t options_set_flag_and_wait(struct oche_session *session, int64_t handle, enum options_flag flag, bool enabled)
{
    int32_t os_error;
    struct waiter waiter;
    if (waiter_init(&waiter) < 0)
        return OCHE_ERR_OUT_OF_MEMORY;
    return awaiting_answer(session, set_flag(session, 0, handle, flag, enabled, &waiter), &waiter, &os_error);
}

int64_t options_set_and_wait(struct oche_session *session, int64_t handle, const struct options_raw *option,
                             int32_t *os_error)
{
    struct waiter waiter;
    *os_error = 0;
    if (waiter_init(&waiter) < 0)
        return OCHE_ERR_OUT_OF_MEMORY;
    return awaiting_answer(session, set_raw(session, 0, handle, option, &waiter), &waiter, os_error);
}

int64_t options_get_and_wait(struct oche_session *session, int64_t handle, const struct options_raw *option,
                             int32_t *os_error)
{
    struct waiter waiter;
    *os_error = 0;
    if (waiter_init(&waiter) < 0)
        return OCHE_ERR_OUT_OF_MEMORY;
    return awaiting_answer(session, get_raw(session, 0, handle, option, &waiter), &waiter, os_error);
}
