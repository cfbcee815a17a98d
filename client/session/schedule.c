#include "client/session/schedule.h"

#include "client/os/deadline.h"

int schedule_init(struct schedule *schedule, int epoll_fd, unsigned number)
{
    *schedule = (struct schedule){.limits = 0};
    return alarm_init(&schedule->alarm, epoll_fd, number);
}

void schedule_deinit(struct schedule *schedule)
{
    alarm_deinit(&schedule->alarm);
}

void schedule_set_alarm(struct schedule *schedule)
{
    int64_t at = schedule->heartbeat.due;
    if (schedule->limit_at && (!at || schedule->limit_at < at))
        at = schedule->limit_at;
    alarm_set(&schedule->alarm, at);
}

void schedule_begin(struct schedule *schedule, bool owed)
{
    heartbeat_begin(&schedule->heartbeat);
    if (owed)
        schedule_owe(schedule);
}

void schedule_end(struct schedule *schedule)
{
    schedule->heartbeat = (struct heartbeat){.state = HEARTBEAT_OFF};
    schedule_set_alarm(schedule);
}

void schedule_owe(struct schedule *schedule)
{
    if (!heartbeat_needs_watch(&schedule->heartbeat))
        return;
    heartbeat_watch(&schedule->heartbeat, deadline_now());
    schedule_set_alarm(schedule);
}

void schedule_limit(struct schedule *schedule, int64_t at)
{
    if (schedule->limits++ == 0 || at < schedule->limit_at)
        schedule->limit_at = at;
    schedule_set_alarm(schedule);
}

void schedule_unlimit(struct schedule *schedule)
{
    if (--schedule->limits > 0)
        return;
    schedule->limit_at = 0;
    schedule_set_alarm(schedule);
}
