#include "daemon/engine/generation.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/daemon/support.hpp"

namespace generation_test {

using namespace shoal;
using namespace shoal::tests;
using mesh::messages::Done;
using mesh::messages::ErrorCode;
using mesh::messages::Failed;
using mesh::messages::StopReason;

namespace {

const OpenModel& tiny() {
    static const auto model = open_model(tiny_model());
    return *model;
}

std::variant<std::unique_ptr<Generation>, Failed> try_begin(mesh::messages::Generate request,
                                                            Generation::Room room = {64, 0}) {
    return Generation::begin(job_of(7, std::move(request)), tiny(), room);
}

std::unique_ptr<Generation> begun(mesh::messages::Generate request,
                                  Generation::Room room = {64, 0}) {
    auto result = try_begin(std::move(request), room);
    REQUIRE(std::holds_alternative<std::unique_ptr<Generation>>(result));
    return std::move(std::get<0>(result));
}

Failed refused(mesh::messages::Generate request, Generation::Room room = {64, 0}) {
    auto result = try_begin(std::move(request), room);
    REQUIRE(std::holds_alternative<Failed>(result));
    return std::get<Failed>(result);
}

std::int32_t token_of(const std::string& text) {
    const auto ids = tiny().tokenizer->encode(text, {false, false});
    REQUIRE(ids.size() == 1);
    return ids[0];
}

std::int32_t end_token() {
    for (std::int32_t id = 0;; ++id) {
        REQUIRE(id < static_cast<std::int32_t>(tiny().tokenizer->size()));
        if (tiny().tokenizer->is_end(id)) return id;
    }
}

mesh::messages::Generate with_ids(std::vector<std::int32_t> ids, std::uint32_t max_tokens) {
    auto request = greedy("", max_tokens);
    request.prompt_ids = std::move(ids);
    return request;
}

mesh::messages::Generate with_grammar(const std::string& gbnf) {
    auto request = with_ids({1, 2}, 20);
    request.ignore_eos = false;
    request.constraint = {mesh::messages::Constraint::Kind::gbnf, gbnf};
    return request;
}

bool may_follow(Generation& g, const std::string& text) {
    REQUIRE(g.sequence().allowed);
    return (*g.sequence().allowed)[static_cast<std::size_t>(token_of(text))];
}

}  // namespace

TEST_SUITE("Generation") {
    TEST_CASE("max_tokens ends it") {
        auto g = begun(with_ids({1, 2}, 2));
        CHECK(g->most_positions() == 4);
        CHECK(g->accept(token_of("a")).text == "a");
        CHECK_FALSE(g->finished());
        CHECK(g->accept(token_of("b")).index == 1);
        REQUIRE(g->finished());
        const Done done = g->done("m", 3);
        CHECK(done.reason == StopReason::length);
        CHECK(done.prompt_tokens == 2);
        CHECK(done.generated_tokens == 2);
        CHECK(done.devices == 3);
        CHECK(done.model == "m");
    }

    TEST_CASE("what has no answer may fill the context, and reserves no more than its prompt") {
        auto request = with_ids(std::vector<std::int32_t>(8, 1), 5);
        request.task = mesh::messages::Task::read;
        CHECK(begun(request, {8, 0})->most_positions() == 8);
        request.prompt_ids.push_back(1);
        CHECK(refused(request, {8, 0}).code == ErrorCode::context_length);
        request.prompt_ids = {1};
        request.resume_ids = {1};
        CHECK(refused(request).message.find("resume_ids") != std::string::npos);
    }

    TEST_CASE("the model file says how a vector is made, or that none is") {
        auto request = with_ids({1, 2}, 0);
        request.task = mesh::messages::Task::embed;
        OpenModel model;
        model.hparams = tiny().hparams;
        model.tokenizer = model::Tokenizer::from_header(tiny().source->header());
        const auto begin = [&](std::uint32_t pooling_type) {
            model.hparams.pooling_type = pooling_type;
            return Generation::begin(job_of(7, request), model, {64, 0});
        };
        for (const std::uint32_t known : {0U, 1U, 2U, 3U}) CHECK(begin(known).index() == 0);
        const auto refusal = begin(4);
        REQUIRE(std::holds_alternative<Failed>(refusal));
        CHECK(std::get<Failed>(refusal).code == ErrorCode::bad_request);
        CHECK(std::get<Failed>(refusal).message.find("llama.pooling_type 4") != std::string::npos);
    }

    TEST_CASE("without max_tokens the context is the limit, as it is for a larger one") {
        for (const std::uint32_t max_tokens : {0U, 1000U, ~0U}) {
            auto g = begun(with_ids({1, 2, 3}, max_tokens), {8, 0});
            CHECK(g->most_positions() == 8);
            for (int i = 0; i < 5; ++i) {
                CHECK_FALSE(g->finished());
                static_cast<void>(g->accept(token_of("a")));
            }
            REQUIRE(g->finished());
            CHECK(g->done("", 1).reason == StopReason::length);
        }
    }

    TEST_CASE("a prompt that leaves no room for an answer is refused with the numbers") {
        const auto failed = refused(with_ids(std::vector<std::int32_t>(8, 1), 1), {8, 0});
        CHECK(failed.code == ErrorCode::context_length);
        CHECK(failed.message.find('8') != std::string::npos);
        CHECK(begun(with_ids(std::vector<std::int32_t>(7, 1), 1), {8, 0})->prompt_tokens() == 7);
    }

    TEST_CASE("a prompt beyond models.max_prompt_tokens is refused with the key's name") {
        const auto failed = refused(with_ids({1, 2, 3, 4}, 1), {64, 3});
        CHECK(failed.code == ErrorCode::context_length);
        CHECK(failed.message.find("max_prompt_tokens") != std::string::npos);
        CHECK(begun(with_ids({1, 2, 3}, 1), {64, 3})->prompt_tokens() == 3);
    }

    TEST_CASE("a text is read no further than it takes to see that it is too long") {
        const std::string text(std::size_t{4} << 20, 'x');
        for (const Generation::Room room : {Generation::Room{64, 0}, Generation::Room{64, 3}}) {
            const auto failed = refused(greedy(text, 1), room);
            CHECK(failed.code == ErrorCode::context_length);
            CHECK(failed.message.find("at least") != std::string::npos);
            CHECK(failed.message.find(room.max_prompt_tokens == 0 ? "64" : "max_prompt_tokens") !=
                  std::string::npos);
            const auto number = failed.message.find_first_of("0123456789");
            CHECK(std::stoul(failed.message.substr(number)) < text.size() / 8);
        }
    }

    TEST_CASE("what was generated before is no part of the prompt") {
        CHECK(begun(with_ids({1, 2, 3}, 9))->sequence().prompt == 0);
        auto request = with_ids({1, 2, 3}, 9);
        request.resume_ids = {4, 5};
        const auto resumed = begun(std::move(request));
        CHECK(resumed->sequence().tokens.size() == 5);
        CHECK(resumed->sequence().prompt == 3);
    }

    TEST_CASE("a stop gives up the prompt and the replay") {
        std::stop_source source;
        source.request_stop();
        for (const bool text : {true, false}) {
            auto request = text ? greedy("hello", 1) : with_ids({1, 2}, 9);
            if (!text) request.resume_ids = {3, 4};
            auto result = Generation::begin(job_of(7, std::move(request)), tiny(), {64, 0},
                                            source.get_token());
            REQUIRE(std::holds_alternative<Failed>(result));
            CHECK(std::get<Failed>(result).code == ErrorCode::cancelled);
        }
    }

    TEST_CASE("ids that the model does not have are refused by name") {
        const auto vocab = static_cast<std::int32_t>(tiny().hparams.n_vocab);
        for (const std::int32_t wrong : {-1, vocab, 2'000'000'000}) {
            const auto in_prompt = refused(with_ids({1, wrong}, 1));
            CHECK(in_prompt.code == ErrorCode::bad_request);
            CHECK(in_prompt.message.find("prompt") != std::string::npos);
            CHECK(in_prompt.message.find(std::to_string(wrong)) != std::string::npos);
            auto resumed = with_ids({1}, 5);
            resumed.resume_ids = {1, wrong};
            CHECK(refused(resumed).message.find("resume_ids") != std::string::npos);
        }
        CHECK(begun(with_ids({0, vocab - 1}, 1))->prompt_tokens() == 2);
    }

    TEST_CASE("an empty prompt is the token that begins texts") {
        auto g = begun(greedy("", 1));
        CHECK(g->sequence().tokens == std::vector<std::int32_t>{*tiny().tokenizer->bos()});
    }

    TEST_CASE("an end token ends it, unless that is to be ignored") {
        auto request = with_ids({1}, 10);
        request.ignore_eos = false;
        auto g = begun(request);
        const auto token = g->accept(end_token());
        CHECK(token.text.empty());
        REQUIRE(g->finished());
        CHECK(g->done("", 1).reason == StopReason::end);

        request.ignore_eos = true;
        auto stubborn = begun(request);
        static_cast<void>(stubborn->accept(end_token()));
        CHECK_FALSE(stubborn->finished());
    }

    TEST_CASE("a stop string ends it and what was held back is not shown") {
        auto request = with_ids({1}, 10);
        request.stop = {"ab"};
        auto g = begun(request);
        CHECK(g->accept(token_of("a")).text.empty());
        CHECK(g->accept(token_of("b")).text.empty());
        REQUIRE(g->finished());
        const Done done = g->done("", 1);
        CHECK(done.reason == StopReason::stop);
        CHECK(done.text.empty());
    }

    TEST_CASE("what a stop string holds back is shown when it ends for another reason") {
        auto request = with_ids({1}, 1);
        request.stop = {"ab"};
        auto g = begun(request);
        CHECK(g->accept(token_of("a")).text.empty());
        REQUIRE(g->finished());
        CHECK(g->done("", 1).text == "a");

        request.max_tokens = 5;
        auto cancelled = begun(request);
        static_cast<void>(cancelled->accept(token_of("a")));
        cancelled->cancel();
        REQUIRE(cancelled->finished());
        const Done done = cancelled->done("", 1);
        CHECK(done.reason == StopReason::cancelled);
        CHECK(done.text == "a");
    }

    TEST_CASE("resumed at any token it goes on with the same numbers and the same text") {
        auto request = with_ids({1, 2}, 12);
        request.stop = {"lo w"};
        std::vector<std::int32_t> ids;
        for (const char c : std::string("hello lo \xC3\xA9lo wx")) {
            for (std::int32_t id = 0; id < static_cast<int>(tiny().tokenizer->size()); ++id) {
                if (tiny().tokenizer->piece(id) != std::string_view(&c, 1)) continue;
                ids.push_back(id);
                break;
            }
        }
        request.max_tokens = 40;
        std::vector<mesh::messages::Token> tokens;
        auto whole = begun(request);
        for (std::size_t i = 0; !whole->finished(); ++i) {
            REQUIRE(i < ids.size());
            tokens.push_back(whole->accept(ids[i]));
        }
        const Done end = whole->done("", 1);
        CHECK(end.reason == StopReason::stop);

        for (std::size_t split = 0; split < tokens.size(); ++split) {
            CAPTURE(split);
            auto moved = request;
            moved.resume_ids.assign(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(split));
            auto g = begun(moved);
            CHECK(g->prompt_tokens() == 2);
            CHECK(g->sequence().tokens.size() == 2 + split);
            for (std::size_t i = split; i < tokens.size(); ++i) {
                REQUIRE_FALSE(g->finished());
                const auto token = g->accept(ids[i]);
                CHECK(token.index == tokens[i].index);
                CHECK(token.text == tokens[i].text);
            }
            REQUIRE(g->finished());
            CHECK(g->done("", 1).reason == end.reason);
            CHECK(g->done("", 1).generated_tokens == end.generated_tokens);
        }
    }

    TEST_CASE("an answer that a grammar holds may go on with what the grammar wants next") {
        auto g = begun(with_grammar("root ::= \"ab\" | \"cd\""));
        CHECK(may_follow(*g, "a"));
        CHECK(may_follow(*g, "c"));
        CHECK_FALSE(may_follow(*g, "b"));
        CHECK_FALSE((*g->sequence().allowed)[static_cast<std::size_t>(end_token())]);
        CHECK(g->accept(token_of("a")).text == "a");
        CHECK(may_follow(*g, "b"));
        CHECK_FALSE(may_follow(*g, "d"));
        CHECK_FALSE(g->finished());
        // Nothing can follow: no end token is needed.
        static_cast<void>(g->accept(token_of("b")));
        REQUIRE(g->finished());
        CHECK_FALSE(g->failed());
        CHECK(g->done("", 1).reason == StopReason::end);
    }

    TEST_CASE("end tokens are allowed exactly where the grammar may end") {
        const auto end = static_cast<std::size_t>(end_token());
        auto g = begun(with_grammar("root ::= \"a\"+"));
        CHECK_FALSE((*g->sequence().allowed)[end]);
        static_cast<void>(g->accept(token_of("a")));
        CHECK((*g->sequence().allowed)[end]);
        CHECK(may_follow(*g, "a"));
        CHECK_FALSE(g->finished());
        static_cast<void>(g->accept(static_cast<std::int32_t>(end)));
        REQUIRE(g->finished());
        CHECK(g->done("", 1).reason == StopReason::end);
    }

    TEST_CASE("a JSON schema holds an answer to its JSON") {
        auto request = with_grammar("{\"type\": \"boolean\"}");
        request.constraint.kind = mesh::messages::Constraint::Kind::json_schema;
        auto g = begun(request);
        CHECK(may_follow(*g, "t"));
        CHECK(may_follow(*g, "f"));
        CHECK_FALSE(may_follow(*g, "n"));
    }

    TEST_CASE("a grammar that is none is refused with what is wrong, as are contradictions") {
        const Failed wrong = refused(with_grammar("root ::= \"a"));
        CHECK(wrong.code == ErrorCode::bad_request);
        CHECK(wrong.message.find("the grammar: ") == 0);
        auto request = with_grammar("[1");
        request.constraint.kind = mesh::messages::Constraint::Kind::json_schema;
        CHECK(refused(request).message.find("the JSON schema: ") == 0);
        request = with_grammar("root ::= \"a\"");
        request.ignore_eos = true;
        CHECK(refused(request).message.find("ignore_eos") != std::string::npos);
        request.ignore_eos = false;
        request.task = mesh::messages::Task::read;
        CHECK(refused(request).code == ErrorCode::bad_request);
    }

    TEST_CASE("a constrained answer goes on elsewhere where it was in its grammar") {
        auto request = with_grammar("root ::= \"abc\"");
        request.resume_ids = {token_of("a")};
        auto g = begun(request);
        CHECK(may_follow(*g, "b"));
        CHECK_FALSE(may_follow(*g, "a"));
        request.resume_ids.push_back(token_of("b"));
        request.resume_ids.push_back(token_of("c"));
        REQUIRE(begun(request)->finished());
        CHECK(begun(request)->done("", 1).reason == StopReason::end);
        request.resume_ids.push_back(token_of("c"));
        CHECK(refused(request).code == ErrorCode::internal);
    }

    TEST_CASE("one that was over when it moved is finished at once, for the same reason") {
        auto request = with_ids({1}, 3);
        request.resume_ids = {token_of("a"), token_of("b"), token_of("c")};
        CHECK(begun(request)->done("", 1).reason == StopReason::length);

        request.max_tokens = 10;
        request.stop = {"bc"};
        CHECK(begun(request)->done("", 1).reason == StopReason::stop);

        request.stop.clear();
        request.ignore_eos = false;
        request.resume_ids.push_back(end_token());
        CHECK(begun(request)->done("", 1).reason == StopReason::end);

        // The context of the new plan may be shorter than what was generated.
        request.resume_ids.assign(20, token_of("a"));
        request.max_tokens = 0;
        const auto g = begun(request, {8, 0});
        REQUIRE(g->finished());
        CHECK(g->done("", 1).reason == StopReason::length);
        CHECK(g->most_positions() <= 8);
    }
}

}  // namespace generation_test
