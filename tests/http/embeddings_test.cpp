#include "daemon/http/dialects/openai/embeddings.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/http/dialects/openai/openai.hpp"
#include "tests/http/exchange_driver.hpp"

namespace shoal::http::embeddings_test {
namespace {

using namespace mesh::messages;
using namespace test;
using nlohmann::json;

Done vector_of(std::vector<float> vector) {
    Done done = done_of();
    done.embedding = std::move(vector);
    return done;
}

ApiError error_with(const std::string& fields) {
    return refusal_of(openai::embeddings, R"({"input":"a",)" + fields + "}");
}

}  // namespace

TEST_SUITE("embeddings") {
    TEST_CASE("each input is a request, and its vector has length 1") {
        ExchangeDriver d(openai::embeddings,
                         R"({"model":"m","input":["a","b"],"encoding_format":"float","user":"u",
                              "priority":4})");
        CHECK(d.request(1).priority == 4);
        REQUIRE(d.exchange().parts() == 2);
        CHECK(d.request(1).task == Task::embed);
        CHECK(d.request(1).prompt == "b");
        CHECK(d.request(1).model == "m");
        d.emit(vector_of({0, 2}), 1);
        d.emit(vector_of({3, 4}), 0);
        CHECK(d.end() == json::parse(R"({"object":"list","data":[
            {"object":"embedding","index":0,"embedding":[0.6,0.8]},
            {"object":"embedding","index":1,"embedding":[0,1]}],
            "model":"tiny-q4","usage":{"prompt_tokens":6,"total_tokens":6}})"));
    }

    TEST_CASE("token ids are inputs as well, alone or several") {
        CHECK(ExchangeDriver(openai::embeddings, R"({"input":[1,2]})").request().prompt_ids ==
              std::vector<std::int32_t>{1, 2});
        ExchangeDriver two(openai::embeddings, R"({"input":[[1,2],[3]]})");
        CHECK(two.exchange().parts() == 2);
        CHECK(two.request(1).prompt_ids == std::vector<std::int32_t>{3});
    }

    TEST_CASE("base64 is the bytes of little-endian float32") {
        const struct {
            std::vector<float> vector;
            const char* text;
        } expected[] = {
            {{1}, "AACAPw=="}, {{1, 0}, "AACAPwAAAAA="}, {{1, 0, 0}, "AACAPwAAAAAAAAAA"}};
        for (const auto& [vector, text] : expected) {
            ExchangeDriver d(openai::embeddings, R"({"input":"a","encoding_format":"base64"})");
            d.emit(vector_of(vector));
            CHECK(d.end()["data"][0]["embedding"] == text);
        }
    }

    TEST_CASE("fewer dimensions are the first ones, again of length 1") {
        ExchangeDriver d(openai::embeddings, R"({"input":"a","dimensions":2})");
        d.emit(vector_of({3, 4, 12}));
        CHECK(d.end()["data"][0]["embedding"] == json::parse("[0.6,0.8]"));
        ExchangeDriver beyond(openai::embeddings, R"({"input":"a","dimensions":4})");
        const Written written = beyond.exchange().event(0, vector_of({3, 4, 12}));
        REQUIRE(std::holds_alternative<ApiError>(written));
        CHECK(std::get<ApiError>(written).param == "dimensions");
        CHECK(std::get<ApiError>(written).message == "dimensions is 4; the model's vectors have 3");
    }

    TEST_CASE("a vector that has no length stays as it is") {
        CHECK(openai::unit_vector({0, 0}, 0) == std::vector<float>{0, 0});
    }

    TEST_CASE("what is wrong is named") {
        CHECK(refusal_of(openai::embeddings, "{}").message == "input is missing");
        for (const char* input : {"\"\"", "[]", "[\"a\",\"\"]", "7", "[\"a\",1]", "[[]]"}) {
            CHECK(refusal_of(openai::embeddings, std::string(R"({"input":)") + input + "}").param ==
                  "input");
        }
        CHECK(error_with(R"("encoding_format":"hex")").param == "encoding_format");
        CHECK(error_with(R"("dimensions":0)").param == "dimensions");
        CHECK(error_with(R"("dimensions":65537)").param == "dimensions");
        CHECK(error_with(R"("truncate":true)").param == "truncate");
        std::string inputs = "\"a\"";
        for (std::size_t i = 1; i < openai::kMaxInputs; ++i) inputs += ",\"a\"";
        CHECK(ExchangeDriver(openai::embeddings, R"({"input":[)" + inputs + "]}")
                  .exchange()
                  .parts() == openai::kMaxInputs);
        CHECK(refusal_of(openai::embeddings, R"({"input":[)" + inputs + ",\"a\"]}").message ==
              "there are 2049 inputs; at most 2048 are allowed");
        // No vector, or one of no numbers.
        for (const std::vector<float>& vector :
             {std::vector<float>{}, {0.F, std::numeric_limits<float>::infinity()}}) {
            ExchangeDriver d(openai::embeddings, R"({"input":"a"})");
            CHECK(std::holds_alternative<ApiError>(d.exchange().event(0, vector_of(vector))));
        }
    }
}

}  // namespace shoal::http::embeddings_test
