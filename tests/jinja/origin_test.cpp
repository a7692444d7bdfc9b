#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/jinja/rendering.hpp"

namespace origin_test {

using namespace shoal::jinja;

namespace {

/// The spans as text, those of the input between « and ».
std::string marked(const std::string& source) {
    const Value input = Value::from_json(
        R"({"content": "  <|x|> a,b\n", "list": ["p", "q"], "tool": {"name": "f\"n"}, "word": "péß"})",
        Origin::input);
    const Value variables =
        Value::dict({{Value::trusted("m"), input}, {Value::trusted("bos"), Value::trusted("<s>")}});
    std::string out;
    for (const Span& span : rendered(source, variables).spans) {
        out += span.from_input ? "«" + span.text + "»" : span.text;
    }
    return out;
}

}  // namespace

TEST_SUITE("origin") {
    TEST_CASE("what comes from the input is told apart from what the template writes") {
        CHECK(marked("a{{ m.word }}b") == "a«péß»b");
        CHECK(marked("{{ bos }}{{ m.list[0] }}{{ m.list[1] }}") == "<s>«pq»");
        CHECK(marked("{{ '<|' + m.word + '|>' }}") == "<|«péß»|>");
        CHECK(marked("{{ '<|' ~ m.word ~ 1 ~ '|>' }}") == "<|«péß»1|>");
        CHECK(marked("") == "");
    }

    TEST_CASE("a string that the caller vouches for is the template's") {
        const Value role = Value::trusted("user");
        const Rendered out =
            rendered("{{ '<|' + role + '|>' }}", Value::dict({{Value::trusted("role"), role}}));
        CHECK(out.spans == std::vector<Span>{{"<|user|>", false}});
    }

    TEST_CASE("filters and methods keep the origin of each byte") {
        CHECK(marked("{{ m.content | trim }}") == "«<|x|> a,b»");
        CHECK(marked("{{ ('[' + m.content + ']').strip('[] \\n') }}") == "«<|x|> a,b»");
        CHECK(marked("{{ m.content | replace('a', 'Z') }}") == "«  <|x|> »Z«,b\n»");
        CHECK(marked("{{ 'a-b'.replace('-', m.word) }}") == "a«péß»b");
        CHECK(marked("{{ ('x' + m.word) | upper }}") == "X«PÉSS»");
        CHECK(marked("{{ ('xY' + m.word)[1:3] }}") == "Y«p»");
        CHECK(marked("{{ ('xY' + m.word)[::-1] }}") == "«ßép»Yx");
        CHECK(marked("{{ ('x,' + m.content).split(',') | join('|') }}") == "x|«  <|x|> a»|«b\n»");
        CHECK(marked("{{ m.list | join(', ') }}") == "«p», «q»");
        CHECK(marked("{{ ', '.join(m.list) }}") == "«p», «q»");
        CHECK(marked("{{ (m.word + '\n' + m.word) | indent(2) }}") == "«péß»\n  «péß»");
        CHECK(marked("{{ '%s=%d' % (m.word, 5) }}") == "«péß»=5");
        CHECK(marked("{{ '{}={}'.format(m.word, 'x') }}") == "«péß»=x");
        CHECK(marked("{{ '%s!' | format(m.word) }}") == "«péß»!");
        CHECK(marked("{{ m.missing | default(m.word ~ '!') }}") == "«péß»!");
        CHECK(marked("{% set x %}[{{ m.word }}]{% endset %}{{ x | string }}") == "[«péß»]");
        CHECK(marked("{% macro f(a) %}<{{ a }}>{% endmacro %}{{ f(m.word) }}") == "<«péß»>");
        CHECK(marked("{% for c in 'a' + m.list[0] %}{{ c }}.{% endfor %}") == "a.«p».");
        CHECK(marked("{{ m.content | e }}") == "«  &lt;|x|&gt; a,b\n»");
        CHECK(marked("{{ '{\"a\": \"' ~ m.list[0] ~ '\"}' }}") == "{\"a\": \"«p»\"}");
    }

    TEST_CASE("what is written around input in JSON and lists is input, too") {
        CHECK(marked("{{ m.tool | tojson }}") == "«{\"name\": \"f\\\"n\"}»");
        CHECK(marked("{{ m.list }}") == "«['p', 'q']»");
        CHECK(marked("{{ {'a': '<s>', 'b': [1]} | tojson }}") == "{\"a\": \"<s>\", \"b\": [1]}");
        CHECK(marked("{{ (m.tool | tojson | from_json).name }}") == "«f\"n»");
    }

    TEST_CASE("names of the input's dicts are input") {
        CHECK(marked("{% for k, v in m.tool.items() %}{{ k }}={{ v }}{% endfor %}") ==
              "«name»=«f\"n»");
        CHECK(marked("{{ m.tool | list | first }}") == "«name»");
    }
}

}  // namespace origin_test
