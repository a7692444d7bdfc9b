#include "daemon/http/dialects/openai/chat.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "daemon/http/dialects/openai/openai.hpp"
#include "tests/http/exchange_driver.hpp"

namespace shoal::http::chat_test {
namespace {

using namespace mesh::messages;
using namespace test;
using nlohmann::json;

const std::string kUser = R"("messages":[{"role":"user","content":"Hi"}])";
const std::string kTool =
    R"("tools":[{"type":"function","function":{"name":"weather","description":"d",
        "parameters":{"type":"object","properties":{"z":{},"a":{}}},"strict":true}}])";

openai::ChatRequest parsed(const std::string& body) {
    auto result = openai::parse_chat(body);
    if (auto* error = std::get_if<ApiError>(&result)) {
        FAIL(error->message);
        return {};
    }
    return std::get<openai::ChatRequest>(std::move(result));
}
openai::ChatRequest with(const std::string& fields) {
    return parsed("{" + kUser + "," + fields + "}");
}
json conversation(const std::string& fields) {
    return json::parse(with(fields).generate.chat);
}
json messages(const std::string& list) {
    return json::parse(parsed(R"({"messages":)" + list + "}").generate.chat)["messages"];
}
ApiError error_of(const std::string& body) {
    return refusal_of(openai::chat, body);
}
ApiError error_with(const std::string& fields) {
    return error_of("{" + kUser + "," + fields + "}");
}

TokenScore score(std::int32_t id, float logprob, const char* text) {
    return {id, logprob, std::string(text)};
}

}  // namespace

