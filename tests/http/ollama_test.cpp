#include "daemon/http/dialects/ollama/ollama.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/http/dialects/ollama/chat.hpp"
#include "daemon/http/dialects/ollama/embed.hpp"
#include "tests/http/exchange_driver.hpp"

namespace shoal::http::ollama_test {
namespace {

using namespace mesh::messages;
using namespace test;
using nlohmann::json;

const std::string kHi = R"("model":"tiny","messages":[{"role":"user","content":"Hi"}])";

json lines_of(const std::string& text) {
    json out = json::array();
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = text.find('\n', at);
        REQUIRE(end != std::string::npos);
        out.push_back(json::parse(text.substr(at, end - at)));
        at = end + 1;
    }
    return out;
}

std::string written(Exchange& exchange, const Event& event) {
    return std::get<std::string>(exchange.event(0, event));
}

Generate chat_with(const std::string& fields) {
    return ExchangeDriver(ollama::chat, "{" + kHi + "," + fields + "}").request();
}
ApiError refusal_with(const std::string& fields) {
    return refusal_of(ollama::chat, "{" + kHi + "," + fields + "}");
}

Done timed_done() {
    Done done = done_of();
    done.load_seconds = 0.5;
    done.queue_seconds = 0.25;
    done.prefill_seconds = 1;
    done.decode_seconds = 2;
    return done;
}

ModelInfo tiny() {
    ModelInfo m;
    m.name = "tiny";
    m.hash = "abc";
    m.architecture = "llama";
    m.quantisation = "Q4_K";
    m.file_bytes = 700;
    m.parameters = 1'240'000'000;
    m.context = 2048;
    return m;
}

}  // namespace

