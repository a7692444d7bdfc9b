#include "daemon/requests/texts.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <utility>
#include <vector>

#include "tests/daemon/requests/scripted_ports.hpp"

using namespace shoal;
using namespace shoal::tests;
using namespace mesh::messages;
using std::chrono::milliseconds;

namespace {

struct Fixture {
    VirtualTime time;
    VirtualLoop loop{time};
    VirtualBackground work{time, milliseconds(10)};
    ScriptedPorts ports;
    std::vector<std::pair<Origin, Event>> replies;
    Texts texts{loop, work, ports, [this](const Origin& origin, const Event& event) {
                    replies.emplace_back(origin, event);
                }};
    const std::shared_ptr<const OpenModel> model = open_model(tiny_model());
    const Origin seven{device_id(2), 7};

    void ask(const Origin& origin, const std::string& text) {
        texts.answer(origin, TokenizeRequest{"tiny", text, false, true},
                     {model->hash, "tiny", 1000});
    }
    std::size_t tokens(std::size_t reply) {
        return std::get<TokenizeReply>(replies.at(reply).second).ids.size();
    }
    std::size_t tokens_of(const std::string& text) {
        return model->tokenizer->encode(text, {.add_special = false}).size();
    }
    // The vocabulary that was asked for longest comes.
    void opened() {
        const auto done = std::move(ports.vocabularies.at(0));
        ports.vocabularies.erase(ports.vocabularies.begin());
        done(model, "");
    }
};

}  // namespace

TEST_SUITE("Texts") {
    TEST_CASE_FIXTURE(Fixture, "a vocabulary is got once, and texts are answered in turn") {
        ask(seven, "hello");
        CHECK(ports.vocabularies.size() == 1);
        opened();
        time.pass(milliseconds(10));
        REQUIRE(replies.size() == 1);
        CHECK(tokens(0) == tokens_of("hello"));
        ask(seven, "a");
        ask({device_id(1), 7}, "b");
        CHECK(ports.vocabularies.empty());
        time.pass(milliseconds(10));
        CHECK(replies.size() == 2);
        time.pass(milliseconds(10));
        CHECK(replies.size() == 3);
        CHECK_FALSE(texts.stop(seven));
    }

    TEST_CASE_FIXTURE(Fixture, "a text that is stopped says nothing, wherever it is") {
        ask(seven, "hello");
        CHECK(texts.stop(seven));
        opened();
        ask(seven, "hello");
        CHECK(ports.vocabularies.size() == 1);  // a stopped one's is not kept
        opened();
        CHECK(texts.stop(seven));
        ask(seven, "hello");
        ask({device_id(3), 1}, "hello");
        texts.stop_if([](const Origin& origin) { return origin.device == device_id(2); });
        time.pass(milliseconds(100));
        REQUIRE(replies.size() == 1);
        CHECK(replies[0].first == Origin{device_id(3), 1});
    }

    TEST_CASE_FIXTURE(Fixture, "a text that is asked anew is answered once, as asked last") {
        ask(seven, "hello");
        ask(seven, "hello hello");
        opened();
        opened();
        time.pass(milliseconds(100));
        REQUIRE(replies.size() == 1);
        CHECK(tokens(0) == tokens_of("hello hello"));
        ask(seven, "hello");
        ask(seven, "hello hello");
        time.pass(milliseconds(100));
        REQUIRE(replies.size() == 2);
        CHECK(tokens(1) == tokens_of("hello hello"));
    }

    TEST_CASE_FIXTURE(Fixture, "a model that cannot be had is told, and its text is over") {
        ask(seven, "hello");
        ports.vocabularies.at(0)(nullptr, "no device has it");
        REQUIRE(replies.size() == 1);
        CHECK(code_of(replies[0].second) == ErrorCode::not_found);
        CHECK_FALSE(texts.stop(seven));
    }

    TEST_CASE_FIXTURE(Fixture, "only so many may wait, whatever for") {
        for (std::uint64_t id = 0; id < Texts::kMaxTexts; ++id) ask({device_id(2), id}, "x");
        CHECK(replies.empty());
        ask({device_id(3), 0}, "x");
        REQUIRE(replies.size() == 1);
        CHECK(code_of(replies[0].second) == ErrorCode::busy);
        ask(seven, "y");  // instead of its own
        CHECK(replies.size() == 1);
        texts.stop(seven);
        ask({device_id(3), 0}, "x");
        CHECK(replies.size() == 1);
    }
}
