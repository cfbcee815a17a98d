#include "daemon/session/socket.h"

#include "daemon/session/daemon_state.h"
#include "daemon/session/session.h"
#include "daemon/session/session_host.h"
#include "proto/errors.h"

void socket_init(struct socket *socket, const struct socket_kind *kind, struct session *session)
{
    socket->kind = kind;
    socket->session = session;
    list_init(&socket->node);
}

int socket_charge(struct session *session)
{
    struct account *account = session->account;
    struct descriptors *descriptors = &session->host->daemon->descriptors;
    if (!account_take(account, ACCOUNT_HANDLES, 1)) {
        /* In this order: a handle that is given back after this tells us; one that was given back before is seen by the
         * second look. */
        descriptors_want(descriptors);
        if (!account_take(account, ACCOUNT_HANDLES, 1))
            return SOCKET_LACKS_HANDLE;
    }
    if (descriptors_take(descriptors))
        return 0;
    account_give_back(account, ACCOUNT_HANDLES, 1);
    return SOCKET_LACKS_DESCRIPTOR;
}

void socket_give_back_charge(struct session *session)
{
    account_give_back(session->account, ACCOUNT_HANDLES, 1);
    descriptors_give_back(&session->host->daemon->descriptors);
}

int socket_enter_table(struct socket *socket)
{
    struct session *session = socket->session;
    int64_t handle = socket_table_add(&session->sockets, socket);
    if (handle == 0)
        return session_refuse(session, ACCOUNT_HANDLES, session->sockets.limit);
    if (handle < 0)
        return OCHE_ERR_OUT_OF_MEMORY;
    socket->handle = handle;
    return 0;
}

void socket_leave_table(struct socket *socket)
{
    socket->open = false;
    socket_table_remove(&socket->session->sockets, socket->handle);
}
