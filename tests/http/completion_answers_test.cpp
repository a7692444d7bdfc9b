#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/http/dialects/openai/openai.hpp"
#include "tests/http/exchange_driver.hpp"

namespace shoal::http::completion_answers_test {
namespace {

using namespace mesh::messages;
using namespace test;
using nlohmann::json;

Token scored(const char* text, float logprob, std::vector<TokenScore> others = {}) {
    Token token = token_of(text);
    token.scores = std::move(others);
    token.scores.insert(token.scores.begin(), {1, logprob, std::string(text)});
    return token;
}

/// The tokens of "Hi you" as a tokenizer gives them that puts a space before.
PromptTokens prompt_tokens() {
    PromptTokens out;
    out.tokens = {{1, "<s>", {}},
                  {2, " Hi", {{2, -1, " Hi"}, {9, -0.5, " Ho"}}},
                  {3, " you", {{3, -0.25, " you"}, {3, -0.25, " you"}}}};
    return out;
}

}  // namespace

TEST_SUITE("completion answers") {
    TEST_CASE("a prompt that is only read is answered with its scores, as harnesses ask") {
        ExchangeDriver d(openai::completions,
                         R"({"prompt":"Hi you","max_tokens":0,"echo":true,"logprobs":1})");
        CHECK(d.request().task == Task::read);
        PromptTokens first = prompt_tokens(), rest = first;
        first.tokens.resize(1);
        rest.tokens.erase(rest.tokens.begin());
        rest.first = 1;
        d.emit(first);
        d.emit(rest);
        Done done = done_of(StopReason::length);
        done.generated_tokens = 0;
        d.emit(done);
        const json choice = d.end()["choices"][0];
        CHECK(choice["text"] == "Hi you");
        CHECK(choice["finish_reason"] == "length");
        CHECK(choice["logprobs"] == json::parse(R"({"tokens":["<s>"," Hi"," you"],
            "token_logprobs":[null,-1,-0.25],
            "top_logprobs":[null,{" Ho":-0.5," Hi":-1},{" you":-0.25}],
            "text_offset":[0,0,2]})"));
    }

    TEST_CASE("what is made goes on after the echo, in characters") {
        for (const bool stream : {false, true}) {
            ExchangeDriver d(openai::completions,
                             std::string(R"({"prompt":"Hi you","echo":true,"logprobs":0)") +
                                 (stream ? R"(,"stream":true})" : "}"));
            d.emit(prompt_tokens());
            d.emit(scored("\xC3\xA4", -2));
            d.emit(scored("b", -3));
            d.emit(done_of());
            std::string text;
            json offsets = json::array(), tops = json::array();
            const auto add = [&](const json& choice) {
                text += choice["text"].get<std::string>();
                if (choice["logprobs"].is_null()) return;
                for (const json& o : choice["logprobs"]["text_offset"]) offsets.push_back(o);
                for (const json& t : choice["logprobs"]["top_logprobs"]) tops.push_back(t);
            };
            if (stream) {
                for (const json& event : d.end_stream()) {
                    if (event.is_object()) add(event["choices"][0]);
                }
            } else {
                add(d.end()["choices"][0]);
            }
            CHECK(text ==
                  "Hi you\xC3\xA4"
                  "b");
            CHECK(offsets == json::array({0, 0, 2, 6, 7}));
            CHECK(tops[4] == json{{"b", -3.0}});
        }
    }

    TEST_CASE("without scores an echo is the text that came, or the tokens' texts") {
        ExchangeDriver text(openai::completions, R"({"prompt":"Hi","echo":true})");
        text.emit(token_of("!"));
        text.emit(done_of());
        const json choice = text.end()["choices"][0];
        CHECK(choice["text"] == "Hi!");
        CHECK(choice["logprobs"].is_null());
        ExchangeDriver ids(openai::completions, R"({"prompt":[1,2,3],"echo":true})");
        ids.emit(prompt_tokens());
        ids.emit(token_of("!"));
        ids.emit(done_of());
        CHECK(ids.end()["choices"][0]["text"] == "<s> Hi you!");
    }

    TEST_CASE("the likeliest of several texts are given, the best first, and all are counted") {
        ExchangeDriver d(openai::completions, R"({"prompt":["a","b"],"n":1,"best_of":3})");
        REQUIRE(d.exchange().parts() == 6);
        // A long text is not the worse for its length.
        const float sums[6] = {-3, -1, -2, -5, -6, -4};
        for (std::size_t part = 0; part < 6; ++part) {
            const auto name = std::to_string(part);
            for (int i = 0; i < (part == 1 ? 4 : 1); ++i) {
                d.emit(scored(name.c_str(), sums[part]), part);
            }
            d.emit(done_of(), part);
        }
        const json body = d.end();
        REQUIRE(body["choices"].size() == 2);
        CHECK(body["choices"][0]["text"] == "1111");
        CHECK(body["choices"][0]["index"] == 0);
        CHECK(body["choices"][1]["text"] == "5");
        CHECK(body["choices"][0]["logprobs"].is_null());
        CHECK(body["usage"]["prompt_tokens"] == 6);
        CHECK(body["usage"]["completion_tokens"] == 12);
    }
}

}  // namespace shoal::http::completion_answers_test
