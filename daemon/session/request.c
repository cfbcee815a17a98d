#include "daemon/session/request.h"

#include "daemon/session/session.h"
#include "proto/endpoints.h"
#include "proto/frame.h"
#include "proto/oche.pb-c.h"

#include <assert.h>
#include <stdio.h>

enum { WORDS_SIZE = 256 /* bytes; longer ones are cut off */ };

void request_init(struct request *request, struct session *session, const struct frame *frame)
{
    *request = (struct request){
        .session = session,
        .id = frame->request_id,
        .opcode = frame->opcode,
        .flags = frame->flags & (FRAME_QUIET | FRAME_MORE),
    };
    list_init(&request->node);
}

static void move(struct request *request, struct request *place, request_cancel *cancel)
{
    assert(!request->held);
    *place = *request;
    place->cancel = cancel;
    place->held = true;
    list_init(&place->node);
    list_append(&place->session->requests, &place->node);
}

int request_hold(struct request *request, struct request *place, request_cancel *cancel)
{
    struct session *session = request->session;
    struct account *account = session->account;
    if (!account_take(account, ACCOUNT_REQUESTS, 1))
        return session_refuse(session, ACCOUNT_REQUESTS, account->quotas[ACCOUNT_REQUESTS].limit);
    move(request, place, cancel);
    return 0;
}

void request_hold_anyway(struct request *request, struct request *place, request_cancel *cancel)
{
    quota_take_anyway(&request->session->account->quotas[ACCOUNT_REQUESTS], 1);
    move(request, place, cancel);
}

void request_drop(struct request *request)
{
    if (!request->held)
        return;
    request->held = false;
    list_remove(&request->node);
    account_give_back(request->session->account, ACCOUNT_REQUESTS, 1);
}

static struct frame answer_to(const struct request *request, int64_t value)
{
    return (struct frame){
        .opcode = request->opcode,
        .flags = (uint16_t)(FRAME_REPLY | (value >= 0 ? request->flags & FRAME_QUIET : 0)),
        .request_id = request->id,
        .value = value,
    };
}

void request_complete(struct request *request, int64_t value, int os_error)
{
    struct frame answer = answer_to(request, value);
    answer.os_error = (uint16_t)os_error;
    request_drop(request);
    if (!(request->flags & FRAME_MORE))
        session_reply(request->session, &answer, NULL, NULL);
}

/* How long the body is that has the sentence. */
static uint16_t pack_words(const char *why, uint8_t body[FRAME_BODY_MAX])
{
    char text[WORDS_SIZE];
    Oche__Failure words = OCHE__FAILURE__INIT;
    snprintf(text, sizeof text, "%s", why);
    words.text = text;
    return (uint16_t)protobuf_c_message_pack(&words.base, body);
}

void request_complete_with_words(struct request *request, int64_t value, int os_error, const char *why)
{
    uint8_t body[FRAME_BODY_MAX];
    struct frame answer = answer_to(request, value);
    answer.os_error = (uint16_t)os_error;
    answer.body_length = pack_words(why, body);
    request_drop(request);
    session_reply(request->session, &answer, body, NULL);
}

void request_complete_with_socket(struct request *request, int64_t handle, const struct endpoints *endpoints,
                                  const char *why)
{
    uint8_t body[FRAME_BODY_MAX];
    uint8_t record[ENDPOINTS_SIZE];
    struct frame answer = answer_to(request, handle);
    endpoints_encode(endpoints, record);
    answer.payload_length = ENDPOINTS_SIZE;
    if (why)
        answer.body_length = pack_words(why, body);
    request_drop(request);
    session_reply(request->session, &answer, why ? body : NULL, record);
}

void request_complete_with_bytes(struct request *request, const void *bytes, size_t count)
{
    struct frame answer = answer_to(request, (int64_t)count);
    answer.payload_length = (uint32_t)count;
    request_drop(request);
    session_reply(request->session, &answer, NULL, bytes);
}

struct request *request_find(struct session *session, int64_t id)
{
    for (struct list *node = session->requests.next; node != &session->requests; node = node->next) {
        struct request *request = list_entry(node, struct request, node);
        if (request->id == id && request->cancel && !(request->flags & FRAME_MORE))
            return request;
    }
    return NULL;
}
