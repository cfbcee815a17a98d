#include "daemon/socket/tls_handle.h"

#include "daemon/session/session.h"
#include "daemon/session/session_host.h"
#include "proto/errors.h"

#include <errno.h>
#include <stdlib.h>

/* What a context is charged for, in handles. These are rough weights, for a context has much more memory than a socket.
 */
enum {
    HANDLES_OF_CONTEXT = 16,
    HANDLES_OF_IDENTITY = 16,
    BYTES_OF_HANDLE = 1024, /* of certificates; parsed they take more than as text */
};

struct tls_handle {
    struct socket socket;
    struct tls_context *context;
    int64_t charge; /* handles of the user */
};

/* A context takes memory, and no descriptor: it counts as so many handles. */
static int64_t charge_of(const struct tls_settings *settings)
{
    size_t bytes = settings->own_roots.size + settings->protocols.size;
    for (size_t i = 0; i < settings->identity_count; i++)
        bytes += settings->identities[i].chain.size + settings->identities[i].key.size;
    return HANDLES_OF_CONTEXT + (int64_t)(bytes / BYTES_OF_HANDLE) +
           HANDLES_OF_IDENTITY * (int64_t)settings->identity_count;
}

static void free_handle(struct tls_handle *handle)
{
    tls_context_free(handle->context);
    free(handle);
}

static void close_handle(struct tls_handle *handle)
{
    socket_leave_table(&handle->socket);
    account_give_back(handle->socket.session->account, ACCOUNT_HANDLES, handle->charge);
    free_handle(handle);
}

/* The part of tls_handle_open() for which the user was charged. 0 or a code. */
static int make(struct request *request, const struct tls_library *library, const struct tls_settings *settings,
                int64_t charge)
{
    const char *why;
    struct tls_handle *handle = calloc(1, sizeof *handle);
    if (!handle)
        return OCHE_ERR_OUT_OF_MEMORY;
    socket_init(&handle->socket, &tls_handle_kind, request->session);
    handle->context = tls_context_new(library, settings, &why);
    if (!handle->context) {
        free_handle(handle);
        account_give_back(request->session->account, ACCOUNT_HANDLES, charge);
        request_complete_with_words(request, OCHE_ERR_INVALID_ARGUMENT, EINVAL, why);
        return 0;
    }
    int code = socket_enter_table(&handle->socket);
    if (code < 0) {
        free_handle(handle);
        return code;
    }
    handle->charge = charge;
    handle->socket.open = true;
    request_complete(request, handle->socket.handle, 0);
    return 0;
}

int tls_handle_open(struct request *request, const struct tls_settings *settings)
{
    struct session *session = request->session;
    struct account *account = session->account;
    const struct tls_library *library = session_host_tls(session->host);
    if (!library)
        return OCHE_ERR_OUT_OF_MEMORY;
    int64_t charge = charge_of(settings);
    if (!account_take(account, ACCOUNT_HANDLES, charge))
        return session_refuse(session, ACCOUNT_HANDLES, account->quotas[ACCOUNT_HANDLES].limit);
    int code = make(request, library, settings, charge);
    if (code < 0)
        account_give_back(account, ACCOUNT_HANDLES, charge);
    return code;
}

int tls_handle_replace(struct socket *socket, struct request *request, const struct tls_settings *settings)
{
    struct tls_handle *handle = (struct tls_handle *)socket;
    struct session *session = socket->session;
    struct account *account = session->account;
    int64_t charge = charge_of(settings);
    if (!account_take(account, ACCOUNT_HANDLES, charge))
        return session_refuse(session, ACCOUNT_HANDLES, account->quotas[ACCOUNT_HANDLES].limit);
    const char *why = tls_context_replace(handle->context, session_host_tls(session->host), settings);
    account_give_back(account, ACCOUNT_HANDLES, why ? charge : handle->charge);
    if (why) {
        request_complete_with_words(request, OCHE_ERR_INVALID_ARGUMENT, EINVAL, why);
        return 0;
    }
    handle->charge = charge;
    request_complete(request, 0, 0);
    return 0;
}

struct tls_context *tls_handle_find(struct session *session, int64_t handle)
{
    struct socket *socket = socket_table_find(&session->sockets, handle);
    return socket && socket->open && socket->kind == &tls_handle_kind ? ((struct tls_handle *)socket)->context : NULL;
}

static void close_for_client(struct socket *socket, struct request *request)
{
    close_handle((struct tls_handle *)socket);
    request_complete(request, 0, 0);
}

static void orphan(struct socket *socket)
{
    close_handle((struct tls_handle *)socket);
}

static void abandon(struct socket *socket, bool whole)
{
    (void)whole; /* it has no bytes */
    close_handle((struct tls_handle *)socket);
}

const struct socket_kind tls_handle_kind = {
    .name = "TLS context",
    .operations = 1u << FRAME_CLOSE | 1u << FRAME_TLS_REPLACE,
    .close = close_for_client,
    .orphan = orphan,
    .abandon = abandon,
};