TEST_SUITE("chat requests") {
    TEST_CASE("roles and contents become the conversation that templates know") {
        const json list = messages(R"([
            {"role":"developer","content":"be brief"},
            {"role":"user","name":"ann","content":[{"type":"text","text":"a"},
                                                   {"type":"text","text":"b"}]},
            {"role":"assistant","content":null,"refusal":null,"annotations":[],"audio":null,
             "reasoning_content":"hm","tool_calls":[{"id":"c1","type":"function","index":0,
               "function":{"name":"weather","arguments":"{\"z\": 1, \"a\": 2}"}}]},
            {"role":"tool","tool_call_id":"c1","content":"sunny"},
            {"role":"assistant","refusal":"no"}])");
        REQUIRE(list.size() == 5);
        CHECK(list[0]["role"] == "system");
        CHECK(list[1]["content"] == "ab");
        CHECK(list[1]["name"] == "ann");
        CHECK(list[2]["content"] == "");
        CHECK(list[2]["reasoning_content"] == "hm");
        CHECK(list[2]["tool_calls"][0]["id"] == "c1");
        CHECK(list[2]["tool_calls"][0]["function"]["arguments"] == json{{"z", 1}, {"a", 2}});
        CHECK(list[3]["tool_call_id"] == "c1");
        CHECK(list[3]["name"] == "weather");
        CHECK(list[4]["content"] == "no");
    }

    TEST_CASE("members of arguments and schemas keep their order") {
        CHECK(with(kTool).generate.chat.find(R"({"z":{},"a":{}})") != std::string::npos);
        const auto called = parsed(R"({"messages":[{"role":"assistant","content":null,"tool_calls":[
            {"id":"c","function":{"name":"f","arguments":{"z":1,"a":2}}}]}]})");
        CHECK(called.generate.chat.find(R"({"z":1,"a":2})") != std::string::npos);
    }

    TEST_CASE("fields become members of the request") {
        const auto r = with(R"("model":"m","n":2,"max_completion_tokens":9,"temperature":0.5,
            "top_p":0.5,"top_k":3,"min_p":0.25,"seed":7,"stop":"x","logit_bias":{"5":1},
            "logprobs":true,"top_logprobs":2,"stream":true,"stream_options":{"include_usage":true},
            "user":"u","metadata":{"a":"b"},"store":true,"service_tier":"auto",
            "safety_identifier":"s","prompt_cache_key":"k","modalities":["text"],
            "verbosity":"medium","response_format":{"type":"text"},"parallel_tool_calls":true)");
        const Generate g = r.choice(1);
        CHECK(g.model == "m");
        CHECK(g.max_tokens == 9);
        CHECK(g.sampling.seed == 8);
        CHECK(g.sampling.top_k == 3);
        CHECK(g.stop == std::vector<std::string>{"x"});
        CHECK(g.logprobs == 3);
        CHECK(r.n == 2);
        CHECK(r.stream);
        CHECK(r.include_usage);
        CHECK(g.constraint.kind == Constraint::Kind::none);
        // Until the model ends.
        CHECK(with(R"("n":null)").generate.max_tokens == 0);
        CHECK(with(R"("max_tokens":-1)").generate.max_tokens == 0);
        CHECK(with(R"("max_tokens":4,"max_completion_tokens":4)").generate.max_tokens == 4);
        CHECK(with(R"("logprobs":true)").generate.logprobs == 1);
    }

    TEST_CASE("tools and the choice among them reach the template") {
        CHECK_FALSE(conversation(kTool).contains("tool_choice"));
        CHECK(conversation(kTool)["tools"][0]["function"]["name"] == "weather");
        CHECK(conversation(kTool + R"(,"tool_choice":"required")")["tool_choice"] == "required");
        CHECK(conversation(kTool + R"(,"parallel_tool_calls":false)")["parallel_tool_calls"] ==
              false);
        const json named = conversation(
            kTool + R"(,"tool_choice":{"type":"function","function":{"name":"weather"}})");
        CHECK(named["tool_choice"]["function"]["name"] == "weather");
        CHECK_FALSE(conversation(kTool + R"(,"tool_choice":"none")").contains("tools"));
        // The others are taken away.
        const json allowed = conversation(
            R"("tools":[{"type":"function","function":{"name":"a"}},
                        {"type":"function","function":{"name":"b"}}],
               "tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required",
                 "tools":[{"type":"function","function":{"name":"b"}}]}})");
        REQUIRE(allowed["tools"].size() == 1);
        CHECK(allowed["tools"][0]["function"]["name"] == "b");
        CHECK(allowed["tool_choice"] == "required");
    }

    TEST_CASE("a form of the answer becomes a grammar") {
        const auto constraint = [](const std::string& format) {
            return with(R"("response_format":)" + format).generate.constraint;
        };
        CHECK(constraint(R"({"type":"json_object"})") ==
              Constraint{Constraint::Kind::json_schema, R"({"type":"object"})"});
        CHECK(constraint(R"({"type":"json_object","schema":{"type":"array"}})").text ==
              R"({"type":"array"})");
        CHECK(constraint(R"({"type":"json_schema","json_schema":{"name":"n","strict":true,
                             "schema":{"z":1,"a":2}}})") ==
              Constraint{Constraint::Kind::json_schema, R"({"z":1,"a":2})"});
        CHECK(with(R"x("grammar":"root ::= \"a\"")x").generate.constraint ==
              Constraint{Constraint::Kind::gbnf, R"(root ::= "a")"});
    }

    TEST_CASE("how much a model thinks is a variable of its template") {
        CHECK(conversation(R"("reasoning_effort":"low")")["reasoning_effort"] == "low");
        CHECK(conversation(R"("reasoning_effort":"none")")["enable_thinking"] == false);
        CHECK(conversation(R"("think":true)")["enable_thinking"] == true);
        CHECK(conversation(R"("think":"high")")["reasoning_effort"] == "high");
        const json own = conversation(R"("chat_template_kwargs":{"enable_thinking":true,"x":[1]},
                                         "think":false)");
        CHECK(own["enable_thinking"] == true);
        CHECK(own["x"] == json::array({1}));
        CHECK(conversation(R"("continue_final_message":true)")["continue_final_message"] == true);
    }

    TEST_CASE("what is wrong is named where it is") {
        const char* const calls =
            R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[
                {"id":"1","function":{"name":"f","arguments":"{}"}},
                {"id":"2","function":{"name":"f","arguments":"[1"}}]}]})";
        CHECK(error_of(calls).param == "messages[1].tool_calls[1].function.arguments");
        const struct {
            const char *message, *param;
        } wrong[] = {
            {R"(7)", "messages[0]"},
            {R"({"content":"a"})", "messages[0].role"},
            {R"({"role":"king","content":"a"})", "messages[0].role"},
            {R"({"role":"user"})", "messages[0].content"},
            {R"({"role":"user","content":null})", "messages[0].content"},
            {R"({"role":"user","content":7})", "messages[0].content"},
            {R"({"role":"user","content":["a"]})", "messages[0].content[0]"},
            {R"({"role":"user","content":[{"text":"a"}]})", "messages[0].content[0].type"},
            {R"({"role":"user","content":[{"type":"text"}]})", "messages[0].content[0].text"},
            {R"({"role":"user","content":"a","mood":"good"})", "messages[0].mood"},
            {R"({"role":"assistant","tool_calls":[{"function":{"arguments":"{}"}}]})",
             "messages[0].tool_calls[0].function.name"},
            {R"({"role":"assistant","tool_calls":[{"type":"custom"}]})",
             "messages[0].tool_calls[0].type"},
        };
        for (const auto& [each_message, param] : wrong) {
            const auto& message = each_message;
            INFO(std::string(message));
            const auto error = error_of(std::string(R"({"messages":[)") + message + "]}");
            CHECK(error.status == 400);
            CHECK(error.param == param);
            CHECK(error.message.starts_with(param));
        }
        const auto image = error_of(R"({"messages":[{"role":"user","content":[{"type":"image_url",
                         "image_url":{"url":"data:"}}]}]})");
        CHECK(image.code == "unsupported_content");
        CHECK(image.param == "messages[0].content[0].type");
        CHECK(error_of(R"({"messages":[]})").param == "messages");
        CHECK(error_of("{}").message == "messages is missing");
    }

    TEST_CASE("fields that are not honoured are errors that name them") {
        const struct {
            std::string fields;
            const char* param;
        } wrong[] = {
            {R"("functions":[])", "functions"},
            {R"("prompt":"x")", "prompt"},
            {R"("audio":{})", "audio"},
            {R"("modalities":["audio"])", "modalities"},
            {R"("verbosity":"low")", "verbosity"},
            {R"("max_tokens":0)", "max_tokens"},
            {R"("max_tokens":1,"max_completion_tokens":2)", "max_tokens"},
            {R"("top_logprobs":2)", "top_logprobs"},
            {R"("logprobs":true,"top_logprobs":21)", "top_logprobs"},
            {R"("logprobs":1)", "logprobs"},
            {R"("reasoning_effort":"huge")", "reasoning_effort"},
            {R"("chat_template_kwargs":{"messages":[]})", "chat_template_kwargs"},
            {R"("response_format":{"type":"xml"})", "response_format.type"},
            {R"("response_format":{"type":"json_schema"})", "response_format.json_schema"},
            {R"("response_format":{"type":"json_schema","json_schema":{}})",
             "response_format.json_schema.schema"},
            {R"("response_format":{"type":"json_object"},"grammar":"x")", "grammar"},
            {R"("tool_choice":"required")", "tool_choice"},
            {R"("tool_choice":"some")", "tool_choice"},
            {R"("tools":[{"type":"web_search"}])", "tools[0].type"},
            {R"("tools":[{"type":"function","function":{}}])", "tools[0].function.name"},
            {R"("tools":[{"type":"function","function":{"name":"a b"}}])",
             "tools[0].function.name"},
            {kTool + R"(,"tool_choice":{"type":"function","function":{"name":"other"}})",
             "tool_choice.function.name"},
            {R"("temperature":-1)", "temperature"},
            {R"("model":"/etc/passwd")", "model"},
        };
        for (const auto& [each_fields, param] : wrong) {
            const auto& fields = each_fields;
            INFO(fields);
            CHECK(error_with(fields).param == param);
        }
    }
}

