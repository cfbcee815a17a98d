#include <catch2/catch.hpp>

#include <algorithm>

extern "C" {
#include "proto/endpoints.h"
}

#include <cstring>

TEST_CASE("endpoints survive encoding and decoding")
{
    endpoints before{};
    const uint8_t v4[4] = {127, 0, 0, 1};
    memcpy(before.local.address, v4, 4);
    before.local.address_length = 4;
    before.local.port = 80;
    memset(before.remote.address, 0xab, 16);
    before.remote.address_length = 16;
    before.remote.port = 65535;
    before.remote.scope_id = 0xfedcba98;
    before.no_delay = true;

    uint8_t record[ENDPOINTS_SIZE];
    endpoints_encode(&before, record);
    endpoints after{};
    REQUIRE(endpoints_decode(&after, record, sizeof record));
    CHECK(memcmp(&after, &before, sizeof before) == 0);
}

TEST_CASE("endpoints of another length are refused")
{
    uint8_t record[ENDPOINTS_SIZE + 1] = {4};
    endpoints decoded{};
    for (size_t length = 0; length <= sizeof record; length++)
        CHECK(endpoints_decode(&decoded, record, length) == (length == ENDPOINTS_SIZE));
}

TEST_CASE("endpoints with an impossible address length are refused")
{
    uint8_t record[ENDPOINTS_SIZE] = {};
    endpoints decoded{};
    record[0] = 4;
    CHECK(endpoints_decode(&decoded, record, sizeof record));
    record[1] = 5;
    CHECK_FALSE(endpoints_decode(&decoded, record, sizeof record));
    record[1] = 16;
    record[0] = 0;
    CHECK_FALSE(endpoints_decode(&decoded, record, sizeof record));
}

TEST_CASE("the one end of a datagram survives encoding and decoding, and there may be none")
{
    endpoint before{};
    before.address_length = 16;
    before.port = 65535;
    before.scope_id = 0x12345678;
    for (uint8_t i = 0; i < 16; i++) {
        before.address[i] = i;
    }
    uint8_t record[ENDPOINT_SIZE + 1] = {};
    endpoint_encode(&before, record);
    endpoint after{};
    REQUIRE(endpoint_decode(&after, record, sizeof record)); // the datagram's own bytes follow
    CHECK(after.address_length == 16);
    CHECK(after.port == 65535);
    CHECK(after.scope_id == 0x12345678);
    CHECK(std::equal(before.address, before.address + 16, after.address));

    CHECK_FALSE(endpoint_decode(&after, record, ENDPOINT_SIZE - 1));
    record[0] = 0;
    CHECK(endpoint_decode(&after, record, ENDPOINT_SIZE));
    record[0] = 6;
    CHECK_FALSE(endpoint_decode(&after, record, ENDPOINT_SIZE));
}
