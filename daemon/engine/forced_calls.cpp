#include "daemon/engine/forced_calls.hpp"

#include <string_view>
#include <utility>
#include <vector>

#include "daemon/chat/answer_format.hpp"

namespace shoal {
namespace {

using Kind = chat::ToolChoice::Kind;

// What a call's arguments are when the request does not say.
constexpr std::string_view kAnyObject = R"({"type": "object"})";

}  // namespace

bool forces_call(const chat::Conversation& conversation) noexcept {
    const Kind kind = conversation.tool_choice.kind;
    return kind == Kind::required || kind == Kind::named;
}

std::variant<std::shared_ptr<const grammar::Grammar>, std::string> forced_calls(
    const ChatPrompt& prompt) {
    const chat::Conversation& conversation = prompt.conversation;
    const bool one = conversation.tool_choice.kind == Kind::named;
    const chat::AnswerFormat format = chat::detect(prompt.from.source);
    const chat::CallPieces& pieces = chat::call_pieces(format.calls);
    const chat::ArgumentPieces& arguments = pieces.arguments;
    const bool plain_text = !arguments.between_text.empty();
    const chat::ToolTable table(conversation.tools);
    std::vector<grammar::Callable> functions;
    for (const chat::Tool& tool : conversation.tools) {
        if (one && tool.name != conversation.tool_choice.name) continue;
        functions.push_back({tool.name,
                             tool.parameters.empty() ? std::string(kAnyObject) : tool.parameters,
                             plain_text ? table.texts_of(tool.name) : std::vector<std::string>{}});
    }
    if (functions.empty()) {
        return one ? "tool_choice: there is no tool \"" + conversation.tool_choice.name + "\""
                   : "tool_choice: a call is required, and there are no tools";
    }
    const grammar::CallFrame frame{end_of_reasoning(prompt) + std::string(pieces.open),
                                   std::string(pieces.before),
                                   std::string(pieces.between),
                                   std::string(pieces.after),
                                   std::string(pieces.separator),
                                   std::string(pieces.close),
                                   {std::string(arguments.before), std::string(arguments.between),
                                    std::string(arguments.after), std::string(arguments.separator),
                                    std::string(arguments.between_text)}};
    auto compiled =
        grammar::compile_calls(frame, functions, !one && conversation.parallel_tool_calls);
    if (auto* wrong = std::get_if<grammar::GrammarError>(&compiled)) {
        return "tools: " + wrong->message;
    }
    return std::get<0>(std::move(compiled));
}

}  // namespace shoal
