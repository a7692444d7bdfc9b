#include <doctest/doctest.h>

#include <chrono>
#include <string>

#include "tests/instrumented.hpp"
#include "tests/jinja/rendering.hpp"

namespace limits_test {

using namespace shoal::jinja;

namespace {

/// Templates that would take a machine down.
const char* const kHostile[] = {
    "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
    "{{ 'x' * 1000000000 }}",
    "{{ ('x' * 1000000 * 1000000) | length }}",
    "{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% "
    "endfor %}",
    "{% set ns = namespace(s='xx') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor "
    "%}",
    "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = ns.l + ns.l %}{% endfor "
    "%}",
    "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = [ns.l, ns.l] %}{% endfor "
    "%}{{ ns.l }}",
    "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = [ns.l, ns.l] %}{% endfor "
    "%}{{ ns.l|tojson }}",
    "{{ [1] * 1000000000 }}",
    "{{ range(1000000000) | list }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%*d' % (1000000000, 1) }}",
    "{{ '%.1000000000f' % 1.5 }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ 'x'.center(1000000000) }}",
    "{{ 'x'.zfill(1000000000) }}",
    "{{ 'x' | indent(1000000000, true) }}",
    "{{ [1, [2]] | tojson(indent=1000000000) }}",
    "{{ (range(100000) | list * 1000) | join('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx') }}",
    "{{ ('a' * 100000).replace('', 'b' * 100000) }}",
    "{{ ('a' * 10000).replace('a', 'b' * 1000000) }}",
    "{{ ('&' * 100000000) | e | e | e | e }}",
    "{{ strftime_now('%c' * 100000000) }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% macro m(x) %}{{ m(x + x) }}{% endmacro %}{{ m('xx') }}",
    "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "{% set ns = namespace(l=[]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor "
    "%}{{ ns.l }}",
    "{% set l = [] %}{% do l.append(l) %}{{ l }}",
    "{% set l = [] %}{% do l.append(l) %}{{ l|tojson }}",
    "{% set l = [1] %}{% for x in l %}{% do l.append(x) %}{% endfor %}",
    "{% set d = {} %}{% do d.update(a=d) %}{{ d == {'a': d} }}{{ d }}",
    "{{ 10 ** 10 ** 10 }}",
    "{{ 9223372036854775807 + 1 }}",
    "{{ [['x' * 1000] * 1000] | map('join', 'y' * 1000000) | list }}",
};

double seconds_of(const std::string& source, const Limits& limits) {
    const auto begin = std::chrono::steady_clock::now();
    CHECK(error_of(source, "{}", limits) != "");
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

std::string repeated(const std::string& what, std::size_t times) {
    std::string out;
    for (std::size_t i = 0; i < times; ++i) out += what;
    return out;
}

}  // namespace

TEST_SUITE("limits") {
    TEST_CASE("hostile templates end in an error soon, with small limits and with the defaults") {
        Limits small;
        small.steps = 100'000;
        small.memory_bytes = 1 << 20;
        small.output_bytes = 1 << 16;
        small.depth = 200;
        for (const char* source : kHostile) {
            CAPTURE(source);
            CHECK(seconds_of(source, small) < shoal::tests::by_speed(2.0, 20.0));
            CHECK(seconds_of(source, {}) < shoal::tests::by_speed(30.0, 300.0));
        }
    }

    TEST_CASE("each limit is exact and is named by its error") {
        Limits limits;
        limits.output_bytes = 4;
        CHECK(render("abcd", "{}", limits) == "abcd");
        CHECK(error_of("abcde", "{}", limits) ==
              "chat template t, line 1: it writes more than 4 bytes");
        limits = {};
        limits.depth = 4;
        CHECK(render("{{ [1] }}", "{}", limits) == "[1]");
        CHECK(error_of("{{ [[[[1]]]] }}", "{}", limits).find("deeper than 4 levels") !=
              std::string::npos);
        limits = {};
        limits.steps = 100;
        CHECK(render("{% for i in range(5) %}x{% endfor %}", "{}", limits) == "xxxxx");
        CHECK(error_of("{% for i in range(99) %}x{% endfor %}", "{}", limits).find("100 steps") !=
              std::string::npos);
        limits = {};
        limits.memory_bytes = 10'000;
        CHECK(render("{{ ('x' * 4000)|length }}", "{}", limits) == "4000");
        CHECK(error_of("{{ ('x' * 12000)|length }}", "{}", limits).find("10000 bytes") !=
              std::string::npos);
    }

    TEST_CASE("memory is counted while values live, not when they are made") {
        Limits limits;
        limits.memory_bytes = 50'000;
        CHECK(render("{% for i in range(1000) %}{% set x = 'x' * 9000 %}{% endfor %}done", "{}",
                     limits) == "done");
    }

    TEST_CASE("sources nested deeper than the limit are refused, flat ones of any length are not") {
        const std::size_t deep = kMaxParseDepth + 1;
        for (const std::string& source :
             {"{{ " + repeated("(", deep) + "1" + repeated(")", deep) + " }}",
              "{{ " + repeated("[", deep) + repeated("]", deep) + " }}",
              "{{ " + repeated("-", deep) + "1 }}", "{{ " + repeated("not ", deep) + "1 }}",
              "{{ x" + repeated(".a", deep) + " }}", "{{ x" + repeated("|trim", deep) + " }}",
              "{{ x" + repeated("()", deep) + " }}", "{{ 1" + repeated(" if 1", deep) + " }}",
              "{{ 1" + repeated(" if 1 else 1", deep) + " }}",
              repeated("{% if 1 %}", deep) + repeated("{% endif %}", deep),
              "{% set " + repeated("(", deep) + "x" + repeated(")", deep) + " = 1 %}"}) {
            CAPTURE(source.substr(0, 40));
            CHECK(error_of(source).find("nested deeper than 200 levels") != std::string::npos);
        }
        CHECK(render("{{ 1" + repeated(" + 1", 10'000) + " }}") == "10001");
        CHECK(render("{{ 'a'" + repeated(" ~ 'a'", 1000) + " }}").size() == 1001);
        CHECK(render("{% if 0 %}" + repeated("{% elif 0 %}", 1000) + "{% else %}x{% endif %}") ==
              "x");
    }

    TEST_CASE("a source that is too long or no UTF-8 is refused") {
        CHECK(render(std::string(kMaxSourceBytes, 'x')).size() == kMaxSourceBytes);
        CHECK(error_of(std::string(kMaxSourceBytes + 1, 'x')).find("1048577 bytes") !=
              std::string::npos);
        CHECK(error_of("a\xFF").find("not UTF-8") != std::string::npos);
    }

    TEST_CASE("JSON is read up to its depth") {
        const std::string deep = repeated("[", kMaxJsonDepth) + repeated("]", kMaxJsonDepth);
        CHECK_NOTHROW(Value::from_json(deep, Origin::input));
        CHECK_THROWS_AS(Value::from_json("[" + deep + "]", Origin::input), JsonError);
        CHECK_THROWS_AS(Value::from_json("9223372036854775808", Origin::input), JsonError);
        CHECK_THROWS_AS(Value::from_json("{\"a\":", Origin::input), JsonError);
    }
}

}  // namespace limits_test
