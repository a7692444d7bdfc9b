#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/fake_daemon.hpp"
#include "tests/cli/process.hpp"

namespace models_test {

using namespace shoal::tests;
namespace messages = shoal::mesh::messages;

TEST_SUITE_BEGIN("cli/models");

namespace {

/// Answers each kind of request of this file.
void answer(const messages::RequestFrame& frame, const FakeDaemon::Reply& reply) {
    if (std::holds_alternative<messages::ModelsRequest>(frame.body)) {
        messages::ModelInfo story{
            "story", "abcdef0123456789", "llama", "Q8_0", 3 << 20, 2'500'000, 2048,
            true,    {"id1", "id2"},     ""};
        messages::ModelInfo other{
            "a \x1b[31mname", "ff", "qwen3", "F16", 900, 999, 512, false, {}, ""};
        reply(messages::ModelsReply{{story, other}, false});
    } else if (std::holds_alternative<messages::LoadRequest>(frame.body)) {
        reply(messages::Progress{"loading", 1, 2});
        messages::Done done;
        done.model = "story";
        done.load_seconds = 1.25;
        done.devices = 1;
        reply(done);
    } else if (std::holds_alternative<messages::TokenizeRequest>(frame.body)) {
        reply(messages::TokenizeReply{{1, 15043, 13}, {"<s>", " \"Hel\xff\\lo", "\n\t\x1b"}});
    } else {
        reply(messages::DetokenizeReply{"Hello\x1b there"});
    }
}

}  // namespace

TEST_CASE("models are listed as a table that a pipe can read") {
    FakeDaemon daemon(answer);
    const Result result = run_shoal({"models", "--socket", daemon.socket()});
    CHECK(result.code == 0);
    CHECK(result.out ==
          "NAME         ARCHITECTURE  TYPE  PARAMETERS     SIZE  CONTEXT  DEVICES  LOADED  HASH\n"
          "story        llama         Q8_0       2.5 M  3.0 MiB     2048        2  yes     "
          "abcdef012345\n"
          "a ?[31mname  qwen3         F16          1 K    900 B      512        0          ff\n");
    const auto json =
        nlohmann::json::parse(run_shoal({"models", "--json", "--socket", daemon.socket()}).out);
    CHECK(json["models"][0]["devices"] == nlohmann::json{"id1", "id2"});
    CHECK(json["models"][0]["file_bytes"] == 3 << 20);
    CHECK(json["models"][1]["loaded"] == false);
}

TEST_CASE("an empty list of models says how to get one") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        reply(messages::ModelsReply{});
    });
    const Result result = run_shoal({"models", "--socket", daemon.socket()});
    CHECK(result.code == 0);
    CHECK(result.out.starts_with("No models yet."));
}

TEST_CASE("files that cannot be used are listed with the reason, and folders still being read") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        messages::ModelInfo half;
        half.name = "half";
        half.devices = {"0123456789abcdef"};
        half.problem = "/m/half.gguf: its download ended early";
        reply(messages::ModelsReply{{half}, true});
    });
    const Result result = run_shoal({"models", "--socket", daemon.socket()});
    CHECK(result.code == 0);
    CHECK(result.out ==
          "No usable models yet.\n\nFiles that cannot be used:\n"
          "  half, on device 01234567: /m/half.gguf: its download ended early\n"
          "Folders of models are still being read; ask again for what is not here yet.\n");
    const auto json =
        nlohmann::json::parse(run_shoal({"models", "--json", "--socket", daemon.socket()}).out);
    CHECK(json["reading_models"] == true);
    CHECK(json["models"][0]["problem"] == "/m/half.gguf: its download ended early");
}

TEST_CASE("load waits until the model is ready") {
    FakeDaemon daemon(answer);
    const Result result = run_shoal({"load", "story", "--socket", daemon.socket()});
    CHECK(result.code == 0);
    CHECK(result.out == "story is ready on 1 device, after 1.25 s\n");
    CHECK(daemon.requests_of<messages::LoadRequest>().at(0).model == "story");
    CHECK(run_shoal({"load", "", "--socket", daemon.socket()}).code == 2);
}

TEST_CASE("tokens are shown with their text, or as ids alone") {
    FakeDaemon daemon(answer);
    Result result = run_shoal({"tokenize", "m", "Hello", "--socket", daemon.socket()});
    CHECK(result.code == 0);
    CHECK(result.out ==
          "      1  \"<s>\"\n  15043  \" \\\"Hel\xff\\\\lo\"\n     13  \"\\n\\t\\x1b\"\n");
    result = run_shoal({"tokenize", "m", "--ids", "--no-special", "--no-parse-special", "--socket",
                        daemon.socket()},
                       {.input = "piped\n"});
    CHECK(result.out == "1 15043 13\n");
    const auto requests = daemon.requests_of<messages::TokenizeRequest>();
    REQUIRE(requests.size() == 2);
    CHECK(requests[0].text == "Hello");
    CHECK(requests[0].add_special);
    CHECK(requests[0].parse_special);
    CHECK(requests[1].text == "piped");
    CHECK_FALSE(requests[1].add_special);
    CHECK_FALSE(requests[1].parse_special);
}

TEST_CASE("ids come from arguments or standard input") {
    FakeDaemon daemon(answer);
    Result result = run_shoal({"detokenize", "m", "1", "2", "--socket", daemon.socket()});
    CHECK(result.code == 0);
    CHECK(result.out == "Hello\x1b there\n");
    result = run_shoal({"detokenize", "m", "--socket", daemon.socket()}, {.input = " 3,4\n5 \n"});
    CHECK(result.code == 0);
    const auto requests = daemon.requests_of<messages::DetokenizeRequest>();
    REQUIRE(requests.size() == 2);
    CHECK(requests[0].ids == std::vector<std::int32_t>{1, 2});
    CHECK(requests[1].ids == std::vector<std::int32_t>{3, 4, 5});
    for (const char* id : {"x", "1.5", "2147483648", "-3"}) {
        result = run_shoal({"detokenize", "m", "--socket", daemon.socket(), "--", id});
        CHECK(result.code == 2);
        CHECK(result.err.find("is not a token id") != std::string::npos);
    }
}

TEST_SUITE_END();

}  // namespace models_test
