#include "client/session/securing.h"

#include "client/os/waiter.h"
#include "client/session/admission.h"
#include "client/session/awaiting.h"
#include "client/session/body.h"
#include "client/session/public_handle.h"
#include "client/session/request.h"
#include "client/session/session.h"
#include "proto/errors.h"
#include "proto/oche.pb-c.h"
#include "proto/tls_item.h"

#include <stdlib.h>
#include <string.h>

enum { NAME_LENGTH_MAX = 255 /* bytes of a name, RFC 1035 */ };

static bool has_writes(const struct oche_session *session, int64_t handle)
{
    const struct pending_request *request = NULL;
    while ((request = pending_next(&session->pending, request))) {
        if (request->handle == handle && (request->opcode == FRAME_WRITE || request->opcode == FRAME_CLOSE_WRITE))
            return true;
    }
    return false;
}

/* The entry of a connection that can be secured; NULL: *status says why not. */
static struct handle_entry *check(const struct oche_session *session, int64_t handle,
                                  const struct oche_secure_options *options, int64_t *status)
{
    const char *name = options->server_name;
    const struct handle_entry *context = session_find(session, options->tls_context);
    struct handle_entry *entry = admission_find_connection(session, handle);
    *status = OCHE_ERR_INVALID_HANDLE;
    if (!entry || !context || context->kind != HANDLE_TLS_CONTEXT)
        return NULL;
    bool is_busy = entry->is_securing || entry->reading.request || entry->reading.end;
    bool is_named = !name || (*name && strlen(name) <= NAME_LENGTH_MAX);
    bool is_given_back = options->unread_length <= FRAME_PAYLOAD_MAX && (options->unread || !options->unread_length);
    *status = OCHE_ERR_INVALID_ARGUMENT;
    return is_busy || !is_named || !is_given_back || has_writes(session, handle) ? NULL : entry;
}

static size_t pack(const struct oche_secure_options *options, uint8_t body[BODY_MAX])
{
    Oche__Secure message = OCHE__SECURE__INIT;
    message.context = public_to_wire(options->tls_context);
    /* protobuf-c wants no NULL, and does not write through the pointer. */
    message.server_name = (char *)(uintptr_t)(options->server_name ? options->server_name : "");
    message.asks = options->asks;
    return body_pack(&message.base, body);
}

/* A request with the body that its second step will have. NULL: no memory. */
static struct pending_request *begin(struct oche_session *session, int64_t request_id, int64_t handle,
                                     const struct oche_secure_options *options)
{
    uint8_t body[BODY_MAX];
    size_t length = pack(options, body);
    struct pending_request *request = request_begin(session, FRAME_PAUSE, request_id, handle, 0, 0);
    if (request && !pending_keep_body(request, body, length)) {
        pending_remove(&session->pending, request);
        return NULL;
    }
    return request;
}

int64_t securing_begin(struct oche_session *session, int64_t request_id, int64_t handle,
                       const struct oche_secure_options *options)
{
    int64_t status = admission_check(session);
    if (status < 0)
        return status;
    struct handle_entry *entry = check(session, handle, options, &status);
    if (!entry)
        return status;
    struct data *unread = data_new_empty((uint32_t)options->unread_length);
    struct pending_request *request = unread ? begin(session, request_id, handle, options) : NULL;
    if (!request) {
        data_free(unread);
        return OCHE_ERR_OUT_OF_MEMORY;
    }
    if (options->unread_length > 0)
        memcpy(unread->bytes, options->unread, options->unread_length);
    data_queue_push_back(&entry->reading.ahead, unread);
    entry->is_securing = true;
    request_send(session, request, NULL, 0);
    return 0;
}

