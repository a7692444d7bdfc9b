#include "daemon/http/dialects/openai/completions.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "daemon/http/dialects/llama_server/llama_server.hpp"
#include "daemon/http/dialects/openai/openai.hpp"
#include "daemon/http/json_input.hpp"

namespace shoal::http::completions_test {
namespace {

using namespace openai;
using llama_server::parse_detokenize;
using llama_server::parse_tokenize;
using mesh::messages::Constraint;

CompletionRequest completion(const std::string& body) {
    auto parsed = parse_completion(body);
    if (auto* error = std::get_if<ApiError>(&parsed)) {
        FAIL(error->message);
        return {};
    }
    return std::get<CompletionRequest>(std::move(parsed));
}

/// Adds the field to a valid request.
CompletionRequest with(const std::string& field) {
    return completion(R"({"prompt":"x",)" + field + "}");
}

template <typename T>
ApiError error_of(std::variant<T, ApiError> parsed) {
    REQUIRE(std::holds_alternative<ApiError>(parsed));
    return std::get<ApiError>(parsed);
}

ApiError completion_error(const std::string& body) {
    return error_of(parse_completion(body));
}

ApiError error_with(const std::string& field) {
    return completion_error(R"({"prompt":"x",)" + field + "}");
}

std::string quoted(const char* name) {
    return std::string(1, '"').append(name).append(1, '"');
}

}  // namespace

TEST_SUITE("completions") {
    TEST_CASE("a completion with every field becomes a request with every member") {
        const CompletionRequest r = completion(R"({
            "model": "tiny", "prompt": "Once\u0000 \u00e4", "max_tokens": 7, "temperature": 0.5,
            "top_p": 0.25, "top_k": 3, "min_p": 0.125, "seed": 18446744073709551615,
            "stop": ["a", "b"], "presence_penalty": -1, "frequency_penalty": 2,
            "repeat_penalty": 1.5, "penalty_last_n": 9, "logit_bias": {"5": -100, "17": 2.5},
            "ignore_eos": true, "stream": true, "stream_options": {"include_usage": true},
            "priority": -7, "cache_prompt": false, "user": "me", "n": 1, "best_of": 1, "echo": false, "logprobs": null, "suffix": null})");
        REQUIRE(r.texts() == 1);
        const mesh::messages::Generate g = r.text(0);
        CHECK(g.model == "tiny");
        CHECK(g.prompt == std::string("Once\0 \xC3\xA4", 8));
        CHECK(g.max_tokens == 7);
        CHECK(g.sampling ==
              mesh::messages::Sampling{
                  0.5F, 3, 0.25F, 0.125F, 1.5F, -1, 2, 9, ~0ULL, {{5, -100.F}, {17, 2.5F}}});
        CHECK(g.stop == std::vector<std::string>{"a", "b"});
        CHECK(g.ignore_eos);
        CHECK(g.priority == -7);
        CHECK_FALSE(g.cache_prompt);
        CHECK(g.client == 0);
        CHECK(g.prompt_ids.empty());
        CHECK(g.resume_ids.empty());
        CHECK(r.stream);
        CHECK(r.include_usage);
        CHECK(r.seeded);
    }

