#include "tests/fuzz/played_application.h"

#include "proto/handle.h"
#include "tests/fuzz/check.h"

enum { PAYLOAD_MAX = 512 * 1024 };

static uint8_t payload[PAYLOAD_MAX]; /* any bytes */

void played_application_init(struct played_application *application, struct input *input, struct oche_session *session)
{
    *application = (struct played_application){.input = input, .session = session};
}

static int64_t new_id(const struct played_application *application)
{
    return application->request_count;
}

/* What a request returned. */
static void made(struct played_application *application, int64_t status)
{
    CHECK(status <= 0);
    if (status < 0)
        return;
    application->pending[application->request_count++] = true;
    application->pending_count++;
}

int64_t played_application_pick_handle(const struct played_application *application, uint8_t byte)
{
    if (byte >= 0xf0)
        return input_value(application->input);
    unsigned count =
        application->handle_count < PLAYED_APPLICATION_HANDLES ? application->handle_count : PLAYED_APPLICATION_HANDLES;
    return count ? application->handles[byte % count] : 0;
}

static void keep(struct played_application *application, void *owner)
{
    void **place = &application->kept[application->kept_count++ % PLAYED_APPLICATION_KEPT];
    oche_data_free(*place);
    *place = owner;
}

static void completed(struct played_application *application, const struct oche_completion *completion)
{
    int64_t id = completion->request_id;
    volatile uint8_t sum = 0;
    CHECK(id >= 0 && id < application->request_count);
    if (!application->pending[id]) {
        /* It has succeeded, and its connection has broken since. */
        CHECK(completion->result == TCP_ERR_READ_FAILED && !completion->data);
        return;
    }
    application->pending[id] = false;
    application->pending_count--;
    CHECK(!completion->data == !completion->data_owner);
    if (completion->data) {
        CHECK(completion->result > 0);
        sum = (uint8_t)(sum + completion->data[0] + completion->data[completion->result - 1]);
        keep(application, completion->data_owner);
    } else if (completion->result > HANDLE_SLOT_MAX) {
        application->handles[application->handle_count++ % PLAYED_APPLICATION_HANDLES] = completion->result;
    }
}

void played_application_take(struct played_application *application, unsigned count)
{
    struct oche_completion completion = {.size = sizeof completion};
    while (count-- > 0 && oche_session_pop(application->session, &completion))
        completed(application, &completion);
}

void played_application_take_all(struct played_application *application)
{
    played_application_take(application, PLAYED_APPLICATION_REQUESTS);
}

static void ask_connect(struct played_application *application, uint8_t how)
{
    static const uint8_t address[16] = {127, 0, 0, 1};
    struct oche_connect_options options = {
        .size = sizeof options,
        .address = address,
        .address_length = how & 1 ? 4 : 16,
        .port = how & 2 ? 0 : 80,
        .source_address = address,
        .source_address_length = how & 4 ? 4 : 0,
        .timeout_ms = how * 1000u, /* of the played time: more than a play takes */
    };
    made(application, oche_connect(application->session, new_id(application), &options));
}

static void ask_listen(struct played_application *application, uint8_t how)
{
    static const uint8_t address[16] = {127, 0, 0, 1};
    struct oche_listen_options options = {
        .size = sizeof options,
        .address = address,
        .address_length = how & 1 ? 16 : 4,
        .port = how,
        .backlog = how,
        .shared = how & 2,
        .v6_only = how & 4,
    };
    made(application, oche_listen(application->session, new_id(application), &options));
}

static void get(const struct played_application *application, int64_t handle)
{
    struct oche_endpoint endpoint = {.size = sizeof endpoint};
    if (oche_get_local(application->session, handle, &endpoint) == 0)
        CHECK(endpoint.address_length == 4 || endpoint.address_length == 16);
    if (oche_get_remote(application->session, handle, &endpoint) == 0)
        CHECK(endpoint.address_length == 4 || endpoint.address_length == 16);
    CHECK(oche_get_keep_alive(application->session, handle) <= 1 &&
          oche_get_no_delay(application->session, handle) <= 1);
}

void played_application_ask(struct played_application *application, uint8_t what)
{
    struct oche_session *session = application->session;
    if (application->request_count == PLAYED_APPLICATION_REQUESTS)
        return;
    uint8_t how = input_byte(application->input);
    int64_t handle = played_application_pick_handle(application, how);
    switch (what % 16) {
    case 0:
        ask_connect(application, how);
        break;
    case 1:
        ask_listen(application, how);
        break;
    case 2:
        made(application, oche_accept(session, new_id(application), handle));
        break;
    case 3:
    case 4:
    case 5:
        made(application, oche_read(session, new_id(application), handle));
        break;
    case 6:
    case 7:
        made(application, oche_write(session, new_id(application), handle, payload, input_length(application->input)));
        break;
    case 8:
        made(application, oche_close_write(session, new_id(application), handle));
        break;
    case 9:
        made(application, what & 0x10 ? oche_abort(session, new_id(application), handle)
                                      : oche_close(session, new_id(application), handle));
        break;
    case 10:
        made(application, oche_listener_close(session, new_id(application), handle, what & 0x10));
        break;
    case 11:
        made(application, oche_set_keep_alive(session, new_id(application), handle, what & 0x10));
        break;
    case 12:
        made(application, oche_set_no_delay(session, new_id(application), handle, what & 0x10));
        break;
    case 13:
        application->statistics.size = sizeof application->statistics;
        made(application, oche_get_statistics(session, new_id(application), &application->statistics));
        break;
    case 14:

        if (what & 0x10)
            oche_limit(session, how, how % 4 * 1000u); /* of the played time */
        else
            oche_cancel(session, how);
        break;
    default:
        get(application, handle);
        break;
    }
}

void played_application_give_back(struct played_application *application, uint8_t which)
{
    void **place = &application->kept[which % PLAYED_APPLICATION_KEPT];
    oche_data_free(*place);
    *place = NULL;
}

void played_application_give_all_back(struct played_application *application)
{
    for (unsigned i = 0; i < PLAYED_APPLICATION_KEPT; i++)
        played_application_give_back(application, (uint8_t)i);
}
