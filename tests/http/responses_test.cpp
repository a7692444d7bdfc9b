#include "daemon/http/dialects/openai/responses.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/http/dialects/openai/openai.hpp"
#include "tests/http/exchange_driver.hpp"

namespace shoal::http::responses_test {
namespace {

using namespace mesh::messages;
using namespace test;
using namespace std::chrono_literals;
using nlohmann::json;

std::shared_ptr<KeptTexts> store() {
    return std::make_shared<KeptTexts>(1u << 20, 1h);
}

json messages_of(const ExchangeDriver& driver) {
    return json::parse(driver.request().chat)["messages"];
}

ApiError error_with(const std::string& fields) {
    return refusal_of(openai::responses, R"({"input":"Hi",)" + fields + "}");
}

std::vector<std::string> types(const std::vector<json>& events) {
    std::vector<std::string> out;
    for (std::size_t i = 0; i < events.size(); ++i) {
        CHECK(events[i]["sequence_number"] == i);
        out.push_back(events[i]["type"].get<std::string>().substr(9));
    }
    return out;
}

ToolCall call_of(const char* id) {
    return {std::string(id), std::string("f"), std::string(R"({"a":1})")};
}

}  // namespace

TEST_SUITE("response requests") {
    TEST_CASE("a text and instructions become a conversation") {
        ExchangeDriver d(openai::responses, R"({"model":"m","input":"Hi","instructions":"be brief",
            "max_output_tokens":9,"temperature":0,"reasoning":{"effort":"low","summary":"auto"},
            "text":{"format":{"type":"json_schema","name":"n","schema":{"z":1,"a":2}},
                    "verbosity":"medium"},
            "tools":[{"type":"function","name":"f","parameters":{},"strict":true}],
            "tool_choice":{"type":"function","name":"f"},"metadata":{"a":"b"},
            "include":["message.output_text.logprobs"],"top_logprobs":2,"truncation":"disabled",
            "background":false,"store":false,"user":"u"})");
        const Generate g = d.request();
        CHECK(g.model == "m");
        CHECK(g.max_tokens == 9);
        CHECK(g.sampling.temperature == 0);
        CHECK(g.logprobs == 3);
        CHECK(g.constraint == Constraint{Constraint::Kind::json_schema, R"({"z":1,"a":2})"});
        const json chat = json::parse(g.chat);
        CHECK(chat["messages"] == json::parse(R"([{"role":"system","content":"be brief"},
                                                  {"role":"user","content":"Hi"}])"));
        CHECK(chat["tools"][0]["function"]["name"] == "f");
        CHECK(chat["tool_choice"]["function"]["name"] == "f");
        CHECK(chat["reasoning_effort"] == "low");
    }

