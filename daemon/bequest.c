#include "daemon/bequest.h"

#include "daemon/door.h"
#include "daemon/handover.h"
#include "daemon/log.h"
#include "daemon/worker.h"

#include <errno.h>
#include <unistd.h>

static void log_kept(const struct bequest *bequest, int error)
{
    log_line(LOG_WARNING, "event=kept listeners=%u error=\"%s\" errno=%d", bequest->estate.count, log_errno_text(error),
             error);
}

static void dismiss(struct bequest *bequest)
{
    bequest->successor = NULL;
    estate_close(&bequest->estate);
}

static void keep(struct bequest *bequest, int error)
{
    const struct bequest_giver *giver = &bequest->giver;
    handover_refuse(bequest->successor);
    log_kept(bequest, error);
    for (unsigned i = 0; i < giver->worker_count; i++)
        worker_order(giver->workers[i], WORKER_KEEP);
    dismiss(bequest);
    engine_wake(giver->share->engine); /* the next one may be waiting */
}

static void give(struct bequest *bequest)
{
    const struct bequest_giver *giver = &bequest->giver;
    bequest->giving = bequest->over = true;
    giver->given(giver->context, bequest->estate.count);
    for (unsigned i = 0; i < giver->worker_count; i++)
        worker_order(giver->workers[i], WORKER_GIVE);
}

static void finish(struct bequest *bequest)
{
    handover_confirm(bequest->successor);
    bequest->giving = false;
    dismiss(bequest);
}

static void on_answered(void *owner, int error)
{
    struct bequest *bequest = owner;
    if (error)
        keep(bequest, -error);
    else
        give(bequest);
}

static bool all_workers_have_offered(const struct bequest *bequest)
{
    for (unsigned i = 0; i < bequest->giver.worker_count; i++) {
        if (atomic_load(&bequest->giver.workers[i]->phase) != HANDOVER_OFFERED)
            return false;
    }
    return true;
}

static bool all_workers_have_given(const struct bequest *bequest)
{
    for (unsigned i = 0; i < bequest->giver.worker_count; i++) {
        const struct worker *worker = bequest->giver.workers[i];
        if (atomic_load(&worker->phase) != HANDOVER_GIVEN && !atomic_load(&worker->finished))
            return false;
    }
    return true;
}

static void begin(struct bequest *bequest)
{
    const struct bequest_giver *giver = &bequest->giver;
    int fd = atomic_exchange(&bequest->asking, -1);
    if (fd < 0)
        return;
    if (!bequest->over) {
        bequest->successor = handover_new(giver->share, fd, on_answered, bequest);
        if (!bequest->successor)
            log_kept(bequest, ENOMEM);
    }
    if (!bequest->successor) {
        close(fd);
        return;
    }
    bequest->listing = true;
    atomic_store(&bequest->estate.failed, 0);
    for (unsigned i = 0; i < giver->worker_count; i++)
        worker_offer(giver->workers[i], &bequest->estate);
}

static void offer(struct bequest *bequest)
{
    const struct bequest_giver *giver = &bequest->giver;
    const struct handover_offer offered = {
        .door = door_fd(giver->door),
        .rendezvous = giver->rendezvous,
        .estate = &bequest->estate,
    };
    int error = bequest->over ? ECANCELED : atomic_load(&bequest->estate.failed);
    bequest->listing = false;
    if (error)
        keep(bequest, error);
    else
        handover_offer(bequest->successor, &offered, giver->limit);
}

void bequest_init(struct bequest *bequest)
{
    *bequest = (struct bequest){.over = false};
    estate_init(&bequest->estate);
    atomic_init(&bequest->asking, -1);
}

void bequest_deinit(struct bequest *bequest)
{
    if (bequest->giving)
        finish(bequest);
    else if (bequest->successor)
        handover_refuse(bequest->successor);
    int asking = atomic_load(&bequest->asking);
    if (asking >= 0)
        close(asking);
    estate_deinit(&bequest->estate);
}

void bequest_ask(struct bequest *bequest, int fd)
{
    int before = atomic_exchange(&bequest->asking, fd);
    if (before >= 0)
        close(before);
    engine_wake(bequest->giver.share->engine);
}

void bequest_go_on(struct bequest *bequest)
{
    if (!bequest->successor)
        begin(bequest);
    else if (bequest->listing && all_workers_have_offered(bequest))
        offer(bequest);
    else if (bequest->giving && all_workers_have_given(bequest))
        finish(bequest);
}

bool bequest_is_under_way(const struct bequest *bequest)
{
    return bequest->successor != NULL;
}

void bequest_withdraw(struct bequest *bequest)
{
    bequest->over = true;
    if (bequest->successor && !bequest->listing && !bequest->giving)
        keep(bequest, ECANCELED);
}
