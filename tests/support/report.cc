#include "tests/support/report.h"

#include <catch2/catch.hpp>

void test_support::report_failure(const std::string &text)
{
    FAIL_CHECK(text);
}
