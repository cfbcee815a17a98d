/* What an errno means, for a person. From any thread. */
#ifndef OCHE_DAEMON_LOG_ERRNO_TEXT_H
#define OCHE_DAEMON_LOG_ERRNO_TEXT_H

/* Never NULL; never to be freed. */
const char *errno_text(int error);

#endif
