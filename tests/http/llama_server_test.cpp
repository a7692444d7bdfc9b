#include "daemon/http/dialects/llama_server/llama_server.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/http/dialects/llama_server/completion.hpp"
#include "tests/http/exchange_driver.hpp"

namespace shoal::http::llama_server_test {
namespace {

using namespace mesh::messages;
using namespace test;
using nlohmann::json;

Generate completion_with(const std::string& fields) {
    return ExchangeDriver(llama_server::completion, R"({"prompt":"Hi",)" + fields + "}").request();
}
std::string fault_of(const std::string& fields) {
    return refusal_of(llama_server::completion, R"({"prompt":"Hi",)" + fields + "}").param;
}

Token numbered(const char* text, std::int32_t id) {
    Token token = token_of(text);
    token.id = id;
    return token;
}

}  // namespace

TEST_SUITE("llama-server completions") {
    TEST_CASE("the fields of a completion are the service's") {
        const Generate g = completion_with(R"("n_predict":5,"temperature":0.5,"seed":3,
            "repeat_last_n":-1,"stop":["x"],"grammar":"root ::= \"a\"","cache_prompt":true,
            "n_probs":0,"id_slot":-1,"mirostat":0,"dry_multiplier":0.0,"dry_base":1.75,
            "model":"tiny","priority":-1)");
        CHECK(g.prompt == "Hi");
        CHECK(g.model == "tiny");
        CHECK(g.priority == -1);
        CHECK(g.cache_prompt);
        CHECK_FALSE(completion_with(R"("cache_prompt":false)").cache_prompt);
        CHECK(g.max_tokens == 5);
        CHECK(g.sampling.temperature == 0.5F);
        CHECK(g.sampling.seed == 3);
        CHECK(g.sampling.penalty_last_n > 1'000'000);
        CHECK(g.stop == std::vector<std::string>{"x"});
        CHECK(g.constraint == Constraint{Constraint::Kind::gbnf, "root ::= \"a\""});
        CHECK(completion_with(R"("json_schema":{"type":"array"})").constraint ==
              Constraint{Constraint::Kind::json_schema, R"({"type":"array"})"});
        CHECK(completion_with(R"("n_predict":-1)").max_tokens == 0);
        CHECK(completion_with(R"("n_predict":-1)").task == Task::answer);
        CHECK(completion_with(R"("n_predict":0)").task == Task::read);
        const ExchangeDriver ids(llama_server::completion, R"({"prompt":[1,2]})");
        CHECK(ids.request().prompt_ids == std::vector<std::int32_t>{1, 2});
    }

    TEST_CASE("what cannot be honoured is named") {
        CHECK(fault_of(R"("warp":1)") == "warp");
        CHECK(fault_of(R"("n_predict":-3)") == "n_predict");
        CHECK(fault_of(R"("n_probs":3)") == "n_probs");
        CHECK(fault_of(R"("dynatemp_range":0.5)") == "dynatemp_range");
        CHECK(fault_of(R"("cache_prompt":1)") == "cache_prompt");
        CHECK(fault_of(R"("lora":[{"id":0,"scale":1}])") == "lora");
        CHECK(fault_of(R"("grammar":"a","json_schema":{})") == "grammar");
        for (const char* body : {R"({"prompt":["a","b"]})", R"({"prompt":[1,"a"]})",
                                 R"({"prompt":[]})", R"({"n_predict":1})"}) {
            CHECK(refusal_of(llama_server::completion, body).param == "prompt");
        }
    }

    TEST_CASE("a whole answer says why it stopped and how long it took") {
        ExchangeDriver d(llama_server::completion,
                         R"({"prompt":"Hi","return_tokens":true,"seed":4})");
        d.emit(numbered("a", 7));
        d.emit(numbered("b", 8));
        Done done = done_of(StopReason::stop);
        done.stopped_by = "x";
        done.text = "!";
        done.prefill_seconds = 0.5;
        done.decode_seconds = 1;
        d.emit(done);
        const json body = d.end();
        CHECK(body["content"] == "ab!");
        CHECK(body["tokens"] == json::array({7, 8}));
        CHECK(body["stop"] == true);
        CHECK(body["stop_type"] == "word");
        CHECK(body["stopping_word"] == "x");
        CHECK(body["model"] == "tiny-q4");
        CHECK(body["tokens_predicted"] == 2);
        CHECK(body["tokens_evaluated"] == 3);
        CHECK(body["tokens_cached"] == 1);
        CHECK(body["timings"]["cache_n"] == 1);
        CHECK(body["timings"]["prompt_n"] == 2);
        CHECK(body["timings"]["prompt_ms"] == 500);
        CHECK(body["timings"]["predicted_per_second"] == 2);
        CHECK(body["generation_settings"]["seed"] == 4);
        CHECK(body["generation_settings"]["n_predict"] == -1);
    }

    TEST_CASE("a prompt that is only read is told in the end alone") {
        ExchangeDriver d(llama_server::completion, R"({"prompt":"Hi","n_predict":0})");
        d.emit(PromptTokens{});
        d.emit(done_of(StopReason::length));
        const json body = d.end();
        CHECK(body["content"] == "");
        CHECK(body["tokens_evaluated"] == 3);
        CHECK(body["stop_type"] == "limit");
    }

    TEST_CASE("a stream has pieces and ends with the one that says stop") {
        ExchangeDriver d(llama_server::completion, R"({"prompt":"Hi","stream":true})");
        CHECK(std::string(d.exchange().stream_type()) == "text/event-stream");
        d.emit(numbered("a", 7));
        d.emit(done_of(StopReason::length));
        const auto events = d.end_stream();
        REQUIRE(events.size() == 2);
        CHECK(events[0]["content"] == "a");
        CHECK(events[0]["tokens"] == json::array({7}));
        CHECK(events[0]["stop"] == false);
        CHECK(events[1]["content"] == "");
        CHECK(events[1]["stop"] == true);
        CHECK(events[1]["stop_type"] == "limit");
        const std::string broken =
            d.exchange().break_off(api_error({ErrorCode::unavailable, "lost a device"}));
        CHECK(broken.find("lost a device") != std::string::npos);
        CHECK(broken.find("[DONE]") == std::string::npos);
    }

    TEST_CASE("what stands between two texts is made") {
        const ExchangeDriver d(
            llama_server::infill,
            R"({"input_prefix":"a","input_suffix":"c","prompt":"b","input_extra":[]})");
        CHECK(d.request().prompt == "ab");
        CHECK(d.request().suffix == "c");
        CHECK(refusal_of(llama_server::infill, R"({"input_prefix":"a"})").param == "input_suffix");
        CHECK(refusal_of(llama_server::infill,
                         R"({"input_prefix":"a","input_suffix":"b","input_extra":[{}]})")
                  .param == "input_extra");
    }
}

TEST_SUITE("llama-server models") {
    TEST_CASE("a template's prompt of a conversation") {
        ExchangeDriver d(llama_server::apply_template,
                         R"({"messages":[{"role":"user","content":"Hi"}],"model":"tiny"})");
        const auto request = d.request<TokenizeRequest>();
        CHECK(request.model == "tiny");
        CHECK(json::parse(request.chat)["messages"][0]["content"] == "Hi");
        TokenizeReply reply;
        reply.text = "<user>Hi";
        d.emit(reply);
        CHECK(d.end() == json{{"prompt", "<user>Hi"}});
        CHECK(refusal_of(llama_server::apply_template, "{}").param == "messages");
    }

    TEST_CASE("properties have the context that the loaded model has here") {
        for (const bool loaded : {false, true}) {
            ExchangeDriver d(llama_server::props, "");
            REQUIRE(d.exchange().parts() == 2);
            CHECK(d.request<DescribeRequest>(0).model.empty());
            DescribeReply model;
            model.info.name = "tiny";
            model.info.hash = "abc";
            model.info.context = 4096;
            model.chat_template = "T";
            model.bos = "<s>";
            model.eos = "</s>";
            StatusReply status;
            status.version = "1.2";
            status.model_hash = loaded ? "abc" : "";
            status.context = 512;
            status.parallel = 4;
            d.emit(status, 1);
            d.emit(model, 0);
            const json body = d.end();
            CHECK(body["default_generation_settings"]["n_ctx"] == (loaded ? 512 : 4096));
            CHECK(body["model_alias"] == "tiny");
            CHECK(body["chat_template"] == "T");
            CHECK(body["bos_token"] == "<s>");
            CHECK(body["eos_token"] == "</s>");
            CHECK(body["total_slots"] == 4);
            CHECK(body["build_info"] == "shoal 1.2");
            CHECK(body["modalities"]["vision"] == false);
        }
    }

    TEST_CASE("slots are busy as requests run") {
        ExchangeDriver d(llama_server::slots, "");
        StatusReply status;
        status.running = 1;
        status.parallel = 4;
        status.context = 512;
        d.emit(status);
        const json body = d.end();
        REQUIRE(body.size() == 4);
        CHECK(body[0]["is_processing"] == true);
        CHECK(body[1]["is_processing"] == false);
        CHECK(body[3]["n_ctx"] == 512);
    }
}

}  // namespace shoal::http::llama_server_test