/* All that has come, in one piece; it is not ahead any more. NULL: no memory, or too much. */
static uint8_t *take_ahead(struct oche_session *session, struct reading *reading, size_t *size)
{
    struct data *data;
    *size = 0;
    for (data = reading->ahead.first; data; data = data->next)
        *size += data->length;
    uint8_t *all = *size <= FRAME_PAYLOAD_MAX ? malloc(*size + 1) : NULL;
    if (!all)
        return NULL;
    size_t at = 0;
    while ((data = data_queue_pop(&reading->ahead))) {
        memcpy(all + at, data->bytes, data->length);
        at += data->length;
        lane_give_back(&session->lane, data);
    }
    return all;
}

bool securing_go_on(struct oche_session *session, struct pending_request *request)
{
    size_t size;
    struct handle_entry *entry = session_find(session, request->handle);
    request->opcode = FRAME_SECURE; /* also if it cannot be sent: the connection is paused, and of no use any more */
    uint8_t *all = entry ? take_ahead(session, &entry->reading, &size) : NULL;
    if (!all)
        return false;
    bool has_room = lane_reserve(&session->lane, request->body_length, size) == 0;
    if (has_room)
        request_send_all(session, request, request->body, request->body_length, all, size);
    free(all);
    return has_room;
}

void securing_end(struct oche_session *session, const struct pending_request *request, int64_t result,
                  uint16_t os_error)
{
    struct handle_entry *entry = session_find(session, request->handle);
    if (!entry)
        return;
    entry->is_securing = false;
    if (result < 0 && request->opcode != FRAME_PAUSE) {
        /* What came before is with the daemon, and is lost. */
        (void)reading_finish(&entry->reading, OCHE_ERR_READ_FAILED, os_error);
    } else if (result == 0 && request->opcode == FRAME_SECURE) {
        reading_deinit(&entry->reading);
        entry->reading = (struct reading){0};
        entry->endpoints.no_delay = true; /* the daemon has set it */
    }
}

void securing_ask(struct oche_session *session, int64_t handle)
{
    struct handle_entry *entry = session_find(session, handle);
    if (entry)
        entry->is_securing = entry->asks = true;
}

/* ---- what comes after ---- */

int64_t securing_trust(struct oche_session *session, int64_t request_id, int64_t handle)
{
    int64_t status = admission_check(session);
    struct handle_entry *entry = admission_find_connection(session, handle);
    if (status < 0)
        return status;
    if (!entry)
        return OCHE_ERR_INVALID_HANDLE;
    if (!entry->asks)
        return OCHE_ERR_INVALID_ARGUMENT;
    const struct pending_request *request = request_begin(session, FRAME_TRUST, request_id, handle, 0, 0);
    if (!request)
        return OCHE_ERR_OUT_OF_MEMORY;
    entry->asks = false;
    request_send(session, request, NULL, 0);
    return 0;
}

static int64_t ask(struct oche_session *session, int64_t request_id, int64_t handle, int64_t item,
                   struct pending_request **request)
{
    int64_t status = admission_check(session);
    if (status < 0)
        return status;
    if (!admission_find_connection(session, handle))
        return OCHE_ERR_INVALID_HANDLE;
    if (item <= 0 || item >= TLS_ITEM_END)
        return OCHE_ERR_INVALID_ARGUMENT;
    *request = request_begin(session, FRAME_TLS_INFO, request_id, handle, 0, 0);
    if (!*request)
        return OCHE_ERR_OUT_OF_MEMORY;
    (*request)->argument = item;
    request_send(session, *request, NULL, 0);
    return 0;
}

int64_t securing_info(struct oche_session *session, int64_t request_id, int64_t handle, int64_t item)
{
    struct pending_request *request;
    return ask(session, request_id, handle, item, &request);
}

int64_t securing_info_and_wait(struct oche_session *session, int64_t handle, int64_t item, uint8_t *value, size_t room)
{
    int32_t os_error;
    struct waiter waiter;
    struct pending_request *request;
    if (waiter_init(&waiter) < 0)
        return OCHE_ERR_OUT_OF_MEMORY;
    int64_t status = ask(session, 0, handle, item, &request);
    if (status == 0) {
        request->waiter = &waiter;
        request->value = value;
        request->room = room;
    }
    return awaiting_answer(session, status, &waiter, &os_error);
}
