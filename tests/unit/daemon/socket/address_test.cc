#include <catch2/catch.hpp>

extern "C" {
#include "daemon/socket/address.h"
}

#include <cstring>
#include <string>

namespace
{

const uint8_t loopback4[4] = {127, 0, 0, 1};
const uint8_t loopback6[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

std::string text_of(const address &a)
{
    char text[ADDRESS_TEXT_SIZE];
    return address_text(&a, text);
}

} // namespace

TEST_CASE("addresses of 4 and 16 bytes go to the system and back")
{
    address four, sixteen;
    REQUIRE(address_from_wire(&four, loopback4, 4, 0, 80));
    REQUIRE(address_from_wire(&sixteen, loopback6, 16, 0, 65535));
    CHECK(text_of(four) == "127.0.0.1:80");
    CHECK(text_of(sixteen) == "[::1]:65535");

    endpoint end;
    REQUIRE(address_to_endpoint(&end, &sixteen.storage));
    CHECK(end.address_length == 16);
    CHECK(end.port == 65535);
    CHECK(memcmp(end.address, loopback6, 16) == 0);
}

TEST_CASE("addresses of other lengths and ports beyond 65535 are refused")
{
    address a;
    for (size_t length : {0, 1, 3, 5, 15})
        CHECK_FALSE(address_from_wire(&a, loopback6, length, 0, 80));
    CHECK_FALSE(address_from_wire(&a, loopback4, 4, 0, 65536));
}

TEST_CASE("the any address has the family of its model")
{
    address model, any;
    address_from_wire(&model, loopback6, 16, 0, 1);
    address_any(&any, &model, 7);
    CHECK(text_of(any) == "[::]:7");
    address_from_wire(&model, loopback4, 4, 0, 1);
    address_any(&any, &model, 0);
    CHECK(text_of(any) == "0.0.0.0:0");
}

TEST_CASE("a scope id is kept where the system wants one, and nowhere else")
{
    uint8_t link_local[16] = {0xfe, 0x80};
    link_local[15] = 1;
    address scoped, loopback;
    REQUIRE(address_from_wire(&scoped, link_local, 16, 7, 80));
    REQUIRE(address_from_wire(&loopback, loopback6, 16, 7, 80));
    CHECK(text_of(scoped) == "[fe80::1%7]:80");
    CHECK(text_of(loopback) == "[::1]:80");
    endpoint end;
    REQUIRE(address_to_endpoint(&end, &scoped.storage));
    CHECK(end.scope_id == 7);
    REQUIRE(address_to_endpoint(&end, &loopback.storage));
    CHECK(end.scope_id == 0);
}

TEST_CASE("the longest address fits its text")
{
    uint8_t all[16];
    memset(all, 0xff, sizeof all);
    all[0] = 0xfe;
    all[1] = 0x80;
    address a;
    REQUIRE(address_from_wire(&a, all, 16, UINT32_MAX, 65535));
    CHECK(text_of(a) == "[fe80:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");
}