    TEST_CASE("what is left out or null has its default, OpenAI's 16 tokens among them") {
        for (const char* body :
             {R"({"prompt":"x"})",
              R"({"prompt":"x","model":null,"max_tokens":null,"temperature":null,"top_p":null,
                  "seed":null,"stop":null,"presence_penalty":null,"frequency_penalty":null,
                  "logit_bias":null,"user":null,"n":null,"best_of":null,"echo":null,
                  "stream":null,"stream_options":null})"}) {
            const CompletionRequest r = completion(body);
            CHECK(r.generate.max_tokens == 16);
            mesh::messages::Sampling sampling = r.generate.sampling;
            sampling.seed = 0;  // A random one.
            CHECK(sampling == mesh::messages::Sampling{});
            CHECK(r.generate.stop.empty());
            CHECK(r.generate.cache_prompt);
            CHECK_FALSE(r.stream);
            CHECK_FALSE(r.seeded);
        }
    }

    TEST_CASE("a prompt is a text or token ids") {
        CHECK(completion(R"({"prompt":""})").text(0).prompt.empty());
        CHECK(completion(R"({"prompt":[1,0,2147483647]})").text(0).prompt_ids ==
              std::vector<std::int32_t>{1, 0, 2147483647});
        for (const char* prompt : {"[]", "[[]]", "[\"a\",1]", "[\"a\",[1]]", "[[1],2]", "[[[1]]]",
                                   "[null]", "7", "null", "{}", "true"}) {
            const auto error = completion_error(std::string(R"({"prompt":)") + prompt + "}");
            CHECK(error.param == "prompt");
            CHECK(error.status == 400);
        }
        for (const char* id : {"-1", "2147483648", "1.5", "\"1\"", "null", "1e400"}) {
            CHECK(completion_error(std::string(R"({"prompt":[3,)") + id + "]}").status == 400);
        }
        CHECK(completion_error(R"({"prompt":[3,-4]})").message ==
              "prompt[1] is -4; expected a token id");
        CHECK(completion_error("{}").message == "prompt is missing");
    }

    TEST_CASE("several prompts and several choices of each are requests in order") {
        const auto r = completion(R"({"prompt":["a","b"],"n":3,"best_of":3,"seed":-1})");
        REQUIRE(r.texts() == 6);
        CHECK(r.text(0).prompt == "a");
        CHECK(r.text(2).prompt == "a");
        CHECK(r.text(3).prompt == "b");
        // The first of each is what its prompt would get alone.
        CHECK(r.text(0).sampling.seed == ~0ULL);
        CHECK(r.text(3).sampling.seed == ~0ULL);
        CHECK(r.text(1).sampling.seed == 0);
        CHECK(r.text(2).sampling.seed == 1);
        const auto ids = completion(R"({"prompt":[[1,2],[3]]})");
        REQUIRE(ids.texts() == 2);
        CHECK(ids.text(0).prompt_ids == std::vector<std::int32_t>{1, 2});
        CHECK(ids.text(1).prompt_ids == std::vector<std::int32_t>{3});
        CHECK(ids.text(0).prompt.empty());
        // Without a seed equal prompts get different texts.
        const auto unseeded = completion(R"({"prompt":["a","a"]})");
        CHECK(unseeded.text(0).sampling.seed != unseeded.text(1).sampling.seed);
    }

    TEST_CASE("one request asks for so many texts and no more") {
        std::string prompts = "\"a\"";
        for (std::size_t i = 1; i < kMaxChoices; ++i) prompts += ",\"a\"";
        CHECK(completion("{\"prompt\":[" + prompts + "]}").texts() == kMaxChoices);
        CHECK(completion_error("{\"prompt\":[" + prompts + ",\"a\"]}").message ==
              "there are 65 prompts; at most 64 are allowed");
        CHECK(with(R"("n":64)").texts() == kMaxChoices);
        CHECK(error_with(R"("n":65)").message == "n is 65; expected an integer from 1 to 64");
        CHECK(completion_error(R"({"prompt":["a","b"],"n":33})").message ==
              "n is 33 and there are 2 prompts; at most 64 texts are made for one request");
    }

    TEST_CASE("what others send and mean nothing special by is understood") {
        CHECK(with(R"("seed":-9223372036854775808)").generate.sampling.seed == 1ULL << 63);
        CHECK(with(R"("top_p":0)").generate.sampling.temperature == 0);
        CHECK(with(R"("top_p":0,"temperature":2)").generate.sampling.temperature == 0);
        CHECK(with(R"("top_k":-1)").generate.sampling.top_k == 0);
        CHECK(with(R"("suffix":"")").texts() == 1);
        CHECK_FALSE(
            with(R"("stream":true,"stream_options":{"include_obfuscation":true})").include_usage);
        CHECK(with(R"("n":2,"best_of":2)").texts() == 2);
    }

    TEST_CASE("an answer can be held to a grammar or a form") {
        const auto held = [](const std::string& fields) {
            return completion(R"({"prompt":"a",)" + fields + "}").generate.constraint;
        };
        CHECK(held(R"x("grammar":"root ::= \"a\"")x") ==
              Constraint{Constraint::Kind::gbnf, R"(root ::= "a")"});
        CHECK(held(R"("response_format":{"type":"json_object"})").kind ==
              Constraint::Kind::json_schema);
        CHECK(error_of(parse_completion(
                           R"({"prompt":"a","grammar":"root ::= [a]","response_format":
                               {"type":"json_object"}})"))
                  .param == "response_format");
    }

    TEST_CASE("fields that are not honoured are errors that name them") {
        for (const char* name : {"best_off", "messages", "tools", "n_predict", "mirostat",
                                 "prompt_ids", "resume_ids", "client", ""}) {
            const auto error = error_with(quoted(name) + ":null");
            CHECK(error.status == 400);
            CHECK(error.param == name);
            CHECK(error.message.find(quoted(name)) != std::string::npos);
        }
        CHECK(error_with(R"("n":3,"best_of":2)").message ==
              "best_of is 2 and n is 3; more texts cannot be given than are made");
        CHECK(error_with(R"("best_of":3,"stream":true)").param == "best_of");
        CHECK(error_with(R"("stream":true,"stream_options":{"include_all":false})").param ==
              "stream_options.include_all");
        CHECK(error_with(R"("stream_options":{"include_usage":true})").param == "stream_options");
    }

    TEST_CASE("values of the wrong kind are errors that name the field and the value") {
        const char* const wrong[][2] = {{"model", "7"},
                                        {"max_tokens", "\"9\""},
                                        {"best_of", "\"1\""},
                                        {"best_of", "0"},
                                        {"best_of", "65"},
                                        {"echo", "1"},
                                        {"logprobs", "6"},
                                        {"logprobs", "-1"},
                                        {"logprobs", "true"},
                                        {"max_tokens", "-2"},
                                        {"max_tokens", "1.5"},
                                        {"max_tokens", "4294967296"},
                                        {"temperature", "\"1\""},
                                        {"temperature", "[]"},
                                        {"top_p", "true"},
                                        {"top_k", "-2"},
                                        {"top_k", "2.5"},
                                        {"top_k", "4294967296"},
                                        {"min_p", "{}"},
                                        {"n", "0"},
                                        {"n", "-1"},
                                        {"n", "1.5"},
                                        {"suffix", "7"},
                                        {"seed", "1.5"},
                                        {"seed", "18446744073709551616"},
                                        {"stop", "3"},
                                        {"stop", "[1]"},
                                        {"logit_bias", "[]"},
                                        {"logit_bias", "{\"a\":1}"},
                                        {"logit_bias", "{\"-1\":1}"},
                                        {"logit_bias", "{\"5\":\"x\"}"},
                                        {"logit_bias", "{\"5\":101}"},
                                        {"logit_bias", "{\"7\":1,\"07\":2}"},
                                        {"logit_bias", "{\"99999999999\":1}"},
                                        {"stream", "1"},
                                        {"stream_options", "[]"},
                                        {"user", "1"},
                                        {"ignore_eos", "0"},
                                        {"presence_penalty", "\"\""},
                                        {"penalty_last_n", "-1"},
                                        {"priority", "101"},
                                        {"priority", "-101"},
                                        {"priority", "0.5"},
                                        {"priority", "\"1\""},
                                        {"priority", "18446744073709551615"}};
        for (const auto& field : wrong) {
            const std::string name = field[0];
            const std::string value = field[1];
            const auto error = error_with(quoted(field[0]) + ":" + value);
            INFO(std::string(name + " = " + value));
            CHECK(error.status == 400);
            CHECK(error.param == name);
            CHECK(error.message.starts_with(name));
        }
        CHECK(error_with(R"("top_k":-2)").message ==
              "top_k is -2; expected an integer from 0 to 4294967295");
    }

    TEST_CASE("values out of range are errors that say the range") {
        CHECK(error_with(R"("temperature":-0.5)").message ==
              "temperature is -0.5; allowed are values from 0 to 100");
        CHECK(error_with(R"("temperature":-0.5)").param == "temperature");
        CHECK(error_with(R"("temperature":1e39)").param == "temperature");
        CHECK(error_with(R"("top_p":-0.5)").param == "top_p");
        CHECK(error_with(R"("min_p":1.5)").param == "min_p");
        CHECK(error_with(R"("presence_penalty":2.5)").param == "presence_penalty");
        CHECK(error_with(R"("frequency_penalty":-2.5)").param == "frequency_penalty");
        CHECK(error_with(R"("repeat_penalty":0)").param == "repeat_penalty");
        CHECK(error_with(R"("stop":[""])").param == "stop");
        CHECK(error_with(R"("stop":")" + std::string(257, 's') + "\"").param == "stop");
        const auto path = error_with(R"("model":"/etc/passwd")");
        CHECK(path.status == 403);
        CHECK(path.param == "model");
    }

    TEST_CASE("the prompt alone is read when no tokens are wanted") {
        const auto g = with(R"("max_tokens":0,"echo":true,"logprobs":1)").text(0);
        CHECK(g.task == mesh::messages::Task::read);
        CHECK(g.prompt_logprobs);
        CHECK(g.logprobs == 2);
        CHECK(with(R"("max_tokens":1)").text(0).task == mesh::messages::Task::answer);
        CHECK_FALSE(with(R"("logprobs":0)").text(0).prompt_logprobs);
        CHECK(with(R"("logprobs":0)").text(0).logprobs == 1);
        // A text that is known need not be asked for.
        CHECK_FALSE(with(R"("echo":true)").text(0).prompt_logprobs);
        CHECK(completion(R"({"prompt":[1],"echo":true})").text(0).prompt_logprobs);
        CHECK(with(R"("suffix":"end")").text(0).suffix == "end");
    }

    TEST_CASE("the best of several are known by their scores") {
        const auto r = with(R"("n":2,"best_of":3,"seed":7)");
        CHECK(r.texts() == 3);
        CHECK(r.text(2).logprobs == 1);
        CHECK(r.text(2).sampling.seed == 9);
        CHECK(with(R"("n":2,"best_of":2)").text(0).logprobs == 0);
    }

    TEST_CASE("max_tokens -1 means until the model ends") {
        CHECK(with(R"("max_tokens":-1)").generate.max_tokens == 0);
        CHECK(with(R"("max_tokens":4294967295)").generate.max_tokens == 4294967295U);
    }

    TEST_CASE("one stop string may stand without an array, sixteen may stand in one") {
        CHECK(with(R"("stop":"\n")").generate.stop == std::vector<std::string>{"\n"});
        std::string list = "\"a\"";
        for (int i = 1; i < 16; ++i) list += ",\"a\"";
        CHECK(with("\"stop\":[" + list + "]").generate.stop.size() == 16);
        CHECK(error_with("\"stop\":[" + list + ",\"a\"]").message.find("17") != std::string::npos);
    }

    TEST_CASE("what is no JSON object is an error that says where") {
        for (const char* body :
             {"", "{", "[1]", "7", "null", "{\"prompt\":\"x\"} {}", "{'a':1}",
              "{\"prompt\":\"x\",}", "{\"prompt\":NaN}", "{\"prompt\":\"\\ud800\"}",
              "{\"prompt\":1e999}", "{\"prompt\":\"a\nb\"}"}) {
            INFO(std::string(body));
            const auto error = completion_error(body);
            CHECK(error.status == 400);
            CHECK(error.message.starts_with("the body "));
        }
        CHECK(completion_error("{\"prompt\":\n x}").message.find("line 2") != std::string::npos);
    }

    TEST_CASE("invalid UTF-8 is refused, and the error is valid JSON") {
        for (const char* bytes : {"\x80", "\xC3", "\xC0\xAF", "\xED\xA0\x80", "\xF5\x80\x80\x80"}) {
            const auto error = completion_error(R"({"prompt":")" + std::string(bytes) + "\"}");
            CHECK(error.status == 400);
            CHECK(nlohmann::json::accept(error_json(error)));
        }
        const auto name = error_with("\"\xC3\xA4" + std::string(500, 'n') + "\":1");
        CHECK(name.message.size() < 300);
        CHECK(nlohmann::json::accept(error_json(name)));
    }

    TEST_CASE("nesting, names and values have limits, and names come once") {
        const auto nested = [](std::size_t depth) {
            return "\"x\":" + std::string(depth - 1, '[') + std::string(depth - 1, ']');
        };
        CHECK(error_with(nested(kMaxJsonDepth)).param == "x");
        CHECK(error_with(nested(kMaxJsonDepth + 1)).message.find("deeper") != std::string::npos);
        CHECK(error_with("\"x\":" + std::string(4'000'000, '[')).message.find("deeper") !=
              std::string::npos);
        CHECK(error_with("\"x\":" + std::string(100'000, '{')).status == 400);

        std::string names = "\"0\":1";
        for (std::size_t i = 1; i < kMaxJsonNamesOfOne; ++i)
            names += ",\"" + std::to_string(i) + "\":1";
        CHECK(error_with("\"x\":{" + names + "}").message.find("names") == std::string::npos);
        CHECK(error_with("\"x\":{" + names + ",\"n\":1}").message ==
              "the body has an object of more than 2048 names");
        std::string objects = "\"x\":[{" + names + "}";
        for (std::size_t i = 0; i < kMaxJsonNames / kMaxJsonNamesOfOne; ++i)
            objects += ",{" + names + "}";
        CHECK(error_with(objects + "]").message == "the body has more than 65536 names");

        std::string values = "\"x\":[1";
        for (std::size_t i = 0; i < kMaxJsonValues; ++i) values += ",1";
        CHECK(error_with(values + "]").message.find("values") != std::string::npos);

        CHECK(error_with(R"("n":2,"n":1)").message == "the body has \"n\" twice");
    }

    TEST_CASE("token prompts hold to the limit of the wire") {
        std::string ids = "1";
        for (std::size_t i = 1; i < mesh::messages::kMaxPromptTokens; ++i) ids += ",1";
        CHECK(completion(R"({"prompt":[)" + ids + "]}").text(0).prompt_ids.size() ==
              mesh::messages::kMaxPromptTokens);
        const auto error = completion_error(R"({"prompt":[)" + ids + ",1]}");
        CHECK(error.param == "prompt");
        CHECK(error.message.starts_with("prompt has 1048577 tokens"));
    }

    TEST_CASE("tokenize takes content and flags") {
        auto parsed = parse_tokenize(R"({"model":"m","content":"hi","add_special":true,
                                         "parse_special":false})");
        REQUIRE(std::holds_alternative<llama_server::Tokenizing>(parsed));
        const auto& t = std::get<llama_server::Tokenizing>(parsed);
        CHECK(t.model == "m");
        CHECK(t.text == "hi");
        CHECK(t.add_special);
        CHECK_FALSE(t.parse_special);
        CHECK_FALSE(t.with_pieces);
        const auto least = parse_tokenize(R"({"content":"hi"})");
        CHECK_FALSE(std::get<llama_server::Tokenizing>(least).add_special);
        CHECK(std::get<llama_server::Tokenizing>(
                  parse_tokenize(R"({"content":"","with_pieces":true})"))
                  .with_pieces);
        CHECK(error_of(parse_tokenize("{}")).param == "content");
        CHECK(error_of(parse_tokenize(R"({"content":1})")).param == "content");
        CHECK(error_of(parse_tokenize(R"({"content":"","with_pieces":1})")).param == "with_pieces");
        CHECK(error_of(parse_tokenize(R"({"content":"","x":1})")).param == "x");
        const std::string long_text(mesh::messages::kMaxPromptBytes + 1, 't');
        CHECK(error_of(parse_tokenize(R"({"content":")" + long_text + "\"}")).param == "content");
    }

    TEST_CASE("detokenize takes tokens") {
        auto parsed = parse_detokenize(R"({"tokens":[3,1]})");
        REQUIRE(std::holds_alternative<mesh::messages::DetokenizeRequest>(parsed));
        CHECK(std::get<mesh::messages::DetokenizeRequest>(parsed).ids ==
              std::vector<std::int32_t>{3, 1});
        CHECK(error_of(parse_detokenize("{}")).param == "tokens");
        CHECK(error_of(parse_detokenize(R"({"tokens":[-1]})")).param == "tokens");
        CHECK(error_of(parse_detokenize(R"({"tokens":"1"})")).param == "tokens");
        CHECK(error_of(parse_detokenize(R"({"tokens":[],"x":1})")).param == "x");
    }
}

}  // namespace shoal::http::completions_test
