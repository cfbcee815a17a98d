#include "client/session/tls_settings.h"

#include "client/session/admission.h"
#include "client/session/request.h"
#include "client/session/session.h"
#include "proto/errors.h"
#include "proto/oche.pb-c.h"

#include <stdlib.h>
#include <string.h>

/* protobuf-c does not write through the pointer; its type cannot say so. */
static ProtobufCBinaryData binary(const void *data, size_t length)
{
    return (ProtobufCBinaryData){.len = length, .data = (uint8_t *)(uintptr_t)data};
}

/* protobuf-c wants no NULL, and does not write through the pointer. */
static char *string(const char *text)
{
    return (char *)(uintptr_t)(text ? text : "");
}

/* `context`: the one that is replaced; 0: a new one. */
static int64_t send(struct oche_session *session, int64_t request_id, int64_t context, const Oche__TlsContext *message)
{
    size_t length = oche__tls_context__get_packed_size(message);
    uint8_t *payload = length <= FRAME_PAYLOAD_MAX ? malloc(length + 1) : NULL;
    if (!payload)
        return OCHE_ERR_OUT_OF_MEMORY;
    oche__tls_context__pack(message, payload);
    struct pending_request *request =
        request_begin(session, context ? FRAME_TLS_REPLACE : FRAME_TLS_CONTEXT, request_id, context, 0, length);
    if (request)
        request_send_all(session, request, NULL, 0, payload, length);
    explicit_bzero(payload, length);
    free(payload);
    return request ? 0 : OCHE_ERR_OUT_OF_MEMORY;
}

static void fill_identity(Oche__TlsContext__Identity *to, const struct oche_tls_identity *from)
{
    oche__tls_context__identity__init(to);
    to->chain = binary(from->chain, from->chain_length);
    to->key = binary(from->key, from->key_length);
    to->passphrase = string(from->passphrase);
}

static int64_t check(const struct oche_tls_options *options)
{
    bool are_there = (options->identities || options->identity_count == 0) &&
                     (options->roots || options->roots_length == 0) &&
                     (options->protocols || options->protocols_length == 0);
    for (size_t i = 0; are_there && i < options->identity_count; i++)
        are_there =
            options->identities[i].key && (options->identities[i].chain || !options->identities[i].chain_length);
    bool are_known =
        options->trust <= OCHE_TLS_TRUST_NOBODY && options->client_certificate <= OCHE_TLS_CLIENT_MUST_SHOW;
    return are_there && are_known ? 0 : OCHE_ERR_INVALID_ARGUMENT;
}

static int64_t make(struct oche_session *session, int64_t request_id, int64_t context,
                    const struct oche_tls_options *options)
{
    int64_t status = check(options);
    if (status < 0)
        return status;
    size_t count = options->identity_count;
    Oche__TlsContext__Identity *identities = calloc(count + 1, sizeof *identities);
    Oche__TlsContext__Identity **pointers = calloc(count + 1, sizeof(Oche__TlsContext__Identity *));
    status = OCHE_ERR_OUT_OF_MEMORY;
    if (identities && pointers) {
        Oche__TlsContext message = OCHE__TLS_CONTEXT__INIT;
        for (size_t i = 0; i < count; i++) {
            fill_identity(&identities[i], &options->identities[i]);
            pointers[i] = &identities[i];
        }
        message.n_identities = count;
        message.identities = pointers;
        message.trust = (Oche__TlsContext__Trust)options->trust;
        message.roots = binary(options->roots, options->roots_length);
        message.client_certificate = (Oche__TlsContext__ClientCertificate)options->client_certificate;
        message.protocols = binary(options->protocols, options->protocols_length);
        message.version_min = options->version_min;
        message.version_max = options->version_max;
        message.ciphers = string(options->ciphers);
        message.suites = string(options->suites);
        message.groups = string(options->groups);
        status = send(session, request_id, context, &message);
    }
    free(identities);
    free(pointers);
    return status;
}

int64_t tls_settings_open(struct oche_session *session, int64_t request_id, const struct oche_tls_options *options)
{
    int64_t status = admission_check_or_wait(session);
    return status < 0 ? status : make(session, request_id, 0, options);
}

int64_t tls_settings_replace(struct oche_session *session, int64_t request_id, int64_t handle,
                             const struct oche_tls_options *options)
{
    int64_t status = admission_check(session);
    if (status < 0)
        return status;
    const struct handle_entry *context = session_find(session, handle);
    if (!context || context->kind != HANDLE_TLS_CONTEXT)
        return OCHE_ERR_INVALID_HANDLE;
    return make(session, request_id, handle, options);
}
