#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/grammar/test_support.hpp"

namespace schema_test {

using namespace shoal;

struct Case {
    const char* schema;
    std::vector<std::string_view> accepted, refused;
};

void check(const Case& one) {
    CAPTURE(one.schema);
    const auto made = tests::compiled(grammar::compile_json_schema(one.schema));
    const auto& grammar = made.grammar;
    const std::string& error = made.error;
    CHECK(error == "");
    if (grammar == nullptr) return;
    for (const auto text : one.accepted) {
        CAPTURE(text);
        CHECK(tests::matches(grammar, text));
    }
    for (const auto text : one.refused) {
        CAPTURE(text);
        CHECK_FALSE(tests::matches(grammar, text));
    }
}

TEST_CASE("schema: values of each type") {
    const Case cases[] = {
        {R"({"type":"boolean"})", {"true", "false"}, {"null", "True", ""}},
        {R"({"type":"null"})", {"null"}, {"0"}},
        {R"({"type":"integer"})", {"0", "-7", "123456"}, {"01", "1.0", "-", "+1", "1e3"}},
        {R"({"type":"number"})",
         {"0", "-0.5", "1e3", "1.25E-7"},
         {".5", "1.", "0x1", "01.5", "1e"}},
        {R"({"type":"string"})",
         {R"("")", R"("a\n\u00e4")", "\"\xC3\xA4\"", R"("\ud83d\ude00")", R"("\"")"},
         {"\"", "\"a\nb\"", R"("\x")", R"("\ud83d")", R"("\ude00")", "\"\xC3\"", R"("\u12")"}},
        {R"({"type":["string","null"]})", {"\"a\"", "null"}, {"1"}},
        {R"({"type":"string","nullable":true})", {"\"a\"", "null"}, {"1"}},
        {R"({})", {"1", "[]", "{}", "[1, {\"a\": null}]"}, {"", "[1,]", "{1:2}"}},
        {R"(true)", {"null"}, {"nul"}},
        {R"({"const":{"a":[1,"b"]}})", {R"({"a":[1,"b"]})"}, {"{}", R"({"a": [1,"b"]})"}},
        {R"({"enum":["a","ab",3,null,"\u00e4\n"]})",
         {"\"a\"", "\"ab\"", "3", "null", "\"\xC3\xA4\\n\""},
         {"\"abc\"", "a", "33"}},
        {R"({"type":"string","enum":["a",1]})", {"\"a\""}, {"1"}},
        {R"({"enum":[1,2,3],"allOf":[{"enum":[2,3,4]},{"const":3}]})", {"3"}, {"2"}},
    };
    for (const Case& one : cases) check(one);
}

TEST_CASE("schema: numbers within bounds") {
    const Case cases[] = {
        {R"({"type":"integer","minimum":0})", {"0", "1", "99999"}, {"-1", "-0", "00"}},
        {R"({"type":"integer","minimum":7,"maximum":123})",
         {"7", "10", "99", "100", "123"},
         {"6", "124", "0", "1000", "007"}},
        {R"({"type":"integer","minimum":-12,"exclusiveMaximum":5})",
         {"-12", "-1", "0", "4"},
         {"-13", "5", "-20"}},
        {R"({"type":"integer","exclusiveMinimum":2.5,"maximum":3.5})", {"3"}, {"2", "4"}},
        {R"({"type":"integer","minimum":5,"exclusiveMinimum":true})", {"6"}, {"5"}},
        {R"({"type":"number","minimum":0,"maximum":1})",
         {"0", "1", "0.5", "1.0", "0.0", "1.000"},
         {"1.0001", "-0.1", "2", "1e0"}},
        {R"({"type":"number","exclusiveMinimum":0,"exclusiveMaximum":1})",
         {"0.001", "0.999"},
         {"0", "1", "0.0", "1.0"}},
        {R"({"type":"number","minimum":-2.75,"maximum":-0.5})",
         {"-2.75", "-1", "-0.5", "-0.50", "-2.1"},
         {"-2.751", "-0.49", "-3", "0", "1"}},
        {R"({"type":"number","minimum":1.25})",
         {"1.25", "1.250", "2", "1.3", "100.1"},
         {"1.2", "1", "1.2499", "-3"}},
        {R"({"type":"number","maximum":1e2})", {"100", "-5000.5", "99.9"}, {"100.1", "101"}},
        {R"({"type":"number","multipleOf":0.01})", {"1", "1.2", "-1.25"}, {"1.255"}},
        {R"({"type":"integer","multipleOf":7})", {"0", "7", "-14", "7007"}, {"1", "8", "07"}},
        {R"({"type":"integer","multipleOf":1,"maximum":3})", {"3"}, {"4"}},
    };
    for (const Case& one : cases) check(one);
}

TEST_CASE("schema: strings of lengths, patterns and formats") {
    const Case cases[] = {
        {R"({"type":"string","minLength":2,"maxLength":3})",
         {R"("ab")", R"("abc")", "\"\xC3\xA4\xC3\xA4\"", R"("\n\u0041\ud83d\ude00")"},
         {R"("a")", R"("abcd")", R"("\n")"}},
        {R"({"type":"string","pattern":"^[a-z]+\\d{2,}$"})",
         {R"("ab12")", R"("z123")"},
         {R"("ab1")", R"("12")", R"("A12")"}},
        {R"({"type":"string","pattern":"b"})",
         {R"("abc")", R"("b")", R"("\nb\"")"},
         {R"("ac")", R"("")"}},
        {R"({"type":"string","pattern":"^a|b$"})", {R"("ax")", R"("xb")"}, {R"("xa")", R"("bx")"}},
        {R"({"pattern":"^(?:\\w\\s|\\.\\n?|[^\\x41-\\u005A\\]])$"})",
         {R"("a ")", R"(".")", R"(".\n")", R"("b")", R"("\"")", R"("\\")"},
         {R"("A")", R"("]")"}},
        {R"({"pattern":"^.{2}$"})", {R"("a\"")", "\"\xF0\x9F\x98\x80z\""}, {R"("a")", R"("a\n")"}},
        {R"({"format":"date","type":"string"})",
         {R"("2024-02-29")", R"("1999-12-31")"},
         {R"("2023-02-29")", R"("2023-13-01")", R"("2023-04-31")", R"("1900-02-29")"}},
        {R"({"format":"date-time"})",
         {R"("2024-02-29T23:59:59.5Z")", R"("2024-01-01T00:00:00+01:30")"},
         {R"("2024-01-01 00:00:00Z")", R"("2024-01-01T24:00:00Z")", R"("2024-01-01T00:00:00")"}},
        {R"({"format":"uuid"})", {R"("123e4567-e89b-12d3-a456-426614174000")"}, {R"("123e4567")"}},
        {R"({"format":"ipv4"})",
         {R"("127.0.0.1")", R"("255.255.255.255")"},
         {R"("256.0.0.1")", R"("1.2.3")"}},
        {R"({"format":"ipv6"})",
         {R"("::1")", R"("fe80::1:2")", R"("1:2:3:4:5:6:7:8")", R"("::")"},
         {R"("1:2")", R"("1::2::3")", R"("1:2:3:4:5:6:7:8:9")"}},
        {R"({"format":"email"})", {R"("a.b+c@example.org")"}, {R"("a@b")", R"("@example.org")"}},
        {R"({"format":"uri"})",
         {R"("https://example.org/a?b=c#d")"},
         {R"("example.org")", R"("http://a b")"}},
        {R"({"format":"duration"})",
         {R"("P1Y2M3DT4H5M6S")", R"("PT5M")", R"("P2W")"},
         {R"("P")", R"("PT")", R"("5M")"}},
        {R"({"type":"string","format":"my-own"})", {R"("anything")"}, {"1"}},
    };
    for (const Case& one : cases) check(one);
}

TEST_CASE("schema: objects") {
    const Case cases[] = {
        {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"null"}},"required":["a"]})",
         {R"({"a":1})", R"({"a":1,"b":null})", R"({"a": 1, "b": null})", "{\n  \"a\": 1\n}"},
         {"{}", R"({"b":null})", R"({"b":null,"a":1})", R"({"a":1,"c":2})", R"({"a":1,})"}},
        {R"({"type":"object","properties":{"a":true,"b":true,"c":true}})",
         {"{}", R"({"a":1})", R"({"b":1})", R"({"c":1})", R"({"a":1,"c":1})", R"({"b":1,"c":[]})",
          "{ }"},
         {R"({"c":1,"a":1})", R"({,"c":1})"}},
        {R"({"properties":{"a":true},"required":["a","z"],"additionalProperties":{"type":"integer"}})",
         {R"({"a":"","z":1})", R"({"a":"","z":1,"y":2,"ab":3,"":4})"},
         {R"({"a":""})", R"({"a":"","z":"x"})", R"({"a":1,"z":1,"a":1})",
          R"({"a":1,"z":1,"\u0061":1})", R"({"a":1,"z":1,"y":"x"})"}},
        {R"({"type":"object"})", {"{}", R"({"a":{"b":[]}})"}, {"[]"}},
        {R"({"type":"object","additionalProperties":false})", {"{}"}, {R"({"a":1})"}},
        {R"({"type":"object","additionalProperties":{"type":"integer"},"minProperties":1,"maxProperties":2})",
         {R"({"a":1})", R"({"a":1,"b":2})"},
         {"{}", R"({"a":1,"b":2,"c":3})", R"({"a":"x"})"}},
        {R"({"properties":{"a":true,"b":true},"minProperties":1})", {R"({"b":1})"}, {"{}"}},
        {R"({"properties":{"a\"\u00e4":{"const":1}}})", {"{\"a\\\"\xC3\xA4\":1}"}, {R"({"a":1})"}},
        {R"({"properties":{"a":false,"b":true},"additionalProperties":true})",
         {R"({"b":1,"c":1})", "{}"},
         {R"({"a":1})", R"({"b":1,"a":1})"}},
        {R"({"$defs":{"n":{"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]}},"required":["v","next"],"additionalProperties":false}},"$ref":"#/$defs/n"})",
         {R"({"v":1,"next":null})", R"({"v":1,"next":{"v":2,"next":null}})"},
         {R"({"v":1})"}},
        {R"({"type":"object","properties":{"child":{"$ref":"#"}},"additionalProperties":false})",
         {"{}", R"({"child":{"child":{}}})"},
         {R"({"child":1})"}},
        {R"({"allOf":[{"properties":{"a":{"type":"integer"}},"required":["a"]},{"properties":{"b":{"type":"string"},"a":{"maximum":5}},"required":["b"]}],"type":"object"})",
         {R"({"a":1,"b":""})"},
         {R"({"a":1})", R"({"a":6,"b":""})"}},
        {R"({"type":"object","properties":{"a":true,"b":true},"anyOf":[{"required":["a"]},{"required":["b"]}]})",
         {R"({"a":1})", R"({"b":1})", R"({"a":1,"b":1})"},
         {"{}"}},
        {R"({"definitions":{"x y":{"type":"integer"}},"properties":{"a":{"$ref":"#/definitions/x%20y","description":"d"},"b":{"$ref":"#/definitions/x%20y","maximum":3}}})",
         {R"({"a":9,"b":3})"},
         {R"({"b":4})", R"({"a":""})"}},
    };
    for (const Case& one : cases) check(one);
}