    TEST_CASE("items become messages, as many of them as are of one answer together") {
        const ExchangeDriver d(openai::responses, R"({"input":[
            {"role":"user","content":[{"type":"input_text","text":"a"}]},
            {"type":"reasoning","id":"rs","summary":[],
             "content":[{"type":"reasoning_text","text":"hm"}]},
            {"type":"message","role":"assistant","id":"msg","status":"completed",
             "content":[{"type":"output_text","text":"b","annotations":[]}]},
            {"type":"function_call","call_id":"c","name":"f","arguments":"{\"a\":1}"},
            {"type":"function_call_output","call_id":"c","output":"d"},
            {"type":"reasoning","summary":[{"type":"summary_text","text":"so"}]},
            {"type":"function_call","call_id":"e","name":"f","arguments":"{}"}]})");
        CHECK(messages_of(d) == json::parse(R"([
            {"role":"user","content":"a"},
            {"role":"assistant","content":"b","reasoning_content":"hm","tool_calls":[
              {"id":"c","type":"function","function":{"name":"f","arguments":{"a":1}}}]},
            {"role":"tool","content":"d","tool_call_id":"c","name":"f"},
            {"role":"assistant","content":"","reasoning_content":"so","tool_calls":[
              {"id":"e","type":"function","function":{"name":"f","arguments":{}}}]}])"));
    }

    TEST_CASE("what is wrong or not honoured is named") {
        const struct {
            const char *fields, *param;
        } wrong[] = {
            {R"("tools":[{"type":"web_search"}])", "tools[0].type"},
            {R"("tools":[{"type":"function"}])", "tools[0].name"},
            {R"("tool_choice":{"type":"function","name":"g"})", "tool_choice.name"},
            {R"("background":true)", "background"},
            {R"("truncation":"auto")", "truncation"},
            {R"("include":["file_search_call.results"])", "include"},
            {R"("max_output_tokens":0)", "max_output_tokens"},
            {R"("n":2)", "n"},
            {R"("messages":[])", "messages"},
            {R"("text":{"format":{"type":"json_schema"}})", "text.format.schema"},
            {R"("text":{"verbosity":"high"})", "text.verbosity"},
            {R"("reasoning":{"effort":"x"})", "reasoning.effort"},
            {R"("stream_options":{"include_obfuscation":false})", "stream_options"},
            {R"("top_logprobs":21)", "top_logprobs"},
        };
        for (const auto& [each_fields, param] : wrong) {
            const auto& fields = each_fields;
            INFO(std::string(fields));
            CHECK(error_with(fields).param == param);
        }
        const struct {
            const char *input, *param;
        } inputs[] = {
            {"7", "input"},
            {"[]", "input"},
            {"[7]", "input[0]"},
            {R"([{"type":"computer_call","id":"x"}])", "input[0].type"},
            {R"([{"type":"item_reference"}])", "input[0].id"},
            {R"([{"role":"tool","content":"x"}])", "input[0].role"},
            {R"([{"role":"user"}])", "input[0].content"},
            {R"([{"role":"user","content":[{"type":"input_image"}]}])", "input[0].content[0].type"},
            {R"([{"type":"function_call","call_id":"c","name":"f","arguments":"x"}])",
             "input[0].arguments"},
            {R"([{"type":"function_call_output","call_id":"c"}])", "input[0].output"},
            {R"([{"type":"reasoning","summary":[{}]}])", "input[0].summary[0].text"},
        };
        for (const auto& [each_input, param] : inputs) {
            const auto& input = each_input;
            INFO(std::string(input));
            CHECK(refusal_of(openai::responses, std::string(R"({"input":)") + input + "}").param ==
                  param);
        }
        CHECK(refusal_of(openai::responses, "{}").message == "input is missing");
    }

    TEST_CASE("a stored response goes on, without its instructions") {
        const auto kept = store();
        ExchangeDriver first(openai::responses, R"({"input":"a","instructions":"brief"})", kept);
        Token token = token_of("b", "hm");
        token.calls = {call_of("c")};
        first.emit(token);
        first.emit(done_of());
        const json response = first.end();
        const std::string id = response["id"];

        ExchangeDriver next(openai::responses,
                            R"({"previous_response_id":")" + id +
                                R"(","input":[{"type":"function_call_output","call_id":"c",
                                               "output":"d"}]})",
                            kept);
        CHECK(messages_of(next) == json::parse(R"([
            {"role":"user","content":"a"},
            {"role":"assistant","content":"b","reasoning_content":"hm","tool_calls":[
              {"id":"c","type":"function","function":{"name":"f","arguments":{"a":1}}}]},
            {"role":"tool","content":"d","tool_call_id":"c","name":"f"}])"));

        // It can be looked at, and taken away.
        const auto ask = [&](Understand what) { return what({{}, id, kept}); };
        Understood found = ask(openai::response);
        REQUIRE(std::holds_alternative<std::unique_ptr<Exchange>>(found));
        CHECK(json::parse(std::get<0>(found)->end().body) == response);
        Understood deleted = ask(openai::delete_response);
        REQUIRE(std::holds_alternative<std::unique_ptr<Exchange>>(deleted));
        CHECK(json::parse(std::get<0>(deleted)->end().body)["deleted"] == true);
        for (const auto what : {openai::response, openai::delete_response}) {
            Understood gone = ask(what);
            REQUIRE(std::holds_alternative<ApiError>(gone));
            CHECK(std::get<ApiError>(gone).status == 404);
        }
        const auto error = refusal_of(
            openai::responses, R"({"input":"x","previous_response_id":")" + id + "\"}", kept);
        CHECK(error.code == "previous_response_not_found");
        CHECK(error.param == "previous_response_id");
        CHECK(error.status == 400);
    }

    TEST_CASE("an item of a stored response can be named instead of sent") {
        const auto kept = store();
        ExchangeDriver first(openai::responses, R"({"input":"a"})", kept);
        Token token = token_of("b", "hm");
        token.calls = {call_of("c")};
        first.emit(token);
        first.emit(done_of());
        const json response = first.end();
        std::string input = R"({"input":[{"role":"user","content":"a"})";
        for (const json& item : response["output"]) {
            input += R"(,{"type":"item_reference","id":)" + item["id"].dump() + "}";
        }
        input += R"(,{"type":"function_call_output","call_id":"c","output":"d"}]})";
        CHECK(messages_of(ExchangeDriver(openai::responses, input, kept)) == json::parse(R"([
            {"role":"user","content":"a"},
            {"role":"assistant","content":"b","reasoning_content":"hm","tool_calls":[
              {"id":"c","type":"function","function":{"name":"f","arguments":{"a":1}}}]},
            {"role":"tool","content":"d","tool_call_id":"c","name":"f"}])"));

        // Items are no responses, and go with theirs.
        const std::string item = response["output"][0]["id"];
        for (const auto what : {openai::response, openai::delete_response}) {
            CHECK(std::holds_alternative<ApiError>(what({{}, item, kept})));
        }
        const std::string previous = R"({"input":"x","previous_response_id":")" + item + "\"}";
        CHECK(refusal_of(openai::responses, previous, kept).code == "previous_response_not_found");
        CHECK(kept->erase(response["id"].get<std::string>()));
        const ApiError gone = refusal_of(openai::responses, input, kept);
        CHECK(gone.code == "item_not_found");
        CHECK(gone.param == "input[1].id");
        CHECK(refusal_of(openai::responses, input).code == "item_not_found");
    }

    TEST_CASE("what is not to be stored is not") {
        const auto kept = store();
        ExchangeDriver d(openai::responses, R"({"input":"a","store":false})", kept);
        d.emit(done_of());
        CHECK_FALSE(kept->get(d.end()["id"].get<std::string>()));
    }
}

