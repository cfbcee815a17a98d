#include "client/os/alarm.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

int alarm_init(struct alarm *alarm, int epoll_fd, unsigned number)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = number};
    *alarm = (struct alarm){.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)};
    if (alarm->fd < 0)
        return -errno;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, alarm->fd, &event) == 0)
        return 0;
    int error = errno;
    alarm_deinit(alarm);
    return -error;
}

void alarm_deinit(struct alarm *alarm)
{
    if (alarm->fd >= 0)
        close(alarm->fd);
    *alarm = (struct alarm){.fd = -1};
}

void alarm_set(struct alarm *alarm, int64_t at)
{
    struct itimerspec time = {.it_value = {.tv_sec = (time_t)(at / 1000), .tv_nsec = (long)(at % 1000) * 1000000}};
    if (at == alarm->at)
        return;
    alarm->at = at;
    timerfd_settime(alarm->fd, TFD_TIMER_ABSTIME, &time, NULL); /* which cannot fail with such a time */
}