TEST_CASE("schema: arrays") {
    const Case cases[] = {
        {R"({"type":"array","items":{"type":"integer"}})",
         {"[]", "[1]", "[1,2]", "[1, 2]", "[\n 1,\n 2\n]", "[ ]"},
         {"[1,]", "[\"\"]", "[1  ,2]", "[1,  2]"}},
        {R"({"type":"array","items":{"type":"null"},"minItems":2,"maxItems":3})",
         {"[null,null]", "[null,null,null]"},
         {"[]", "[null]", "[null,null,null,null]"}},
        {R"({"type":"array","prefixItems":[{"const":1},{"const":2},{"const":3}],"items":false,"minItems":2})",
         {"[1,2]", "[1,2,3]"},
         {"[1]", "[]", "[1,2,3,4]", "[2,1]"}},
        {R"({"type":"array","prefixItems":[{"const":1}],"items":{"const":0},"maxItems":3})",
         {"[]", "[1]", "[1,0]", "[1,0,0]"},
         {"[0]", "[1,0,0,0]"}},
        {R"({"type":"array","items":[{"const":1}],"additionalItems":{"const":0}})",
         {"[1,0,0]"},
         {"[1,1]"}},
        {R"({"type":"array","maxItems":0})", {"[]"}, {"[1]"}},
        {R"({"items":{"const":1},"minItems":300})", {}, {"[1]"}},
    };
    for (const Case& one : cases) check(one);
}