TEST_SUITE("response answers") {
    TEST_CASE("a whole answer has items for reasoning, text and calls") {
        ExchangeDriver d(openai::responses, R"({"input":"a","metadata":{"k":"v"}})");
        d.emit(token_of("", "h"));
        d.emit(token_of("", "m"));
        d.emit(token_of("b"));
        Done done = done_of();
        done.text = std::string("c");
        done.calls = {call_of("x")};
        d.emit(done);
        json body = d.end();
        CHECK(body["object"] == "response");
        CHECK(body["status"] == "completed");
        CHECK(body["model"] == "tiny-q4");
        CHECK(body["metadata"] == json{{"k", "v"}});
        CHECK(body["error"].is_null());
        CHECK(body["usage"] == json::parse(R"({"input_tokens":3,
            "input_tokens_details":{"cached_tokens":1},"output_tokens":2,
            "output_tokens_details":{"reasoning_tokens":1},"total_tokens":5})"));
        REQUIRE(body["output"].size() == 3);
        for (json& item : body["output"]) item.erase("id");
        CHECK(body["output"] == json::parse(R"([
            {"type":"reasoning","status":"completed","summary":[],
             "content":[{"type":"reasoning_text","text":"hm"}]},
            {"type":"message","status":"completed","role":"assistant",
             "content":[{"type":"output_text","text":"bc","annotations":[],"logprobs":[]}]},
            {"type":"function_call","status":"completed","call_id":"x","name":"f",
             "arguments":"{\"a\":1}"}])"));
    }

    TEST_CASE("an answer that was too long is incomplete") {
        ExchangeDriver d(openai::responses, R"({"input":"a"})");
        d.emit(token_of("b"));
        d.emit(done_of(StopReason::length));
        const json body = d.end();
        CHECK(body["status"] == "incomplete");
        CHECK(body["incomplete_details"]["reason"] == "max_output_tokens");
        CHECK(body["output"][0]["status"] == "incomplete");
    }

    TEST_CASE("a stream tells everything that grows, in numbered events") {
        ExchangeDriver d(openai::responses, R"({"input":"a","stream":true})");
        d.emit(token_of("", "hm"));
        d.emit(token_of("b"));
        Token token = token_of("c");
        token.calls = {call_of("x")};
        d.emit(token);
        d.emit(done_of());
        const auto events = d.end_stream();
        CHECK(types(events) == std::vector<std::string>{"created",
                                                        "in_progress",
                                                        "output_item.added",
                                                        "content_part.added",
                                                        "reasoning_text.delta",
                                                        "reasoning_text.done",
                                                        "content_part.done",
                                                        "output_item.done",
                                                        "output_item.added",
                                                        "content_part.added",
                                                        "output_text.delta",
                                                        "output_text.delta",
                                                        "output_text.done",
                                                        "content_part.done",
                                                        "output_item.done",
                                                        "output_item.added",
                                                        "function_call_arguments.delta",
                                                        "function_call_arguments.done",
                                                        "output_item.done",
                                                        "completed"});
        CHECK(events[0]["response"]["status"] == "in_progress");
        CHECK(events[10]["delta"] == "b");
        CHECK(events[10]["output_index"] == 1);
        CHECK(events[10]["content_index"] == 0);
        CHECK(events[10]["item_id"] == events[8]["item"]["id"]);
        CHECK(events[12]["text"] == "bc");
        CHECK(events[16]["delta"] == R"({"a":1})");
        CHECK(events[18]["item"]["call_id"] == "x");
        CHECK(events[18]["output_index"] == 2);
        const json last = events[19]["response"];
        CHECK(last["id"] == events[0]["response"]["id"]);
        CHECK(last["output"].size() == 3);
        CHECK(last["output"][1] == events[14]["item"]);
        CHECK(last["usage"]["total_tokens"] == 5);
    }

    TEST_CASE("reasoning is told as its summary when that is asked for") {
        ExchangeDriver d(openai::responses,
                         R"({"input":"a","stream":true,"reasoning":{"summary":"auto"}})");
        d.emit(token_of("", "hm"));
        d.emit(done_of());
        const auto events = d.end_stream();
        CHECK(types(events) == std::vector<std::string>{
                                   "created", "in_progress", "output_item.added",
                                   "reasoning_summary_part.added", "reasoning_summary_text.delta",
                                   "reasoning_summary_text.done", "reasoning_summary_part.done",
                                   "output_item.done", "completed"});
        CHECK(events[4]["summary_index"] == 0);
        CHECK(events[7]["item"]["summary"][0]["text"] == "hm");
        CHECK_FALSE(events[7]["item"].contains("content"));
    }

    TEST_CASE("a stream that fails says so in its own way") {
        ExchangeDriver d(openai::responses, R"({"input":"a","stream":true})");
        d.emit(token_of("b"));
        const auto before = d.take_events();
        const std::string end = d.exchange().break_off({500, "internal", "lost", {}});
        REQUIRE(end.starts_with("event: response.failed\ndata: "));
        const json failed = json::parse(end.substr(end.find('{')));
        CHECK(failed["sequence_number"] == before.size());
        CHECK(failed["response"]["status"] == "failed");
        CHECK(failed["response"]["error"]["message"] == "lost");
    }
}

}  // namespace shoal::http::responses_test
