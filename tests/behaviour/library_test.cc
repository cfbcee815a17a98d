// liboche.so as a product: what it exports, what it needs, and its headers. The headers come first and alone.
#include <oche/oche.h>

#include <oche/tcp_socket.h>

#include <catch2/catch.hpp>

#include <dlfcn.h>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <unistd.h>

#include "tests/behaviour/public_headers.h"
#include "tests/support/process.h"
#include "tests/support/skip.h"
#include "tests/support/text.h"

extern "C" {
#include "proto/errors.h"
}

using namespace test_support;

namespace
{
// What readelf says of the library; "" where there is no readelf.
std::string readelf(const std::string &what)
{
    return run({{"/usr/bin/readelf", "--wide", what, runfile("client/liboche.so")}, {}, -1, -1, -1, 0, 0}).output;
}

// The functions and objects that the library defines for others.
std::set<std::string> exported_symbols()
{
    std::set<std::string> symbols;
    std::istringstream lines(readelf("--dyn-syms"));
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string number, value, size, type, binding, visibility, section, name;
        if (words >> number >> value >> size >> type >> binding >> visibility >> section >> name && section != "UND" &&
            (binding == "GLOBAL" || binding == "WEAK") && section != "Ndx") {
            symbols.insert(name.substr(0, name.find('@')));
        }
    }
    return symbols;
}

std::set<std::string> needed_libraries()
{
    std::set<std::string> needed;
    for (const auto &line : lines_with(readelf("--dynamic"), "\\(NEEDED\\)")) {
        const size_t start = line.find('[') + 1;
        needed.insert(line.substr(start, line.find(']') - start));
    }
    return needed;
}

bool is_instrumented()
{
    for (const auto &name : needed_libraries()) {
        if (name.find("san") != std::string::npos) {
            return true;
        }
    }
    return false;
}
} // namespace

TEST_CASE("the library exports the functions of its headers, and nothing else")
{
    if (access("/usr/bin/readelf", X_OK) != 0) {
        SKIP("there is no readelf here");
    }
    std::set<std::string> declared;
    for (const public_function *function = public_functions; function->name; function++) {
        declared.insert(function->name);
    }
    CHECK(exported_symbols() == declared);
}

TEST_CASE("every function of the headers is found in the library")
{
    void *library = dlopen("liboche.so", RTLD_NOW | RTLD_NOLOAD);
    REQUIRE(library);
    for (const public_function *function = public_functions; function->name; function++) {
        CAPTURE(function->name);
        CHECK(dlsym(library, function->name) == reinterpret_cast<void *>(function->address));
    }
    dlclose(library);
}

TEST_CASE("the library needs nothing but libc")
{
    if (access("/usr/bin/readelf", X_OK) != 0) {
        SKIP("there is no readelf here");
    }
    if (is_instrumented()) {
        SKIP("this build carries a sanitizer");
    }
    const auto needed = needed_libraries();
    CHECK(needed.count("libc.so.6") == 1);
    for (const auto &name : needed) {
        CAPTURE(name);
        // The loader, and what was a part of glibc in files of its own before 2.34.
        CHECK((name == "libc.so.6" || name.rfind("ld-linux", 0) == 0 || name == "libpthread.so.0" ||
               name == "libdl.so.2"));
    }
}

TEST_CASE("the library has no executable stack and no relocations in its code")
{
    if (access("/usr/bin/readelf", X_OK) != 0) {
        SKIP("there is no readelf here");
    }
    CHECK(count_lines(readelf("--program-headers"), "GNU_STACK.*RWE") == 0);
    CHECK(count_lines(readelf("--dynamic"), "TEXTREL") == 0);
    CHECK(count_lines(readelf("--dynamic"), "SONAME.*liboche\\.so") == 1);
}

TEST_CASE("the codes of the public header are those of the one list, with the same names")
{
    std::map<std::string, long long> in_header;
    for (const public_code *code = public_codes; code->name; code++) {
        in_header[code->name] = code->code;
    }
    const std::map<std::string, long long> in_list{
#define X(code, name, text) {"TCP_ERR_" #name, code},
        OCHE_ERRORS(X)
#undef X
    };
    CHECK(in_header == in_list);
}

TEST_CASE("each code has a name and a sentence, and a number that is no code has them too")
{
    for (const public_code *code = public_codes; code->name; code++) {
        CHECK(oche_error_name(code->code) == std::string(code->name));
        CHECK_FALSE(std::string(oche_error_text(code->code)).empty());
    }
    for (const int64_t number : {int64_t{0}, int64_t{1}, int64_t{-1000}, INT64_MIN, INT64_MAX}) {
        CHECK(oche_error_name(number) == std::string("TCP_ERR_UNKNOWN"));
        CHECK_FALSE(std::string(oche_error_text(number)).empty());
    }
}

TEST_CASE("the version is three numbers")
{
    CHECK(count_lines(oche_version(), "^[0-9]+\\.[0-9]+\\.[0-9]+$") == 1);
}

TEST_CASE("before any failure there is no last error")
{
    CHECK(std::string(oche_last_error()).empty());
}
