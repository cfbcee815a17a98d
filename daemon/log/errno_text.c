#include "daemon/log/errno_text.h"

#include <string.h>

const char *errno_text(int error)
{
    const char *text = strerrordesc_np(error);
    return text ? text : "unknown error";
}
