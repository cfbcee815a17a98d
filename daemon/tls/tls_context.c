#include "daemon/tls/tls_context.h"

#include "daemon/tls/tls_credentials.h"

#include <stdlib.h>

struct tls_context {
    unsigned references; /* of owners */
    struct tls_credentials *credentials;
};

struct tls_context *tls_context_new(const struct tls_library *library, const struct tls_settings *settings,
                                    const char **why)
{
    struct tls_context *context = malloc(sizeof *context);
    struct tls_credentials *credentials = context ? tls_credentials_new(library, settings, why) : NULL;
    if (!credentials) {
        if (!context)
            *why = "no memory";
        free(context);
        return NULL;
    }
    *context = (struct tls_context){.references = 1, .credentials = credentials};
    return context;
}

const char *tls_context_replace(struct tls_context *context, const struct tls_library *library,
                                const struct tls_settings *settings)
{
    const char *why;
    struct tls_credentials *credentials = tls_credentials_new(library, settings, &why);
    if (!credentials)
        return why;
    tls_credentials_free(context->credentials);
    context->credentials = credentials;
    return NULL;
}

struct tls_context *tls_context_share(struct tls_context *context)
{
    context->references++;
    return context;
}

void tls_context_free(struct tls_context *context)
{
    if (!context || --context->references > 0)
        return;
    tls_credentials_free(context->credentials);
    free(context);
}

SSL *tls_context_client(struct tls_context *context, const char *server_name, bool asks)
{
    return tls_credentials_client(context->credentials, server_name, asks);
}

SSL *tls_context_server(struct tls_context *context)
{
    return tls_credentials_server(context->credentials);
}
