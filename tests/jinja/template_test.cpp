#include "daemon/jinja/template.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>

#include "tests/jinja/rendering.hpp"

namespace template_test {

using namespace shoal::jinja;

namespace {

struct Case {
    const char* source;
    const char* text;
};

const char* const kVariables =
    R"({"l": [3, 1, 2], "w": ["b", "A", "c"], "d": {"k": 1, "items": 2}, "s": "é 日本", "n": null,
        "ms": [{"r": "u", "c": "x"}, {"r": "a", "c": null}]})";

void check(std::initializer_list<Case> cases) {
    for (const auto& [each_source, text] : cases) {
        const auto& source = each_source;
        CAPTURE(source);
        CHECK(render(source, kVariables) == text);
    }
}

}  // namespace

TEST_SUITE("template") {
    TEST_CASE("tags strip what stands around them as trim_blocks and lstrip_blocks do") {
        check({{"a\n  {% if 1 %}\n b\n {%- endif %}\nc\n", "a\n bc"},
               {"a  {{- 1 -}}  b", "a1b"},
               {" {%+ if 1 %}x{% endif +%}\n", " x"},
               {" {%+ if 1 %}x{% endif +%}\ny", " x\ny"},
               {"{# c #}\nx", "x"},
               {"{% raw %}{{ x }}{% endraw %}", "{{ x }}"},
               {"a\r\nb\r", "a\nb"},
               {"{ { % } }", "{ { % } }"}});
    }

    TEST_CASE("statements") {
        check(
            {{"{% for x in l %}{{ loop.index }}{{ x }}{{ ',' if not loop.last }}{% endfor %}",
              "13,21,32"},
             {"{% for x in l if x > 1 %}{{ x }}{% else %}none{% endfor %}", "32"},
             {"{% for x in [] %}{% else %}none{% endfor %}", "none"},
             {"{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% if x == 2 %}{% "
              "break %}{% endif %}{% endfor %}",
              "32"},
             {"{% for a, b in d.items() %}{{ a }}{{ b }}{% endfor %}", "k1items2"},
             {"{% for x in [[1, [2]], 3] recursive %}{{ loop.depth }}{{ loop(x) if x is not number "
              "else x }};{% endfor %}",
              "121;232;;;13;"},
             {"{% set x = 1 %}{% for i in l %}{% set x = x + 1 %}{% endfor %}{{ x }}", "1"},
             {"{% set ns = namespace(x=1) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor "
              "%}{{ ns.x }}",
              "7"},
             {"{% set a, b = 1, 2 %}{{ b }}{{ a }}", "21"},
             {"{% set x | upper %}q{% endset %}{{ x }}", "Q"},
             {"{% macro m(a, b=2) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1) "
              "}}{{ m(1, 3, 4, z=5) }}",
              "12(){}13(4,){'z': 5}"},
             {"{% macro m() %}<{{ caller(1) }}>{% endmacro %}{% call(x) m() %}{{ x }}{% endcall %}",
              "<1>"},
             {"{% filter upper %}a{{ 'b' }}{% endfilter %}", "AB"},
             {"{% with x = 1, y = 2 %}{{ x + y }}{% endwith %}{{ x }}", "3"},
             {"{% generation %}x{% endgeneration %}", "x"}});
    }

    TEST_CASE("expressions are Python's") {
        check({{"{{ 7 // -2 }} {{ 7 % -2 }} {{ -7 // 2 }} {{ 2 ** 3 ** 2 }} {{ 7 / 2 }}",
                "-4 -1 -4 64 3.5"},
               {"{{ 1e16 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1.0 }}",
                "1e+16 1000000000000000.0 0.0001 1e-05 1.0"},
               {"{{ [1, 'a', none, true, 1.5, (1,), {'k': \"it's\"}] }}",
                "[1, 'a', None, True, 1.5, (1,), {'k': \"it's\"}]"},
               {"{{ 1 < 2 < 3 }}{{ 1 == 1.0 }}{{ 'a' in 'ab' }}{{ 3 not in l }}",
                "TrueTrueTrueFalse"},
               {"{{ s|length }}{{ s[2] }}{{ s[::-1] }}{{ s[-1:] }}", "4日本日 é本"},
               {"{{ d['items'] }}{{ d.k }}", "21"},
               {"{{ missing }}{{ d.zz }}{{ missing is defined }}{{ 1 if 0 }}", "False"},
               {"{{ '%05.1f|%-4s|%x' % (3.14159, 'ab', 255) }}", "003.1|ab  |ff"},
               {"{{ 'a' 'b' ~ 1 ~ none }}", "ab1None"},
               {"{{ not 0 and 'x' or 'y' }}", "x"},
               {"{{ strftime_now('%d %b %Y') }}", "09 Mar 2026"}});
    }

    TEST_CASE("filters, tests and methods") {
        check(
            {{"{{ l|sort|join }}{{ l|max }}{{ l|sum }}{{ w|sort|join }}", "12336Abc"},
             {"{{ ms|selectattr('r', 'equalto', 'u')|map(attribute='c')|list }}", "['x']"},
             {"{{ ms|map(attribute='c', default='-')|join }}", "xNone"},
             {"{{ n|selectattr('x')|list }}", "[]"},
             {"{{ {'b': 1, 'a': [1, 'é']}|tojson(sort_keys=true, indent=1) }}",
              "{\n \"a\": [\n  1,\n  \"é\"\n ],\n \"b\": 1\n}"},
             {"{{ 'é😀'|tojson(ensure_ascii=true) }}", "\"\\u00e9\\ud83d\\ude00\""},
             {"{{ 'ßΑΣ σ'.upper() }}{{ 'ΑΣ'.lower() }}{{ 'жЖ'|upper }}", "SSΑΣ ΣαςЖЖ"},
             {"{{ 'a b  c'.split() }}{{ 'a,b,c'.rsplit(',', 1) }}", "['a', 'b', 'c']['a,b', 'c']"},
             {"{{ 42.55|round(1) }}{{ '42.9'|int }}{{ 'x'|int(7) }}{{ '1.5'|float }}",
              "42.54271.5"},
             {"{{ 3 is odd }}{{ 'a' is string }}{{ d is mapping }}{{ true is number }}{{ n is none "
              "}}",
              "TrueTrueTrueTrueTrue"},
             {"{{ [1, 2, 3]|batch(2)|list }}{{ d|dictsort }}",
              "[[1, 2], [3]][('items', 2), ('k', 1)]"},
             {"{{ 'x'|default('y') }}{{ ''|default('y', true) }}{{ m|d('z') }}", "xyz"}});
    }

    TEST_CASE("errors name template, line and cause") {
        CHECK(error_of("a\n{{ x.y }}") == "chat template t, line 2: 'x' is undefined");
        CHECK(error_of("{{ 'a' + 1 }}") ==
              "chat template t, line 1: can only concatenate str (not \"int\") to str");
        CHECK(error_of("\n\n{{ 1 +* }}") ==
              "chat template t, line 3: expected an expression, found '*'");
        CHECK(error_of("{% if 1 %}\n") ==
              "chat template t, line 1: the block that begins here has no '{% endif %}'");
        CHECK(error_of("\n{% raw %}\n{%") ==
              "chat template t, line 2: missing end of raw block '{% endraw %}'");
        CHECK(error_of("{% include 'x' %}").find("a chat template has one file") !=
              std::string::npos);
        CHECK(error_of("{{ 1 | nothing }}") ==
              "chat template t, line 1: there is no filter 'nothing'");
        CHECK(error_of("{{ 9223372036854775807 + 1 }}") ==
              "chat template t, line 1: an integer is beyond 64 bits");
        CHECK(error_of("{% break %}") == "chat template t, line 1: 'break' is in no loop");
        CHECK(error_of("{{ 'abc") ==
              "chat template t, line 1: a string that begins here is not closed");
    }

    TEST_CASE("a template refuses with its own words") {
        try {
            render("\n{{ raise_exception('No ' ~ 'system.') }}");
            FAIL("it rendered");
        } catch (const TemplateError& error) {
            CHECK(error.raised_by_template());
            CHECK(error.message() == "No system.");
            CHECK(error.line() == 2);
        }
    }

    TEST_CASE("lists of the template can be changed, those of the input cannot") {
        check({{"{% set x = [] %}{% do x.append(1) %}{{ x }}", "[1]"},
               {"{% set x = {'a': 1} %}{% set _ = x.update({'b': 2}) %}{{ x.pop('a') }}{{ x }}",
                "1{'b': 2}"}});
        CHECK(error_of("{% do l.append(1) %}", kVariables).find("of the input") !=
              std::string::npos);
    }

    TEST_CASE("a template renders again and again, the same each time") {
        const Template parsed =
            Template::parse("{% set x = [1] %}{% do x.append(2) %}{{ x }}", "t");
        for (int i = 0; i < 2; ++i) {
            CHECK(parsed.render(Value::dict({}), time_of("2026-03-09T07:05:00")).text() ==
                  "[1, 2]");
        }
    }
}

}  // namespace template_test
