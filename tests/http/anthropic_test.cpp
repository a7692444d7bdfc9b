#include "daemon/http/dialects/anthropic/anthropic.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "daemon/http/dialects/anthropic/messages.hpp"
#include "tests/http/exchange_driver.hpp"

namespace shoal::http::anthropic_test {
namespace {

using namespace mesh::messages;
using namespace test;
using nlohmann::json;

const std::string kHi =
    R"("model":"tiny","max_tokens":20,"messages":[{"role":"user","content":"Hi"}])";
const std::string kTool =
    R"("tools":[{"name":"now","description":"d","input_schema":{"type":"object"}}])";

std::string body_with(const std::string& fields) {
    return "{" + kHi + (fields.empty() ? "" : "," + fields) + "}";
}
json chat_of(const std::string& body) {
    return json::parse(ExchangeDriver(anthropic::messages, body).request().chat);
}

Token token_of(const std::string& text, const std::string& reasoning = "") {
    Token token;
    token.text = text;
    token.reasoning = reasoning;
    token.model = "tiny";
    return token;
}
Done ended(StopReason reason = StopReason::end) {
    Done done;
    done.reason = reason;
    done.prompt_tokens = 7;
    done.cached_tokens = 2;
    done.generated_tokens = 3;
    done.model = "tiny";
    return done;
}

}  // namespace

TEST_SUITE("anthropic") {
    TEST_CASE("a request becomes one with a conversation") {
        const ExchangeDriver driver(
            anthropic::messages,
            body_with(R"("system":"Be terse.","temperature":0.5,"top_k":3,"stop_sequences":["x"],)"
                      R"("thinking":{"type":"enabled","budget_tokens":1024},"metadata":{})"));
        const Generate request = driver.request();
        CHECK(request.model == "tiny");
        CHECK(request.max_tokens == 20);
        CHECK(request.sampling.temperature == 0.5F);
        CHECK(request.sampling.top_k == 3);
        CHECK(request.stop == std::vector<std::string>{"x"});
        const json chat = json::parse(request.chat);
        CHECK(chat["messages"][0]["role"] == "system");
        CHECK(chat["messages"][0]["content"] == "Be terse.");
        CHECK(chat["messages"][1]["content"] == "Hi");
        CHECK(chat["enable_thinking"] == true);
    }

    TEST_CASE("calls, their results and thoughts are told apart from what is said") {
        const json chat = chat_of(
            R"({"max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"a"},)"
            R"({"type":"text","text":"b","cache_control":{"type":"ephemeral"}}]},)"
            R"({"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":""},)"
            R"({"type":"text","text":"c"},)"
            R"({"type":"tool_use","id":"t1","name":"now","input":{"z":1}}]},)"
            R"({"role":"user","content":[{"type":"tool_result","tool_use_id":"t1",)"
            R"("content":[{"type":"text","text":"9:00"}]},)"
            R"({"type":"tool_result","tool_use_id":"t2","is_error":true,"content":"no"},)"
            R"({"type":"text","text":"and?"}]}],)" +
            kTool + "}");
        const json& messages = chat["messages"];
        REQUIRE(messages.size() == 5);
        CHECK(messages[0]["content"] == "ab");
        CHECK(messages[1]["content"] == "c");
        CHECK(messages[1]["reasoning_content"] == "hm");
        CHECK(messages[1]["tool_calls"][0]["function"]["arguments"] == json{{"z", 1}});
        CHECK(messages[2]["role"] == "tool");
        CHECK(messages[2]["tool_call_id"] == "t1");
        CHECK(messages[2]["content"] == "9:00");
        CHECK(messages[3]["content"] == "Error: no");
        CHECK(messages[4]["content"] == "and?");
        CHECK(chat["tools"][0]["function"]["name"] == "now");
    }

    TEST_CASE("a choice of tools reaches the model") {
        const auto with = [](const std::string& choice) {
            return chat_of(body_with(kTool + R"(,"tool_choice":)" + choice));
        };
        CHECK(with(R"({"type":"any","disable_parallel_tool_use":true})")["parallel_tool_calls"] ==
              false);
        CHECK(with(R"({"type":"any"})")["tool_choice"] == "required");
        CHECK_FALSE(with(R"({"type":"none"})").contains("tools"));
        CHECK(with(R"({"type":"tool","name":"now"})").contains("tool_choice"));
    }

    TEST_CASE("an answer may be held to a schema, and thinking to an effort") {
        const ExchangeDriver driver(
            anthropic::messages,
            body_with(R"("output_config":{"effort":"max","format":{"type":"json_schema",)"
                      R"("schema":{"type":"array"}}})"));
        CHECK(driver.request().constraint ==
              Constraint{Constraint::Kind::json_schema, R"({"type":"array"})"});
        const json chat = json::parse(driver.request().chat);
        CHECK(chat["reasoning_effort"] == "high");
        CHECK_FALSE(chat.contains("enable_thinking"));
        const auto wrong = [](const std::string& config) {
            return refusal_of(anthropic::messages, body_with(R"("output_config":)" + config)).param;
        };
        CHECK(wrong(R"({"effort":"much"})") == "output_config.effort");
        CHECK(wrong(R"({"format":{"type":"xml"}})") == "output_config.format.type");
        CHECK(wrong(R"({"warp":1})") == "output_config.warp");
        CHECK(wrong("3") == "output_config");
    }

    TEST_CASE("an answer is a message of blocks") {
        ExchangeDriver driver(anthropic::messages, body_with(kTool));
        driver.emit(token_of("", "h"));
        driver.emit(token_of("", "m"));
        driver.emit(token_of("We"));
        driver.emit(token_of("ll."));
        Done done = ended();
        done.calls = {{"call_1", "now", R"({"z":1})"}};
        driver.emit(done);
        const json message = driver.end();
        CHECK(message["type"] == "message");
        CHECK(message["id"].get<std::string>().starts_with("msg_"));
        CHECK(message["model"] == "tiny");
        CHECK(message["content"] ==
              json::parse(R"([{"type":"thinking","thinking":"hm","signature":""},)"
                          R"({"type":"text","text":"Well."},)"
                          R"({"type":"tool_use","id":"call_1","name":"now","input":{"z":1}}])"));
        CHECK(message["stop_reason"] == "tool_use");
        CHECK(message["usage"]["input_tokens"] == 5);
        CHECK(message["usage"]["cache_read_input_tokens"] == 2);
        CHECK(message["usage"]["output_tokens"] == 3);
    }

    TEST_CASE("why an answer ended is said") {
        const auto reason = [](Done done) {
            ExchangeDriver driver(anthropic::messages, body_with(""));
            driver.emit(done);
            const json message = driver.end();
            return std::pair(message["stop_reason"], message["stop_sequence"]);
        };
        CHECK(reason(ended()) == std::pair<json, json>("end_turn", nullptr));
        CHECK(reason(ended(StopReason::length)) == std::pair<json, json>("max_tokens", nullptr));
        Done stopped = ended(StopReason::stop);
        stopped.stopped_by = "x";
        CHECK(reason(stopped) == std::pair<json, json>("stop_sequence", "x"));
    }

    TEST_CASE("a stream begins and ends each block") {
        ExchangeDriver driver(anthropic::messages, body_with(kTool + R"(,"stream":true)"));
        driver.emit(token_of("", "hm"));
        driver.emit(token_of("Well."));
        driver.emit(token_of("Yes."));
        Token call = token_of("");
        call.calls = {{"call_1", "now", R"({"z":1})"}};
        driver.emit(call);
        driver.emit(ended());
        const auto events = driver.end_stream();
        std::string types;
        for (const json& event : events) {
            types += event["type"].get<std::string>();
            if (event.contains("index")) types += event["index"].dump();
            types += ' ';
        }
        CHECK(types ==
              "message_start content_block_start0 content_block_delta0 content_block_stop0 "
              "content_block_start1 content_block_delta1 content_block_delta1 content_block_stop1 "
              "content_block_start2 content_block_delta2 content_block_stop2 message_delta "
              "message_stop ");
        CHECK(events[0]["message"]["content"].empty());
        CHECK(events[2]["delta"] == json{{"type", "thinking_delta"}, {"thinking", "hm"}});
        CHECK(events[5]["delta"] == json{{"type", "text_delta"}, {"text", "Well."}});
        CHECK(events[8]["content_block"]["input"] == json::object());
        CHECK(events[9]["delta"]["partial_json"] == R"({"z":1})");
        CHECK(events[11]["delta"]["stop_reason"] == "tool_use");
        CHECK(events[11]["usage"]["output_tokens"] == 3);
    }

    TEST_CASE("an answer without a word is a whole stream all the same") {
        ExchangeDriver driver(anthropic::messages, body_with(R"("stream":true)"));
        driver.emit(ended());
        CHECK(driver.end_stream().size() == 3);
    }

    TEST_CASE("tokens are counted of the prompt that the template makes") {
        ExchangeDriver driver(anthropic::count_tokens,
                              R"({"model":"tiny","messages":[{"role":"user","content":"Hi"}]})");
        CHECK(driver.request<TokenizeRequest>().model == "tiny");
        CHECK_FALSE(driver.request<TokenizeRequest>().chat.empty());
        TokenizeReply reply;
        reply.ids = {1, 2, 3};
        reply.pieces = {"a", "b", "c"};
        driver.emit(reply);
        CHECK(driver.end() == json{{"input_tokens", 3}});
    }

    TEST_CASE("what is wrong is named, in Anthropic's shape") {
        const std::pair<std::string, const char*> wrong[] = {
            {R"({"messages":[{"role":"user","content":"Hi"}]})", "max_tokens"},
            {R"({"max_tokens":1})", "messages"},
            {body_with(R"("max_token":1)"), "max_token"},
            {body_with(R"("temperature":"hot")"), "temperature"},
            {body_with(R"("tools":[{"name":"a"}])"), "tools[0].input_schema"},
            {body_with(R"("tools":[{"type":"bash_20250124","name":"bash"}])"), "tools[0].type"},
            {body_with(R"("tool_choice":{"type":"any"})"), "tool_choice"},
            {body_with(R"("thinking":{"type":"maybe"})"), "thinking.type"},
            {R"({"max_tokens":1,"messages":[{"role":"system","content":"a"}]})",
             "messages[0].role"},
            {R"({"max_tokens":1,"messages":[{"role":"user","content":[{"type":"image"}]}]})",
             "messages[0].content[0].type"},
            {R"({"max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool_result"}]}]})",
             "messages[0].content[0].tool_use_id"},
        };
        for (const auto& one : wrong) {
            INFO(one.first);
            CHECK(refusal_of(anthropic::messages, one.first).param == one.second);
        }
        const Answer answer = anthropic::refusal({404, "not_found", "no such model", "model"});
        CHECK(answer.status == 404);
        CHECK(json::parse(answer.body) ==
              json::parse(R"({"type":"error","error":{"type":"not_found_error",)"
                          R"("message":"no such model"}})"));
        const ApiError longer = api_error({ErrorCode::context_length, "600 tokens"});
        CHECK(json::parse(anthropic::refusal(longer).body)["error"]["message"] ==
              "prompt is too long: 600 tokens");
        CHECK(anthropic::broken_stream({503, "busy", "later", ""}).starts_with("event: error\n"));
    }
}

}  // namespace shoal::http::anthropic_test