TEST_CASE("schema: whitespace has a bound") {
    check({R"({"type":"array","items":true})",
           {"[\n                    1]", "[1,\n\t2\n]"},
           {"[\n                     1]", "[\n\n1]", " []", "[] ", "[1 \n]", "[1\r\n]"}});
    check({R"({"properties":{"a":{"const":1}}})",
           {R"({"a": 1})"},
           {R"({"a" :1})", R"({"a":  1})", "{\"a\":\n1}"}});
}

TEST_CASE("schema: any object is what json_object asks for") {
    const auto grammar = tests::compiled(grammar::compile_json_object()).grammar;
    REQUIRE(grammar != nullptr);
    CHECK(tests::matches(grammar, R"({"a": [1, {"b": "\u00e4"}, -1.5e-3], "a": true})"));
    CHECK_FALSE(tests::matches(grammar, "[]"));
    CHECK_FALSE(tests::matches(grammar, R"({"a": 01})"));
}

TEST_CASE("schema: what would not be held is refused with its place") {
    const std::pair<const char*, const char*> cases[] = {
        {"{", "not valid JSON"},
        {"[]", "#: a schema is an object, true or false"},
        {R"({"properties":{"a/b":{"not":{}}}})", "#/properties/a~1b/not: \"not\" is not supported"},
        {R"({"type":"array","uniqueItems":true})", "#/uniqueItems: "},
        {R"({"patternProperties":{"^a":{}}})", "#/patternProperties: "},
        {R"({"if":{"type":"string"},"then":{"minLength":1}})", "is not supported"},
        {R"({"items":{"contains":{"const":1}}})", "#/items/contains: "},
        {R"({"type":"text"})", "#/type: a type is"},
        {R"({"type":[]})", "#/type: "},
        {R"({"$ref":"other.json"})", "#/$ref: \"other.json\" is not within this schema"},
        {R"({"$ref":"#/$defs/none"})", "#/$ref: there is no"},
        {R"({"$ref":"#"})", "no text matches"},
        {R"({"$defs":{"a":{"anyOf":[{"$ref":"#/$defs/b"},{"type":"null"}]},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"})",
         "can begin with itself"},
        {R"({"allOf":[{"$ref":"#"}]})", "without end"},
        {R"({"allOf":[{"type":"string"},{"type":"null"}]})", "no type is valid"},
        {R"x({"type":"string","pattern":"(?=a)"})x",
         "#/pattern: character 3 of the pattern: look-around"},
        {R"({"type":"string","pattern":"\\bx"})", "this escape is not supported"},
        {R"({"type":"string","pattern":"(a)\\1"})", "this escape is not supported"},
        {R"x({"type":"string","pattern":"a(^b)"})x", "ends of the whole pattern"},
        {R"({"type":"string","pattern":"^a$","maxLength":3})", "not supported together"},
        {R"({"type":"number","multipleOf":0.3})", "#/multipleOf: "},
        {R"({"type":"integer","minimum":5,"maximum":4})", "no number lies"},
        {R"({"type":"integer","minimum":1234567890123456789})", "#/minimum: a bound has at most"},
        {R"({"minimum":1,"minLength":1})", "say which with \"type\""},
        {R"({"type":"array","minItems":3,"maxItems":2})", "minItems is larger than maxItems"},
        {R"({"type":"array","minItems":-1})", "#/minItems: it is a whole number"},
        {R"({"type":"array","minItems":1000001})", "#/minItems: at most 1000000"},
        {R"({"enum":[]})", "#/enum: "},
        {R"({"enum":[1],"type":"string"})", "none of its values"},
        {R"({"enum":["a"],"minLength":3})", "beside \"type\" only"},
        {R"({"properties":{"a":{}},"required":["b"],"additionalProperties":false})",
         "#/required: \"b\" is not among"},
        {R"({"properties":{"a":{}},"minProperties":3})", "#/minProperties: "},
        {R"({"anyOf":[],"type":"null"})", "#/anyOf: "},
        {R"({"properties":{"a":{"type":"object","properties":{"b":false},"required":["b"]}},"required":["a"]})",
         "no text matches"},
    };
    for (const auto& one : cases) {
        const char* const schema = one.first;
        const char* const expected = one.second;
        CAPTURE(schema);
        const auto made = tests::compiled(grammar::compile_json_schema(schema));
        const auto& grammar = made.grammar;
        const std::string& error = made.error;
        CHECK(grammar == nullptr);
        CAPTURE(error);
        CHECK(error.find(expected) != error.npos);
    }
}

TEST_CASE("schema: annotations and keywords that say nothing are passed over") {
    check({R"({"$schema":"x","$id":"y","title":"t","description":"d","default":1,"examples":[2],
               "deprecated":true,"readOnly":true,"$comment":"c","contentEncoding":"base64","x-own":{},
               "uniqueItems":false,"patternProperties":{},"type":"integer"})",
           {"3"},
           {"\"a\""}});
}

}  // namespace schema_test
