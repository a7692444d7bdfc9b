#include "daemon/chat/conversation.hpp"

#include <doctest/doctest.h>

#include "daemon/chat/json_text.hpp"

namespace shoal::chat::conversation_test {
namespace {

const char* const kWhole =
    R"({"messages": [{"role": "system", "content": "Be \"terse\"."}, )"
    R"({"role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": [{"id": "a1", )"
    R"("type": "function", "function": {"name": "f", "arguments": {"x": 1.50, "b": 1, "a": 2}}}]}, )"
    R"({"role": "tool", "content": "21", "tool_call_id": "a1", "name": "f"}], )"
    R"("tools": [{"type": "function", "function": {"name": "f", "description": "does", "parameters": )"
    R"({"type": "object", "properties": {"z": {}, "a": {}}}}}], )"
    R"("tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": false, )"
    R"("enable_thinking": true, "reasoning_effort": "low"})";

Conversation parsed(std::string_view json) {
    auto result = parse_conversation(json);
    if (auto* problem = std::get_if<std::string>(&result)) {
        FAIL(*problem);
        return {};
    }
    return std::get<Conversation>(std::move(result));
}

std::string problem(std::string_view json) {
    auto result = parse_conversation(json);
    REQUIRE(std::holds_alternative<std::string>(result));
    return std::get<std::string>(result);
}

std::string with_message(std::string_view members) {
    return R"({"messages": [{"role": "user", "content": "x"}, {"role": "user", )" +
           std::string(members) + "}]}";
}

TEST_CASE("a conversation read and written again is the same text, orders and digits kept") {
    const Conversation conversation = parsed(kWhole);
    CHECK(conversation.messages.size() == 3);
    CHECK(conversation.messages[1].tool_calls[0].arguments == R"({"x": 1.50, "b": 1, "a": 2})");
    CHECK(conversation.tool_choice.kind == ToolChoice::Kind::named);
    CHECK(to_json(conversation) == kWhole);
}

TEST_CASE("content may be parts of text, arguments a string, and both may be missing") {
    CHECK(
        parsed(with_message(
                   R"("content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])"))
            .messages[1]
            .content == "ab");
    const Conversation called = parsed(with_message(
        R"("content": null, "tool_calls": [{"function": {"name": "f", "arguments": "{\"a\": 1}"}},
                        {"function": {"name": "g"}}])"));
    CHECK(called.messages[1].content.empty());
    CHECK(called.messages[1].tool_calls[0].arguments == "{\"a\": 1}");
    CHECK(called.messages[1].tool_calls[1].arguments == "{}");
}

TEST_CASE("tools vanish from the variables when the choice forbids them") {
    Conversation conversation = parsed(kWhole);
    conversation.tool_choice.kind = ToolChoice::Kind::none;
    CHECK(to_json(conversation).find("\"tools\"") == std::string::npos);
}

TEST_CASE("arguments for the template cannot replace the messages") {
    Conversation conversation;
    conversation.template_kwargs = R"({"messages": 1, "enable_thinking": false})";
    CHECK(to_json(conversation) == R"({"messages": [], "enable_thinking": false})");
}

TEST_CASE("an error names the field") {
    CHECK(problem("[]").substr(0, 16) == "the conversation");
    CHECK(problem("{}").substr(0, 9) == "messages:");
    CHECK(problem(R"({"messages": {}})").substr(0, 9) == "messages:");
    CHECK(problem(R"({"messages": [5]})").substr(0, 12) == "messages[0]:");
    CHECK(problem(R"({"messages": [{"content": "x"}]})").substr(0, 17) == "messages[0].role:");
    CHECK(problem(with_message(R"("content": 5)")).substr(0, 20) == "messages[1].content:");
    CHECK(problem(with_message(R"("content": [{"type": "image_url"}])")).substr(0, 28) ==
          "messages[1].content[0].type:");
    CHECK(problem(with_message(R"("content": "a", "content": "b")")).substr(0, 12) ==
          "messages[1]:");
    CHECK(problem(with_message(R"("tool_calls": [{"function": {"name": "f", "arguments": "x"}}])"))
              .substr(0, 45) == "messages[1].tool_calls[0].function.arguments:");
    CHECK(problem(R"({"messages": [], "tools": [{}]})").substr(0, 23) == "tools[0].function.name:");
    CHECK(problem(R"({"messages": [], "tools": [{"function": {"name": "f", "parameters": 5}}]})")
              .substr(0, 29) == "tools[0].function.parameters:");
    CHECK(problem(R"({"messages": [], "tool_choice": "any"})").substr(0, 12) == "tool_choice:");
    CHECK(problem(
              R"({"messages": [], "tool_choice": {"type": "function", "function": {"name": "f"}}})")
              .substr(0, 12) == "tool_choice:");
    CHECK(problem(R"({"messages": [], "parallel_tool_calls": 1})").substr(0, 20) ==
          "parallel_tool_calls:");
}

std::string repeated(std::string_view one, std::size_t count) {
    std::string all;
    for (std::size_t i = 0; i < count; ++i) all.append(i == 0 ? "" : ",").append(one);
    return all;
}

TEST_CASE("every limit holds at its value and not one beyond") {
    const auto messages = [](std::size_t count) {
        return R"({"messages": [)" + repeated(R"({"role":"user"})", count) + "]}";
    };
    CHECK(parsed(messages(kMaxMessages)).messages.size() == kMaxMessages);
    CHECK(problem(messages(kMaxMessages + 1)).substr(0, 9) == "messages:");
    const auto tools = [](std::size_t count) {
        return R"({"messages": [], "tools": [)" + repeated(R"({"function":{"name":"f"}})", count) +
               "]}";
    };
    CHECK(parsed(tools(kMaxTools)).tools.size() == kMaxTools);
    CHECK(problem(tools(kMaxTools + 1)).substr(0, 6) == "tools:");
    const auto nested = [](std::size_t levels) {
        return R"({"messages": [], "x": )" + std::string(levels - 1, '[') +
               std::string(levels - 1, ']') + "}";
    };
    CHECK(parsed(nested(kMaxJsonDepth)).template_kwargs.size() > kMaxJsonDepth);
    CHECK(problem(nested(kMaxJsonDepth + 1)).substr(0, 16) == "the conversation");
    const std::string frame = with_message(R"("content": "")");
    std::string big = frame;
    big.insert(frame.size() - 4, std::string(kMaxConversationBytes - frame.size(), 'x'));
    CHECK(parsed(big).messages.size() == 2);
    big.insert(frame.size() - 4, "x");
    CHECK(problem(big).substr(0, 16) == "the conversation");
}

TEST_CASE("a conversation put together by hand is checked, too") {
    Conversation conversation;
    conversation.messages.resize(2);
    conversation.messages[0].role = conversation.messages[1].role = "user";
    CHECK_FALSE(problem_in(conversation));
    conversation.messages[1].content.assign(kMaxConversationBytes, 'x');
    CHECK(problem_in(conversation).value_or("").substr(0, 12) == "messages[1]:");
    conversation.messages[1].content.clear();
    conversation.template_kwargs = "5";
    CHECK(problem_in(conversation).value_or("").substr(0, 16) == "template_kwargs:");
}

}  // namespace
}  // namespace shoal::chat::conversation_test
