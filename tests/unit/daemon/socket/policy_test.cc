#include <catch2/catch.hpp>

extern "C" {
#include "daemon/socket/policy.h"
}

#include <arpa/inet.h>
#include <string>
#include <vector>

namespace
{

policy_list rules(const std::vector<std::string> &texts)
{
    policy_list list{};
    for (const std::string &text : texts) {
        INFO(text);
        const char *wrong = policy_add(&list, text.c_str());
        INFO((wrong ? wrong : ""));
        REQUIRE(wrong == nullptr);
    }
    return list;
}

address at(const std::string &host, uint32_t port)
{
    uint8_t bytes[16];
    const bool six = host.find(':') != std::string::npos;
    REQUIRE(inet_pton(six ? AF_INET6 : AF_INET, host.c_str(), bytes) == 1);
    address result;
    REQUIRE(address_from_wire(&result, bytes, six ? 16 : 4, 0, port));
    return result;
}

bool allows(const policy_list &list, const std::string &host, uint32_t port)
{
    const address target = at(host, port);
    return policy_allows(&list, &target);
}

bool allows_listener(const policy_list &list, const std::string &host, uint32_t port, bool v6_only)
{
    const address target = at(host, port);
    return policy_allows_listener(&list, &target, v6_only);
}

} // namespace

TEST_CASE("without rules everything is allowed")
{
    const policy_list none{};
    CHECK(allows(none, "192.0.2.1", 1));
    CHECK(allows(none, "2001:db8::1", 65535));
    CHECK(allows_listener(none, "::", 0, false));
}

TEST_CASE("an address alone is that address, with every port")
{
    const policy_list list = rules({"192.0.2.1", "2001:db8::1"});
    CHECK(allows(list, "192.0.2.1", 0));
    CHECK(allows(list, "192.0.2.1", 65535));
    CHECK(allows(list, "2001:db8::1", 80));
    CHECK_FALSE(allows(list, "192.0.2.2", 80));
    CHECK_FALSE(allows(list, "2001:db8::2", 80));
}

TEST_CASE("a prefix counts bits, also where it ends inside a byte")
{
    const policy_list list = rules({"10.32.0.0/11", "[2001:db8:8000::]/33"});
    CHECK(allows(list, "10.32.0.0", 1));
    CHECK(allows(list, "10.63.255.255", 1));
    CHECK_FALSE(allows(list, "10.64.0.0", 1));
    CHECK_FALSE(allows(list, "10.31.255.255", 1));
    CHECK(allows(list, "2001:db8:ffff::", 1));
    CHECK_FALSE(allows(list, "2001:db8:7fff::", 1));
}

TEST_CASE("ports are one or a range, with both ends")
{
    const policy_list list = rules({"192.0.2.0/24:443", "[2001:db8::]/32:8000-8010"});
    CHECK(allows(list, "192.0.2.9", 443));
    CHECK_FALSE(allows(list, "192.0.2.9", 442));
    CHECK_FALSE(allows(list, "192.0.2.9", 444));
    CHECK(allows(list, "2001:db8::9", 8000));
    CHECK(allows(list, "2001:db8::9", 8010));
    CHECK_FALSE(allows(list, "2001:db8::9", 7999));
    CHECK_FALSE(allows(list, "2001:db8::9", 8011));
}

TEST_CASE("IPv4-mapped IPv6 addresses are the IPv4 addresses that they stand for")
{
    const policy_list four = rules({"10.0.0.0/8:80"});
    CHECK(allows(four, "::ffff:10.1.2.3", 80));
    CHECK_FALSE(allows(four, "::ffff:10.1.2.3", 81));
    CHECK_FALSE(allows(four, "::ffff:11.1.2.3", 80));
    CHECK_FALSE(allows(four, "::10.1.2.3", 80));

    const policy_list mapped = rules({"[::ffff:10.0.0.0]/104"});
    CHECK(allows(mapped, "10.1.2.3", 80));
    CHECK(allows(mapped, "::ffff:10.1.2.3", 80));
    CHECK_FALSE(allows(mapped, "11.1.2.3", 80));
}

TEST_CASE("all of one family is nothing of the other, in whatever shape it comes")
{
    const policy_list six = rules({"::/0"});
    CHECK(allows(six, "2001:db8::1", 80));
    CHECK_FALSE(allows(six, "192.0.2.1", 80));
    CHECK_FALSE(allows(six, "::ffff:192.0.2.1", 80));
    const policy_list four = rules({"0.0.0.0/0"});
    CHECK(allows(four, "192.0.2.1", 80));
    CHECK(allows(four, "::ffff:192.0.2.1", 80));
    CHECK_FALSE(allows(four, "2001:db8::1", 80));
    CHECK_FALSE(allows(four, "::", 80));
}

TEST_CASE("a listener at :: that takes IPv4 connections needs 0.0.0.0 too")
{
    const policy_list six = rules({"[::]:80"});
    CHECK(allows_listener(six, "::", 80, true));
    CHECK_FALSE(allows_listener(six, "::", 80, false));
    const policy_list both = rules({"[::]:80", "0.0.0.0:80"});
    CHECK(allows_listener(both, "::", 80, false));
    CHECK_FALSE(allows_listener(both, "::", 81, false));
    CHECK(allows_listener(rules({"::1"}), "::1", 80, false));
}

TEST_CASE("what is no rule is refused, and changes nothing")
{
    policy_list list = rules({"192.0.2.1"});
    for (const char *text : {"",
                             ":80",
                             "/8",
                             "192.0.2",
                             "192.0.2.256",
                             "localhost",
                             "*",
                             "192.0.2.1/33",
                             "192.0.2.1/",
                             "192.0.2.1/-1",
                             "192.0.2.1/8",
                             "192.0.2.0/23x",
                             "::1/129",
                             "2001:db8::1/64",
                             "192.0.2.1:",
                             "192.0.2.1:65536",
                             "192.0.2.1:-1",
                             "192.0.2.1:80-",
                             "192.0.2.1:80-79",
                             "192.0.2.1:80-65536",
                             "192.0.2.1:80x",
                             "192.0.2.1:80:81",
                             "[::1",
                             "[192.0.2.1]:80",
                             "[]:80",
                             "[::1]80",
                             "[::1]:80/64",
                             "::1]:80",
                             " 192.0.2.1",
                             "192.0.2.1 ",
                             "99999999999999999999999",
                             "192.0.2.1:99999999999999999999999",
                             "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]"}) {
        INFO(text);
        CHECK(policy_add(&list, text) != nullptr);
    }
    CHECK(list.count == 1);
    CHECK(allows(list, "192.0.2.1", 80));
}

TEST_CASE("there is a limit on rules")
{
    policy_list list{};
    for (int i = 0; i < POLICY_RULES_MAX; i++)
        REQUIRE(policy_add(&list, "192.0.2.1") == nullptr);
    CHECK(policy_add(&list, "192.0.2.1") != nullptr);
}
