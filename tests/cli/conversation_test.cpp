#include "cli/conversation.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <variant>

#include "cli/exit_codes.hpp"
#include "daemon/chat/conversation.hpp"

namespace conversation_test {

using namespace shoal::cli;
using Json = nlohmann::json;

TEST_SUITE_BEGIN("cli/conversation");

namespace {

Conversation greeting() {
    Conversation conversation;
    conversation.instruct("Be kind.");
    conversation.say("Hello");
    conversation.answer("Hi!", "They greet.");
    return conversation;
}

std::string refusal(const std::string& text) {
    try {
        Conversation::from_json(text);
    } catch (const Error& error) {
        CHECK(error.code() == kUsage);
        return error.what();
    }
    return "none";
}

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a request has the messages in order, and tells the template what was set") {
    const Json json = Json::parse(greeting().request(false));
    CHECK(
        json ==
        Json{{"messages",
              {{{"role", "system"}, {"content", "Be kind."}},
               {{"role", "user"}, {"content", "Hello"}},
               {{"role", "assistant"}, {"content", "Hi!"}, {"reasoning_content", "They greet."}}}},
             {"enable_thinking", false},
             {"add_generation_prompt", true}});
    CHECK_FALSE(Json::parse(greeting().request({})).contains("enable_thinking"));
    // What the root makes of it.
    const auto read = shoal::chat::parse_conversation(greeting().request(false));
    REQUIRE(std::holds_alternative<shoal::chat::Conversation>(read));
    const auto& variables = std::get<shoal::chat::Conversation>(read).template_kwargs;
    CHECK(Json::parse(variables).at("enable_thinking") == false);
}

TEST_CASE("bytes that are no UTF-8 still make a request") {
    Conversation conversation;
    conversation.say("a\xff");
    CHECK(Json::parse(conversation.request({}))["messages"][0]["content"] == "a\xef\xbf\xbd");
}

TEST_CASE("a message without an answer is replaced, so that turns are always taken") {
    Conversation conversation = greeting();
    conversation.say("one");
    CHECK(conversation.unanswered());
    conversation.say("two");
    CHECK(conversation.messages().size() == 4);
    CHECK(conversation.messages().back().content == "two");
}

TEST_CASE("answers and messages are taken back, the system message is not") {
    Conversation conversation = greeting();
    CHECK(conversation.take_back_answer());
    CHECK(conversation.unanswered());
    CHECK(conversation.take_back_answer());
    CHECK(conversation.undo() == "Hello");
    CHECK_FALSE(conversation.undo());
    CHECK_FALSE(conversation.take_back_answer());
    CHECK_FALSE(conversation.asked());
    CHECK(conversation.instruction() == "Be kind.");
    conversation = greeting();
    conversation.clear();
    CHECK(conversation.instruction() == "Be kind.");
    CHECK(conversation.messages().size() == 1);
    conversation.instruct("");
    CHECK(conversation.messages().empty());
}

TEST_CASE("a saved conversation is the same when it is read") {
    const Conversation read = Conversation::from_json(greeting().to_json("qwen"));
    CHECK(read.messages() == greeting().messages());
    CHECK(Json::parse(greeting().to_json("qwen"))["model"] == "qwen");
}

TEST_CASE("files that are no conversation are refused with what is wrong where") {
    CHECK(contains(refusal(""), "no JSON"));
    CHECK(contains(refusal("{\n\"messages\": [}"), "on line 2"));
    CHECK(contains(refusal("[1e999]"), "a number in it is too large"));
    CHECK(contains(refusal("[]"), "no conversation"));
    CHECK(contains(refusal("{\"messages\": 3}"), "no conversation"));
    CHECK(contains(refusal(R"({"messages": ["x"]})"), "message 1 is no JSON object"));
    CHECK(contains(refusal(R"({"messages": [{"role": "tool"}]})"), "has the role \"tool\""));
    CHECK(contains(refusal(R"({"messages": [{"role": "user", "content": []}]})"),
                   "\"content\" of message 1 is no text"));
    CHECK(contains(refusal(R"({"messages": [{"role": "assistant", "content": "x"}]})"),
                   "message 1 is of assistant where one of user is due"));
    CHECK(contains(refusal(std::string(1 << 20, '[')), "no JSON"));
    CHECK(refusal(R"({"messages": [{"role": "system", "content": ""}]})") == "none");
}

TEST_SUITE_END();

}  // namespace conversation_test
