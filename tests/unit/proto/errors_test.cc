#include <catch2/catch.hpp>

extern "C" {
#include "proto/errors.h"
}
#include <oche/tcp_socket.h>

#include <set>
#include <string>

TEST_CASE("the error codes of the public header are those of the list")
{
#define X(code, name, text) CHECK(TCP_ERR_##name == OCHE_ERR_##name);
    OCHE_ERRORS(X)
#undef X
}

TEST_CASE("error codes run from -1 down without a gap, each with a name and a text of its own")
{
    std::set<std::string> names, texts;
    int expected = 0;
#define X(code, name, text)                                                                                            \
    expected--;                                                                                                        \
    CHECK(code == expected);                                                                                           \
    CHECK(names.insert(oche_errors_name(code)).second);                                                                \
    CHECK(texts.insert(oche_errors_text(code)).second);
    OCHE_ERRORS(X)
#undef X
}

TEST_CASE("a number that is no error code still has a name and a text")
{
    CHECK(std::string(oche_errors_name(-12345)) == "TCP_ERR_UNKNOWN");
    CHECK(std::string(oche_errors_text(0)) == "not an error");
}