TEST_SUITE("chat answers") {
    TEST_CASE("a whole answer has text, reasoning and usage") {
        ExchangeDriver d(openai::chat, "{" + kUser + "}");
        CHECK(d.exchange().stream_type() == nullptr);
        CHECK(d.exchange().generates());
        d.emit(token_of("", "hm"));
        d.emit(token_of("Hel"));
        Done done = done_of();
        done.text = std::string("lo");
        d.emit(done);
        const json body = d.end();
        CHECK(body["object"] == "chat.completion");
        CHECK(body["id"].get<std::string>().starts_with("chatcmpl-"));
        CHECK(body["model"] == "tiny-q4");
        CHECK(body["choices"][0] == json::parse(R"({"index":0,"message":{"role":"assistant",
            "content":"Hello","reasoning_content":"hm","refusal":null},"logprobs":null,
            "finish_reason":"stop"})"));
        CHECK(body["usage"] == json::parse(R"({"prompt_tokens":3,"completion_tokens":2,
            "total_tokens":5,"prompt_tokens_details":{"cached_tokens":1},
            "completion_tokens_details":{"reasoning_tokens":1}})"));
    }

    TEST_CASE("an answer that only calls has no content") {
        ExchangeDriver d(openai::chat, "{" + kUser + "," + kTool + "}");
        Token token = token_of("");
        token.calls = {{std::string("c1"), std::string("weather"), std::string(R"({"z":1})")}};
        d.emit(token);
        Done done = done_of();
        done.calls = {{std::string("c2"), std::string("weather"), std::string("{}")}};
        d.emit(done);
        const json choice = d.end()["choices"][0];
        CHECK(choice["finish_reason"] == "tool_calls");
        CHECK(choice["message"]["content"].is_null());
        CHECK(choice["message"]["tool_calls"] == json::parse(R"([
            {"id":"c1","type":"function","function":{"name":"weather","arguments":"{\"z\":1}"}},
            {"id":"c2","type":"function","function":{"name":"weather","arguments":"{}"}}])"));
    }

    TEST_CASE("several choices, and one that was too long") {
        ExchangeDriver d(openai::chat, "{" + kUser + R"(,"n":2})");
        CHECK(d.exchange().parts() == 2);
        d.emit(token_of("b"), 1);
        d.emit(token_of("a"), 0);
        d.emit(done_of(StopReason::length), 1);
        d.emit(done_of(), 0);
        const json body = d.end();
        CHECK(body["choices"][0]["message"]["content"] == "a");
        CHECK(body["choices"][1]["message"]["content"] == "b");
        CHECK(body["choices"][1]["finish_reason"] == "length");
        CHECK(body["usage"]["prompt_tokens"] == 3);
        CHECK(body["usage"]["completion_tokens"] == 4);
    }

    TEST_CASE("a stream tells the role, deltas, the reason and the usage") {
        ExchangeDriver d(
            openai::chat,
            "{" + kUser + R"(,"stream":true,"stream_options":{"include_usage":true}})");
        CHECK(std::string(d.exchange().stream_type()) == "text/event-stream");
        d.emit(token_of("", "hm"));
        d.emit(token_of(""));
        Token token = token_of("a");
        token.calls = {{std::string("c1"), std::string("f"), std::string("{}")}};
        d.emit(token);
        d.emit(done_of());
        const auto events = d.end_stream();
        REQUIRE(events.size() == 8);
        const auto delta = [&](int i) { return events[i]["choices"][0]["delta"]; };
        CHECK(delta(0) == json::parse(R"({"role":"assistant","content":"","refusal":null})"));
        CHECK(delta(1) == json::parse(R"({"reasoning_content":"hm"})"));
        CHECK(delta(2) == json::parse(R"({"content":"a"})"));
        CHECK(delta(3) == json::parse(R"({"tool_calls":[{"index":0,"id":"c1","type":"function",
            "function":{"name":"f","arguments":""}}]})"));
        CHECK(delta(4) == json::parse(R"({"tool_calls":[{"index":0,
            "function":{"arguments":"{}"}}]})"));
        CHECK(delta(5) == json::object());
        for (int i = 0; i < 6; ++i) {
            CHECK(events[i]["object"] == "chat.completion.chunk");
            CHECK(events[i]["id"] == events[0]["id"]);
            CHECK(events[i]["usage"].is_null());
            const json reason = events[i]["choices"][0]["finish_reason"];
            CHECK(reason == (i < 5 ? json() : json("tool_calls")));
        }
        CHECK(events[6]["choices"].empty());
        CHECK(events[6]["usage"]["total_tokens"] == 5);
        CHECK(events[7] == "[DONE]");
    }

    TEST_CASE("scores of the tokens of the message, with their bytes") {
        for (const bool stream : {false, true}) {
            ExchangeDriver d(openai::chat, "{" + kUser + R"(,"logprobs":true,"top_logprobs":1)" +
                                               (stream ? R"(,"stream":true})" : "}"));
            Token thought = token_of("", "hm");
            thought.scores = {score(1, -1, "hm"), score(1, -1, "hm")};
            d.emit(thought);
            // Half a character: its text comes with the next.
            Token half = token_of("");
            half.scores = {score(2, -0.5, "\xC3"), score(3, -0.25, "x")};
            d.emit(half);
            d.emit(done_of());
            json scores;
            if (stream) {
                for (const json& event : d.end_stream()) {
                    if (!event.is_object()) continue;
                    const json found = event["choices"][0]["logprobs"];
                    if (!found.is_null()) scores = found;
                }
            } else {
                scores = d.end()["choices"][0]["logprobs"];
            }
            REQUIRE(scores["content"].size() == 1);
            CHECK(scores["content"][0]["logprob"] == -0.5);
            CHECK(scores["content"][0]["bytes"] == json::array({0xC3}));
            CHECK(scores["content"][0]["top_logprobs"] ==
                  json::parse(R"([{"token":"x","logprob":-0.25,"bytes":[120]}])"));
        }
    }

    TEST_CASE("a conversation that is too long is the messages' fault") {
        ExchangeDriver d(openai::chat, "{" + kUser + "}");
        const Answer answer =
            d.exchange().refuse(api_error({ErrorCode::context_length, "600 tokens"}));
        CHECK(answer.status == 400);
        const json error = json::parse(answer.body)["error"];
        CHECK(error["code"] == "context_length_exceeded");
        CHECK(error["param"] == "messages");
        // Programs that do not read codes look for these words.
        CHECK(error["message"] == "this model's maximum context length is exceeded: 600 tokens");
    }

    TEST_CASE("an event that is no answer to a chat is a fault of ours") {
        ExchangeDriver d(openai::chat, "{" + kUser + "}");
        const Written written = d.exchange().event(0, ModelsReply{});
        REQUIRE(std::holds_alternative<ApiError>(written));
        CHECK(std::get<ApiError>(written).status == 500);
    }
}

}  // namespace shoal::http::chat_test
