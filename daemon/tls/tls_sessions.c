#include "daemon/tls/tls_sessions.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

struct tls_session {
    struct list node;
    SSL_SESSION *session;
    char server_name[];
};

void tls_sessions_init(struct tls_sessions *sessions)
{
    *sessions = (struct tls_sessions){0};
    list_init(&sessions->all);
}

static void free_session(struct tls_session *entry)
{
    SSL_SESSION_free(entry->session);
    free(entry);
}

static bool drop_oldest(struct tls_sessions *sessions)
{
    struct list *node = list_take_first(&sessions->all);
    if (!node)
        return false;
    sessions->count--;
    free_session(list_entry(node, struct tls_session, node));
    return true;
}

void tls_sessions_deinit(struct tls_sessions *sessions)
{
    while (drop_oldest(sessions))
        continue;
}

void tls_sessions_put(struct tls_sessions *sessions, const char *server_name, SSL_SESSION *session)
{
    size_t size = strlen(server_name) + 1;
    struct tls_session *entry = malloc(sizeof *entry + size);
    if (!entry) {
        SSL_SESSION_free(session);
        return;
    }
    entry->session = session;
    memcpy(entry->server_name, server_name, size);
    list_append(&sessions->all, &entry->node);
    if (++sessions->count > TLS_SESSIONS_MAX)
        drop_oldest(sessions);
}

SSL_SESSION *tls_sessions_take(struct tls_sessions *sessions, const char *server_name)
{
    for (struct list *node = sessions->all.previous; node != &sessions->all; node = node->previous) {
        struct tls_session *entry = list_entry(node, struct tls_session, node);
        if (strcmp(entry->server_name, server_name) != 0)
            continue;
        SSL_SESSION *session = entry->session;
        SSL_SESSION_up_ref(session);
        if (SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION) {
            list_remove(&entry->node);
            sessions->count--;
            free_session(entry);
        }
        return session;
    }
    return NULL;
}