TEST_SUITE("ollama requests") {
    TEST_CASE("what is left out is as Ollama has it") {
        const Generate g = chat_with(R"("options":{"temperature":1})");
        CHECK(g.sampling.top_p == 0.9F);
        CHECK(g.sampling.min_p == 0);
        CHECK(g.sampling.top_k == 40);
        CHECK(g.sampling.repeat_penalty == 1);
    }

    TEST_CASE("options say how tokens are drawn, and what concerns hardware changes nothing") {
        const Generate g = chat_with(R"("options":{"temperature":0.5,"top_k":3,"top_p":0.7,
            "min_p":0.1,"seed":7,"num_predict":9,"stop":["x"],"repeat_penalty":1.5,
            "repeat_last_n":5,"presence_penalty":1,"frequency_penalty":-1,"num_ctx":4096,
            "num_gpu":99,"use_mmap":true,"mirostat":0,"typical_p":1.0,"logits_all":false,
            "vocab_only":false,"embedding_only":false},"keep_alive":"5m")");
        CHECK(g.sampling.temperature == 0.5F);
        CHECK(g.sampling.top_k == 3);
        CHECK(g.sampling.top_p == 0.7F);
        CHECK(g.sampling.min_p == 0.1F);
        CHECK(g.sampling.seed == 7);
        CHECK(g.max_tokens == 9);
        CHECK(g.stop == std::vector<std::string>{"x"});
        CHECK(g.sampling.repeat_penalty == 1.5F);
        CHECK(g.sampling.penalty_last_n == 5);
        CHECK(g.sampling.presence_penalty == 1);
        CHECK(g.sampling.frequency_penalty == -1);
    }

    TEST_CASE("minus one and two are no limit, and a seed of minus one is a random one") {
        CHECK(chat_with(R"("options":{"num_predict":-1})").max_tokens == 0);
        CHECK(chat_with(R"("options":{"priority":3})").priority == 3);
        CHECK(chat_with(R"("options":{"num_predict":-2})").max_tokens == 0);
        CHECK(chat_with(R"("options":{"repeat_last_n":-1})").sampling.penalty_last_n > 1'000'000);
        const std::string random = R"("options":{"seed":-1})";
        CHECK(chat_with(random).sampling.seed != chat_with(random).sampling.seed);
    }

    TEST_CASE("what is not supported is an error that names it") {
        CHECK(refusal_with(R"("options":{"mirostat":2})").param == "mirostat");
        CHECK(refusal_with(R"("options":{"warp":1})").param == "options.warp");
        CHECK(refusal_with(R"("options":{"vocab_only":true})").param == "vocab_only");
        CHECK(refusal_with(R"("options":{"num_predict":-3})").param == "num_predict");
        CHECK(refusal_with(R"("options":{"temperature":-1})").param == "temperature");
        CHECK(refusal_with(R"("options":3)").param == "options");
        CHECK(refusal_with(R"("warp":1)").param == "warp");
        CHECK(refusal_with(R"("think":"much")").param == "think");
        CHECK(refusal_with(R"("format":"xml")").param == "format");
        CHECK(refusal_with(R"("top_logprobs":2)").param == "top_logprobs");
        const auto generate = [](const std::string& fields) {
            return refusal_of(ollama::generate, R"({"prompt":"a",)" + fields + "}").param;
        };
        CHECK(generate(R"("template":"{{ .Prompt }}")") == "template");
        CHECK(generate(R"("context":[1,2])") == "context");
        CHECK(generate(R"("images":["AAAA"])") == "images");
        CHECK(generate(R"("raw":true,"system":"s")") == "system");
    }

    TEST_CASE("messages are a conversation, with thoughts, calls and results") {
        const ExchangeDriver d(ollama::chat, R"({"model":"tiny:latest","messages":[
            {"role":"system","content":"s"},{"role":"user","content":"u","images":[]},
            {"role":"assistant","content":"","thinking":"hm","tool_calls":[
                {"function":{"name":"f","arguments":{"z":1,"a":2}}},
                {"id":"c2","function":{"name":"g","arguments":{}}}]},
            {"role":"tool","content":"1","tool_name":"f"},{"role":"tool","content":"2"}],
            "tools":[{"type":"function","function":{"name":"f","description":"d",
                "parameters":{"type":"object"}}}],"think":true})");
        CHECK(d.request().model == "tiny");
        const json chat = json::parse(d.request().chat);
        const json& messages = chat["messages"];
        REQUIRE(messages.size() == 5);
        CHECK(messages[2]["reasoning_content"] == "hm");
        CHECK(messages[2]["tool_calls"][0]["function"]["arguments"] == json{{"z", 1}, {"a", 2}});
        CHECK(messages[3]["name"] == "f");
        CHECK(messages[4]["name"] == "g");
        CHECK(messages[4]["tool_call_id"] == "c2");
        CHECK(chat["tools"][0]["function"]["name"] == "f");
        CHECK(chat["enable_thinking"] == true);
        CHECK(refusal_of(ollama::chat, R"({"messages":[{"content":"a"}]})").param ==
              "messages[0].role");
        CHECK(refusal_of(ollama::chat, R"({"messages":[{"role":"robot","content":"a"}]})").param ==
              "messages[0].role");
        CHECK(refusal_of(ollama::chat,
                         R"({"messages":[{"role":"user","content":"a","images":["AA"]}]})")
                  .code == "unsupported_content");
    }

    TEST_CASE("a format is JSON of a schema, and levels of thought are the template's") {
        CHECK(chat_with(R"("format":"json")").constraint.text == R"({"type":"object"})");
        CHECK(chat_with(R"("format":{"type":"array"})").constraint ==
              Constraint{Constraint::Kind::json_schema, R"({"type":"array"})"});
        CHECK(chat_with(R"("format":"")").constraint.kind == Constraint::Kind::none);
        CHECK(json::parse(chat_with(R"("think":"low")").chat)["reasoning_effort"] == "low");
        CHECK(json::parse(chat_with(R"("think":false)").chat)["enable_thinking"] == false);
    }

    TEST_CASE("a prompt is a question, unless it is raw or has a suffix") {
        const auto request = [](const std::string& fields) {
            return ExchangeDriver(ollama::generate, R"({"prompt":"Hi",)" + fields + "}").request();
        };
        const json asked = json::parse(request(R"("system":"s")").chat);
        CHECK(asked["messages"][0]["content"] == "s");
        CHECK(asked["messages"][1]["content"] == "Hi");
        CHECK(asked["messages"][1]["role"] == "user");
        const Generate raw = request(R"("raw":true)");
        CHECK(raw.chat.empty());
        CHECK(raw.prompt == "Hi");
        const Generate between = request(R"("suffix":"end")");
        CHECK(between.prompt == "Hi");
        CHECK(between.suffix == "end");
    }
}

