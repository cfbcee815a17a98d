#include "daemon/session/session_host.h"

#include "daemon/session/daemon_state.h"

const struct tls_library *session_host_tls(struct session_host *host)
{
    if (host->tls.context || tls_library_init(&host->tls, &host->daemon->tls_roots, &host->daemon->tls_tickets) == 0)
        return &host->tls;
    return NULL;
}
