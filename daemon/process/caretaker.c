#include "daemon/process/caretaker.h"

void caretaker_begin(struct caretaker *caretaker, const struct rendezvous_files *own)
{
    caretaker->rendezvous.own = *own;
    /* The socket of a service manager is the manager's to look after. */
    caretaker->watches = own->socket.inode != 0;
    caretaker->pause = CARETAKER_PAUSE;
}

void caretaker_end(struct caretaker *caretaker)
{
    caretaker->watches = false;
}

int caretaker_timeout(const struct caretaker *caretaker)
{
    return caretaker->watches ? caretaker->pause : -1;
}

bool caretaker_finds_all(const struct caretaker *caretaker)
{
    return !caretaker->watches || rendezvous_is_in_place(&caretaker->rendezvous);
}

enum caretaker_news caretaker_mend(struct caretaker *caretaker)
{
    switch (rendezvous_renew(&caretaker->rendezvous, caretaker->daemon)) {
    case 0:
        caretaker->pause = CARETAKER_PAUSE;
        return CARETAKER_MADE_ANEW;
    case RENDEZVOUS_IN_PLACE:
        caretaker->pause = CARETAKER_PAUSE;
        return CARETAKER_NOTHING;
    case RENDEZVOUS_TAKEN:
        caretaker_end(caretaker);
        return CARETAKER_ORPHAN;
    default:
        if (caretaker->pause < CARETAKER_LONGEST_PAUSE)
            caretaker->pause *= 2;
        return CARETAKER_NOTHING;
    }
}