TEST_SUITE("ollama answers") {
    TEST_CASE("a stream is lines, and the last one has the reason and the times") {
        ExchangeDriver d(ollama::chat, "{" + kHi + "}");
        Exchange& e = d.exchange();
        CHECK(std::string(e.stream_type()) == "application/x-ndjson");
        std::string sent = written(e, token_of("", "hm"));
        CHECK(written(e, token_of("")).empty());
        sent += written(e, token_of("Ho"));
        Done done = timed_done();
        done.text = "!";
        sent += written(e, done);
        sent += e.end().body;
        const json lines = lines_of(sent);
        REQUIRE(lines.size() == 4);
        CHECK(lines[0]["model"] == "tiny");
        CHECK(lines[0]["message"] ==
              json{{"role", "assistant"}, {"content", ""}, {"thinking", "hm"}});
        CHECK(lines[1]["message"] == json{{"role", "assistant"}, {"content", "Ho"}});
        CHECK(lines[1]["done"] == false);
        CHECK(lines[2]["message"]["content"] == "!");
        const json& last = lines[3];
        CHECK(last["message"]["content"] == "");
        CHECK(last["done"] == true);
        CHECK(last["done_reason"] == "stop");
        CHECK(last["total_duration"] == 3'750'000'000);
        CHECK(last["load_duration"] == 500'000'000);
        CHECK(last["prompt_eval_count"] == 3);
        CHECK(last["prompt_eval_duration"] == 1'000'000'000);
        CHECK(last["eval_count"] == 2);
        CHECK(last["eval_duration"] == 2'000'000'000);
        CHECK(last["created_at"].get<std::string>().ends_with("Z"));
    }

    TEST_CASE("a whole answer has thoughts, text, and calls whose arguments are objects") {
        ExchangeDriver d(ollama::chat, "{" + kHi + R"(,"stream":false})");
        CHECK(d.exchange().stream_type() == nullptr);
        d.emit(token_of("", "hm"));
        Token token = token_of("a");
        token.calls = {{std::string("c1"), std::string("f"), std::string(R"({"z":1})")}};
        d.emit(token);
        Done done = done_of(StopReason::length);
        done.calls = {{std::string("c2"), std::string("g"), std::string("{}")}};
        d.emit(done);
        const json body = d.end();
        CHECK(body["message"]["content"] == "a");
        CHECK(body["message"]["thinking"] == "hm");
        CHECK(body["message"]["tool_calls"] ==
              json::parse(R"([{"id":"c1","function":{"index":0,"name":"f","arguments":{"z":1}}},
                              {"id":"c2","function":{"index":1,"name":"g","arguments":{}}}])"));
        CHECK(body["done_reason"] == "length");
    }

    TEST_CASE("generated text is the response, and a model that was not named is told") {
        ExchangeDriver d(ollama::generate,
                         R"({"prompt":"Hi","stream":false,"logprobs":true,"top_logprobs":1})");
        CHECK(d.request().logprobs == 2);
        Token token = token_of("Ho");
        token.scores = {{1, -1, "Ho"}, {1, -1, "Ho"}};
        d.emit(token);
        d.emit(done_of());
        const json body = d.end();
        CHECK(body["model"] == "tiny-q4");
        CHECK(body["response"] == "Ho");
        CHECK_FALSE(body.contains("message"));
        CHECK(body["logprobs"][0]["token"] == "Ho");
        CHECK(body["logprobs"][0]["logprob"] == -1);
    }

    TEST_CASE("nothing to answer has the model loaded") {
        for (const char* body : {R"({"model":"tiny"})", R"({"model":"tiny","messages":[]})"}) {
            ExchangeDriver d(ollama::chat, body);
            CHECK(d.request().task == Task::read);
            CHECK(d.exchange().stream_type() == nullptr);
            d.emit(PromptTokens{});  // a prompt that is read is told
            d.emit(done_of(StopReason::length));
            const json answer = d.end();
            CHECK(answer["done_reason"] == "load");
            CHECK(answer["done"] == true);
            CHECK_FALSE(answer.contains("eval_count"));
        }
        ExchangeDriver d(ollama::generate, R"({"model":"tiny","prompt":""})");
        d.emit(done_of());
        CHECK(d.end()["response"] == "");
        // Nor does it stay.
        const auto request_of = [](Understand understand, const std::string& body) {
            return ExchangeDriver(understand, body).exchange().request(0);
        };
        CHECK(std::get<UnloadRequest>(
                  request_of(ollama::generate, R"({"model":"tiny:latest","keep_alive":0})"))
                  .model == "tiny");
        CHECK(std::get<UnloadRequest>(
                  request_of(ollama::chat, R"({"model":"tiny","keep_alive":"0s"})"))
                  .model == "tiny");
        const auto keep = [&](const std::string& value) {
            const auto request = request_of(
                ollama::generate, R"({"model":"m","prompt":"a","keep_alive":)" + value + "}");
            return std::get<Generate>(request).keep_alive;
        };
        CHECK(keep("300") == 300);
        CHECK(keep("\"5m\"") == 300);
        CHECK(keep("\"1h1m1.5s\"") == 3662);
        CHECK(keep("\"250ms\"") == 1);
        CHECK(keep("\"-1\"") == -1);
        CHECK(keep("-1.5") == -1);
        CHECK(keep("0") == 0);
        CHECK(keep("1e300") == 315'360'000);
        for (const char* wrong : {"\"\"", "\"5x\"", "\"m\"", "\"5m5\"", "\"5 m\"", "\"--5\"",
                                  "\"nan\"", "\"inf\"", "\"-\"", "true", "[]"}) {
            CAPTURE(wrong);
            CHECK(refusal_of(ollama::generate, std::string(R"({"model":"m","prompt":"a",)")
                                                   .append(R"("keep_alive":)")
                                                   .append(wrong)
                                                   .append("}"))
                      .param == "keep_alive");
        }
    }

    TEST_CASE("errors are one text, a line of it in a stream, and name a model that is missing") {
        ExchangeDriver d(ollama::chat, "{" + kHi + "}");
        const ApiError missing = api_error({ErrorCode::not_found, "no such file"});
        const Answer answer = d.exchange().refuse(missing);
        CHECK(answer.status == 404);
        CHECK(json::parse(answer.body) ==
              json{{"error", "model \"tiny\" not found: no such file"}});
        CHECK(json::parse(d.exchange()
                              .refuse(api_error({ErrorCode::context_length, "600 tokens"}))
                              .body)["error"] ==
              "the input length exceeds the context length: 600 tokens");
        const ApiError lost = api_error({ErrorCode::unavailable, "lost a device"});
        CHECK(d.exchange().break_off(lost) == "{\"error\":\"lost a device\"}\n");
        CHECK(std::holds_alternative<ApiError>(d.exchange().event(0, ModelsReply{})));
    }
}

TEST_SUITE("ollama embeddings") {
    TEST_CASE("each input is a vector of length one") {
        ExchangeDriver d(ollama::embed,
                         R"({"model":"tiny","input":["a","b"],"truncate":true,"dimensions":2})");
        REQUIRE(d.exchange().parts() == 2);
        CHECK(d.request(1).prompt == "b");
        CHECK(d.request(1).task == Task::embed);
        Done done = timed_done();
        done.embedding = {0, 2, 9};
        d.emit(done, 1);
        done.embedding = {3, 4, 9};
        d.emit(done, 0);
        const json body = d.end();
        CHECK(body["model"] == "tiny");
        CHECK(body["embeddings"][0][0].get<double>() == doctest::Approx(0.6));
        CHECK(body["embeddings"][1] == json::parse("[0,1]"));
        CHECK(body["prompt_eval_count"] == 6);
        CHECK(body["load_duration"] == 1'000'000'000);
    }

    TEST_CASE("the old way has one vector as the model gives it") {
        ExchangeDriver d(ollama::embeddings, R"({"model":"tiny","prompt":"a"})");
        Done done = done_of();
        done.embedding = {3, 4};
        d.emit(done);
        CHECK(d.end() == json::parse(R"({"embedding":[3,4]})"));
    }

    TEST_CASE("a prompt beside the input is the same in the old way, and not looked at") {
        ExchangeDriver d(ollama::embed, R"({"input":["a"],"prompt":"x"})");
        CHECK(d.exchange().parts() == 1);
        CHECK(d.request().prompt == "a");
        CHECK(refusal_of(ollama::embed, R"({"prompt":"x"})").param == "input");
    }

    TEST_CASE("nothing has no vector") {
        ExchangeDriver none(ollama::embed, R"({"model":"tiny","input":""})");
        CHECK(none.exchange().parts() == 0);
        CHECK(none.end()["embeddings"].empty());
        const auto wrong = [](const char* body) { return refusal_of(ollama::embed, body).param; };
        CHECK(wrong(R"({"input":["a",""]})") == "input");
        CHECK(wrong(R"({"input":[1]})") == "input");
        CHECK(wrong(R"({"model":"a"})") == "input");
        CHECK(wrong(R"({"input":"a","options":{"warp":1}})") == "options.warp");
    }

    TEST_CASE("more dimensions than the model has are an error") {
        ExchangeDriver d(ollama::embed,
                         R"({"input":"a","dimensions":3,"options":{"priority":-2}})");
        CHECK(d.request().priority == -2);
        Done done = done_of();
        done.embedding = {3, 4};
        const Written out = d.exchange().event(0, done);
        REQUIRE(std::holds_alternative<ApiError>(out));
        CHECK(std::get<ApiError>(out).param == "dimensions");
    }
}

TEST_SUITE("ollama models") {
    TEST_CASE("lists have names with a tag, and leave out what is no usable model") {
        ModelsReply reply;
        reply.models = {tiny(), tiny()};
        reply.models[1].problem = "broken";
        ExchangeDriver tags(ollama::tags, "");
        tags.emit(reply);
        const json models = tags.end()["models"];
        REQUIRE(models.size() == 1);
        CHECK(models[0]["name"] == "tiny:latest");
        CHECK(models[0]["model"] == "tiny:latest");
        CHECK(models[0]["size"] == 700);
        CHECK(models[0]["digest"] == "abc");
        CHECK(models[0]["details"]["parameter_size"] == "1.2B");
        CHECK(models[0]["details"]["quantization_level"] == "Q4_K");
        CHECK(models[0]["details"]["families"] == json::parse(R"(["llama"])"));
        CHECK(models[0]["details"]["context_length"] == 2048);

        ExchangeDriver ps(ollama::ps, "");
        ps.emit(reply);
        CHECK(ps.end()["models"].empty());
        reply.models[0].loaded = true;
        ExchangeDriver loaded(ollama::ps, "");
        loaded.emit(reply);
        CHECK(loaded.end()["models"][0]["context_length"] == 2048);
    }

    TEST_CASE("a model is shown with its template, its numbers and what it can do") {
        ExchangeDriver d(ollama::show, R"({"name":"tiny:latest","verbose":false})");
        CHECK(d.request<DescribeRequest>().model == "tiny");
        DescribeReply reply;
        reply.info = tiny();
        reply.chat_template = "T";
        reply.thinks = reply.calls_tools = reply.fills_in = true;
        reply.layers = 22;
        reply.width = 64;
        reply.metadata = {{"general.version", "1"},
                          {"general.file_type", "15"},
                          {"tokenizer.ggml.bos_token_id", "5"},
                          {"general.license", "mit"}};
        d.emit(reply);
        const json body = d.end();
        CHECK(body["template"] == "T");
        CHECK(body["license"] == "mit");
        CHECK(body["capabilities"] == json::parse(R"(["completion","tools","insert","thinking"])"));
        CHECK(body["model_info"]["general.architecture"] == "llama");
        CHECK(body["model_info"]["general.version"] == "1");
        CHECK(body["model_info"]["general.file_type"] == 15);
        CHECK(body["model_info"]["tokenizer.ggml.bos_token_id"] == 5);
        CHECK(body["model_info"]["llama.context_length"] == 2048);
        CHECK(body["model_info"]["llama.block_count"] == 22);
        CHECK(body["model_info"]["llama.embedding_length"] == 64);
        CHECK_FALSE(body["model_info"].contains("llama.vocab_size"));
        CHECK(refusal_of(ollama::show, "{}").param == "model");
        // As Ollama's own client asks.
        const ExchangeDriver own(ollama::show, R"({"model":"tiny","system":"","template":"",
            "verbose":false,"options":null,"name":""})");
        CHECK(own.request<DescribeRequest>().model == "tiny");
        CHECK(refusal_of(ollama::show, R"({"model":"tiny","system":"s"})").param == "system");
    }

    TEST_CASE("a model with a way to pool vectors is for these") {
        ExchangeDriver d(ollama::show, R"({"model":"tiny"})");
        DescribeReply reply;
        reply.info = tiny();
        reply.metadata = {{"llama.pooling_type", "1"}};
        d.emit(reply);
        CHECK(d.end()["capabilities"] == json::parse(R"(["embedding"])"));
    }

    TEST_CASE("a model that is here is pulled, another is told how it would come here") {
        ModelsReply reply;
        reply.models = {tiny()};
        ExchangeDriver here(ollama::pull, R"({"model":"tiny:latest"})");
        here.emit(reply);
        const Answer answer = here.exchange().end();
        CHECK(std::string(answer.content_type) == "application/x-ndjson");
        CHECK(answer.body == "{\"status\":\"success\"}\n");

        ExchangeDriver other(ollama::pull, R"({"model":"huge","stream":false})");
        const Written out = other.exchange().event(0, reply);
        REQUIRE(std::holds_alternative<ApiError>(out));
        CHECK(std::get<ApiError>(out).status == 404);
        CHECK(std::get<ApiError>(out).message.starts_with("model \"huge\" not found: "));
        CHECK(refusal_of(ollama::change_models, "{}").status == 501);
    }
}

}  // namespace shoal::http::ollama_test
