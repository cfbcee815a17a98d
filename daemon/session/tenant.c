#include "daemon/session/tenant.h"

#include <stdlib.h>

struct tenant *tenant_enter(struct list *tenants, struct engine *engine, pid_t pid)
{
    for (struct list *node = tenants->next; node != tenants; node = node->next) {
        struct tenant *tenant = list_entry(node, struct tenant, node);
        if (tenant->pid == pid) {
            tenant->sessions++;
            return tenant;
        }
    }
    struct tenant *tenant = malloc(sizeof *tenant);
    if (!tenant)
        return NULL;
    *tenant = (struct tenant){.pid = pid, .sessions = 1};
    time_slice_init(&tenant->slice, engine);
    list_init(&tenant->node);
    list_append(tenants, &tenant->node);
    return tenant;
}

void tenant_leave(struct tenant *tenant)
{
    if (--tenant->sessions > 0)
        return;
    time_slice_deinit(&tenant->slice);
    list_remove(&tenant->node);
    free(tenant);
}
