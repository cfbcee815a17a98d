#include "daemon/stream/stream.h"

void stream_put_on(struct stream *filter, const struct stream_kind *kind, struct stream *below,
                   const struct stream_user *user)
{
    *filter = (struct stream){.kind = kind, .user = below->user, .owner = below->owner};
    below->user = user;
    below->owner = filter;
}
