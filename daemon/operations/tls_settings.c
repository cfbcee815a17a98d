#include "daemon/operations/tls_settings.h"

#include "daemon/lane/lane.h"
#include "daemon/operations/call.h"
#include "daemon/socket/tls_connection.h"
#include "daemon/socket/tls_handle.h"
#include "proto/oche.pb-c.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static struct tls_bytes bytes_of(const ProtobufCBinaryData *data)
{
    return (struct tls_bytes){.data = data->data, .size = data->len};
}

/* NULL for an empty text. */
static const char *text_of(const char *text)
{
    return *text ? text : NULL;
}

/* Makes the context that the call names anew, or a new one. */
static int make_context(struct call *call, const Oche__TlsContext *body)
{
    struct tls_identity *identities = calloc(body->n_identities + 1, sizeof *identities);
    if (!identities)
        return OCHE_ERR_OUT_OF_MEMORY;
    for (size_t i = 0; i < body->n_identities; i++) {
        const Oche__TlsContext__Identity *identity = body->identities[i];
        identities[i].chain = bytes_of(&identity->chain);
        identities[i].key = bytes_of(&identity->key);
        identities[i].passphrase = text_of(identity->passphrase);
    }
    const struct tls_settings settings = {
        .identities = identities,
        .identity_count = body->n_identities,
        .trust = (enum tls_trust)body->trust,
        .own_roots = bytes_of(&body->roots),
        .client_certificate = (enum tls_client_certificate)body->client_certificate,
        .protocols = bytes_of(&body->protocols),
        .version_min = (int)body->version_min,
        .version_max = (int)body->version_max,
        .ciphers = text_of(body->ciphers),
        .suites = text_of(body->suites),
        .groups = text_of(body->groups),
    };
    int code = call->socket ? tls_handle_replace(call->socket, &call->request, &settings)
                            : tls_handle_open(&call->request, &settings);
    free(identities);
    return code;
}

static bool is_known(const Oche__TlsContext *body)
{
    return body->trust <= OCHE__TLS_CONTEXT__TRUST__NOBODY &&
           body->client_certificate <= OCHE__TLS_CONTEXT__CLIENT_CERTIFICATE__MUST_SHOW &&
           body->version_min <= UINT16_MAX && body->version_max <= UINT16_MAX;
}

/* Private keys are in it: the memory is wiped. */
static void free_body(Oche__TlsContext *body, struct body_memory *memory)
{
    for (size_t i = 0; i < body->n_identities; i++) {
        OPENSSL_cleanse(body->identities[i]->key.data, body->identities[i]->key.len);
        OPENSSL_cleanse(body->identities[i]->passphrase, strlen(body->identities[i]->passphrase));
    }
    oche__tls_context__free_unpacked(body, &memory->allocator);
}

static int unpack(struct call *call, const uint8_t *copy)
{
    struct body_memory memory;
    body_memory_init(&memory);
    Oche__TlsContext *body = oche__tls_context__unpack(&memory.allocator, call->message->payload.length, copy);
    if (!body)
        return call_unpack_fault(&memory);
    int code = is_known(body) ? make_context(call, body) : OCHE_ERR_INVALID_ARGUMENT;
    free_body(body, &memory);
    return code;
}

/* The payload may lie in memory that the client can change meanwhile: what is judged is a copy. */
int tls_settings_context(struct call *call)
{
    struct payload *payload = &call->message->payload;
    uint8_t *copy = malloc(payload->length + 1u);
    if (!copy)
        return OCHE_ERR_OUT_OF_MEMORY;
    if (payload->length > 0)
        memcpy(copy, payload->data, payload->length);
    int code = unpack(call, copy);
    OPENSSL_cleanse(copy, payload->length);
    if (payload->length > 0)
        OPENSSL_cleanse(payload->data, payload->length);
    free(copy);
    return code;
}

static int secure(struct call *call, const Oche__Secure *body)
{
    const struct tls_expectation expected = {
        .context = tls_handle_find(call->session, body->context),
        .server_name = body->server_name,
        .asks = body->asks,
    };
    if (!expected.context)
        return OCHE_ERR_INVALID_HANDLE;
    return tls_connection_secure(call->socket, &call->request, &expected, &call->message->payload);
}

int tls_settings_secure(struct call *call)
{
    const struct lane_message *message = call->message;
    struct body_memory memory;
    body_memory_init(&memory);
    Oche__Secure *body = oche__secure__unpack(&memory.allocator, message->frame.body_length, message->body);
    if (!body)
        return call_unpack_fault(&memory);
    int code = secure(call, body);
    oche__secure__free_unpacked(body, &memory.allocator);
    return code;
}
