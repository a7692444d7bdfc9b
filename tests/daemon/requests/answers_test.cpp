#include "daemon/requests/answers.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/daemon/requests/scripted_ports.hpp"

namespace answers_test {

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
    Answers answers{loop, work, [this](const Origin& origin, const Event& event) {
                        replies.emplace_back(origin, event);
                    }};
    std::vector<RequestPorts::Opened> openings;
    const std::shared_ptr<const OpenModel> model = open_model(tiny_model());
    const Origin seven{device_id(2), 7};

    // The answer is a text.
    void ask(const Origin& origin, const std::string& text) {
        answers.begin(
            origin, [this](RequestPorts::Opened done) { openings.push_back(std::move(done)); },
            [text](std::shared_ptr<const OpenModel>) -> Answers::Work {
                return [text](const std::stop_token&) {
                    if (text == "throw") throw std::runtime_error("it cannot be");
                    return DetokenizeReply{text};
                };
            });
    }
    // The model that was asked for longest comes.
    void opened() {
        const auto done = std::move(openings.at(0));
        openings.erase(openings.begin());
        done(model, "");
    }
    std::string text(std::size_t reply) {
        return std::get<DetokenizeReply>(replies.at(reply).second).text;
    }
};

}  // namespace

TEST_SUITE("Answers") {
    TEST_CASE_FIXTURE(Fixture, "a model is opened, then the answer worked out elsewhere") {
        ask(seven, "hello");
        time.pass(milliseconds(100));
        CHECK(replies.empty());
        opened();
        CHECK(replies.empty());
        CHECK(answers.pending() == 1);
        time.pass(milliseconds(10));
        REQUIRE(replies.size() == 1);
        CHECK(replies[0].first == seven);
        CHECK(text(0) == "hello");
        CHECK(answers.pending() == 0);
        CHECK_FALSE(answers.stop(seven));
    }

    TEST_CASE_FIXTURE(Fixture, "one that is stopped says nothing, wherever it is") {
        ask(seven, "hello");
        CHECK(answers.stop(seven));
        opened();
        ask(seven, "hello");
        opened();
        CHECK(answers.stop(seven));
        ask(seven, "hello");
        opened();
        ask({device_id(3), 1}, "hello");
        opened();
        answers.stop_if([](const Origin& origin) { return origin.device == device_id(2); });
        time.pass(milliseconds(100));
        REQUIRE(replies.size() == 1);
        CHECK(replies[0].first == Origin{device_id(3), 1});
    }

    TEST_CASE_FIXTURE(Fixture, "one that is asked anew is answered once, as asked last") {
        ask(seven, "first");
        ask(seven, "second");
        opened();
        opened();
        time.pass(milliseconds(100));
        REQUIRE(replies.size() == 1);
        CHECK(text(0) == "second");
        ask(seven, "third");
        opened();
        ask(seven, "fourth");
        opened();
        time.pass(milliseconds(100));
        REQUIRE(replies.size() == 2);
        CHECK(text(1) == "fourth");
    }

    TEST_CASE_FIXTURE(Fixture, "a model that cannot be had is told, and work that fails") {
        ask(seven, "hello");
        openings.at(0)(nullptr, "no device has it");
        REQUIRE(replies.size() == 1);
        CHECK(code_of(replies[0].second) == ErrorCode::not_found);
        CHECK_FALSE(answers.stop(seven));
        openings.clear();
        ask(seven, "throw");
        opened();
        time.pass(milliseconds(10));
        REQUIRE(replies.size() == 2);
        CHECK(code_of(replies[1].second) == ErrorCode::internal);
        CHECK(answers.pending() == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "only so many may wait, whatever for") {
        for (std::uint64_t id = 0; id < Answers::kMaxPending; ++id) ask({device_id(2), id}, "x");
        CHECK(replies.empty());
        ask({device_id(3), 0}, "x");
        REQUIRE(replies.size() == 1);
        CHECK(code_of(replies[0].second) == ErrorCode::busy);
        ask(seven, "y");  // instead of its own
        CHECK(replies.size() == 1);
        answers.stop(seven);
        ask({device_id(3), 0}, "x");
        CHECK(replies.size() == 1);
    }
}

}  // namespace answers_test
