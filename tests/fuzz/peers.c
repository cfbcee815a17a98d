#include "tests/fuzz/peers.h"

#include "tests/fuzz/check.h"
#include "tests/fuzz/loopback.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SCRATCH = 512 * 1024 };

static uint8_t scratch[SCRATCH];

static void close_peer(int *peer, bool reset)
{
    static const struct linger at_once = {.l_onoff = 1};
    if (*peer < 0)
        return;
    if (reset)
        setsockopt(*peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(*peer);
    *peer = -1;
}

static void connect_peer(int *peer, uint8_t which)
{
    socklen_t length;
    if (loopback_count() < 2)
        return;
    const struct sockaddr_storage *address = loopback_listener(1 + which % (loopback_count() - 1), &length);
    close_peer(peer, true);
    *peer = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(*peer >= 0);
    if (connect(*peer, (const struct sockaddr *)address, length) < 0 && errno != EINPROGRESS)
        close_peer(peer, true);
}

static void accept_peer(int *peer, int home)
{
    int fd = accept4(home, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    close_peer(peer, true);
    *peer = fd;
}

void peers_act(struct peers *peers, struct input *input)
{
    uint8_t how = input_byte(input);
    int *peer = &peers->fds[(how >> 3) % PEERS];
    switch (how % 8) {
    case 0:
        connect_peer(peer, input_byte(input));
        break;
    case 1:
        accept_peer(peer, peers->home);
        break;
    case 2:
    case 3:
        send(*peer, scratch, input_length(input), MSG_NOSIGNAL | MSG_DONTWAIT);
        break;
    case 4:
        recv(*peer, scratch, sizeof scratch, MSG_DONTWAIT);
        break;
    case 5:
        shutdown(*peer, SHUT_WR);
        break;
    case 6:
        close_peer(peer, false);
        break;
    default:
        close_peer(peer, true);
        break;
    }
}

int peers_open_home(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int home = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(home >= 0 && bind(home, (struct sockaddr *)&address, sizeof address) == 0 && listen(home, 64) == 0);
    return home;
}

void peers_init(struct peers *peers, int home)
{
    peers->home = home;
    for (int i = 0; i < PEERS; i++)
        peers->fds[i] = -1;
    loopback_forget(1);
}

void peers_deinit(struct peers *peers)
{
    for (int i = 0; i < PEERS; i++)
        close_peer(&peers->fds[i], true);
    int peer;
    while ((peer = accept4(peers->home, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        close_peer(&peer, true);
}
