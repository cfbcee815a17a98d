#include <catch2/catch.hpp>

extern "C" {
#include "daemon/session/account.h"
}

#include <utility>

namespace
{

limits some_limits()
{
    limits granted{};
    granted.sessions = 2;
    granted.user.handles = 3;
    granted.user.queued_bytes = 400;
    granted.user.arena_bytes = 5000;
    granted.user.requests = 6;
    granted.user.session_rate = 1;
    granted.user.connection_rate = 0;
    return granted;
}

} // namespace

TEST_CASE("an account has the limits of a user")
{
    const limits granted = some_limits();
    account *account = account_new(1000, &granted);
    REQUIRE(account);
    CHECK(account->uid == 1000);
    for (const auto &[what, limit] : {std::pair{ACCOUNT_SESSIONS, 2},
                                      {ACCOUNT_HANDLES, 3},
                                      {ACCOUNT_QUEUED_BYTES, 400},
                                      {ACCOUNT_ARENA_BYTES, 5000},
                                      {ACCOUNT_REQUESTS, 6}}) {
        CAPTURE(what);
        CHECK(account_take(account, what, limit));
        CHECK_FALSE(account_take(account, what, 1));
        account_give_back(account, what, limit);
    }
    CHECK(account_take_turn(account, ACCOUNT_SESSION_RATE));
    CHECK(account_turns(account, ACCOUNT_SESSION_RATE) == 1);
    for (int i = 0; i < 100; i++)
        CHECK(account_take_turn(account, ACCOUNT_CONNECTION_RATE));
    account_free(account);
}

TEST_CASE("refusals are counted by kind, and the first of a burst is the one that is told")
{
    const limits granted = some_limits();
    account *account = account_new(0, &granted);
    REQUIRE(account);
    CHECK(account_refuse(account, ACCOUNT_HANDLES));
    CHECK_FALSE(account_refuse(account, ACCOUNT_HANDLES));
    CHECK(account_refuse(account, ACCOUNT_REQUESTS));
    CHECK(account_refuse_turn(account, ACCOUNT_SESSION_RATE));
    CHECK(account_refused(account, ACCOUNT_HANDLES) == 2);
    CHECK(account_refused(account, ACCOUNT_REQUESTS) == 1);
    CHECK(account_refused(account, ACCOUNT_SESSIONS) == 0);
    CHECK(account_turns_refused(account, ACCOUNT_SESSION_RATE) == 1);
    CHECK(account_turns_refused(account, ACCOUNT_CONNECTION_RATE) == 0);
    account_free(account);
}

TEST_CASE("each user has one account, which stays")
{
    const limits granted = some_limits();
    accounts users;
    accounts_init(&users, &granted);
    account *one = accounts_of(&users, 1);
    account *two = accounts_of(&users, 2);
    REQUIRE(one);
    REQUIRE(two);
    CHECK(one != two);
    CHECK(accounts_of(&users, 1) == one);
    CHECK(accounts_of(&users, 2) == two);
    CHECK(account_take(one, ACCOUNT_SESSIONS, 2));
    CHECK(account_take(two, ACCOUNT_SESSIONS, 2));
    account_give_back(one, ACCOUNT_SESSIONS, 2);
    account_give_back(two, ACCOUNT_SESSIONS, 2);
    accounts_deinit(&users);
}
