#include "daemon/chat/conversation.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/chat/json_text.hpp"

namespace shoal::chat {
namespace {

/// Adds up, without a way to overflow, what is bounded by kMaxConversationBytes.
class Sum {
  public:
    void add(std::string_view text) { bytes_ += std::min(text.size(), kMaxConversationBytes + 1); }
    bool fits() const noexcept { return bytes_ <= kMaxConversationBytes; }

  private:
    std::size_t bytes_ = 0;
};

std::optional<std::string> problem_in(const Message& message, std::string_view where, Sum& sum) {
    if (message.role.empty())
        return fmt::format(
            "{}.role: is empty; write \"user\", \"assistant\", \"system\" or \"tool\"", where);
    if (message.tool_calls.size() > kMaxCallsInMessage) {
        return fmt::format("{}.tool_calls: has {} calls; at most {} are taken", where,
                           message.tool_calls.size(), kMaxCallsInMessage);
    }
    for (const std::string* text : {&message.role, &message.content, &message.reasoning,
                                    &message.tool_call_id, &message.name}) {
        sum.add(*text);
    }
    for (std::size_t i = 0; i < message.tool_calls.size(); ++i) {
        const Call& call = message.tool_calls[i];
        const std::string function = fmt::format("{}.tool_calls[{}].function", where, i);
        for (const std::string* text : {&call.id, &call.name, &call.arguments}) sum.add(*text);
        if (!sum.fits()) break;
        if (call.name.empty()) return function + ".name: is empty; name the tool that was called";
        if (!is_json_object(call.arguments, kMaxArgumentDepth)) {
            return fmt::format("{}.arguments: is no JSON object of at most {} levels", function,
                               kMaxArgumentDepth);
        }
    }
    if (sum.fits()) return std::nullopt;
    return fmt::format("{}: with this the conversation has more than {} bytes; shorten it", where,
                       kMaxConversationBytes);
}

std::optional<std::string> problem_in(const Tool& tool, std::string_view where, Sum& sum) {
    for (const std::string* text : {&tool.name, &tool.description, &tool.parameters})
        sum.add(*text);
    if (!sum.fits()) {
        return fmt::format("{}: with this the conversation has more than {} bytes; shorten it",
                           where, kMaxConversationBytes);
    }
    if (tool.name.empty()) return fmt::format("{}.function.name: is empty; name the tool", where);
    if (!tool.parameters.empty() && !is_json_object(tool.parameters, kMaxArgumentDepth)) {
        return fmt::format("{}.function.parameters: is no JSON object of at most {} levels", where,
                           kMaxArgumentDepth);
    }
    return std::nullopt;
}

/// Writes members of an object, one after the other.
class Object {
  public:
    explicit Object(std::string& out) : out_(out) { out_ += '{'; }
    void raw(std::string_view name, std::string_view json) {
        if (out_.back() != '{') out_ += ", ";
        out_ += json_string(name);
        out_ += ": ";
        out_ += json;
    }
    void text(std::string_view name, std::string_view value) { raw(name, json_string(value)); }
    void text_if(std::string_view name, std::string_view value) {
        if (!value.empty()) text(name, value);
    }
    void close() { out_ += '}'; }

  private:
    std::string& out_;
};

std::string call_json(const Call& call) {
    std::string function;
    Object inner(function);
    inner.text("name", call.name);
    inner.raw("arguments", call.arguments);
    inner.close();
    std::string out;
    Object outer(out);
    outer.text_if("id", call.id);
    outer.text("type", "function");
    outer.raw("function", function);
    outer.close();
    return out;
}

std::string message_json(const Message& message) {
    std::string out;
    Object object(out);
    object.text("role", message.role);
    object.text("content", message.content);
    object.text_if("reasoning_content", message.reasoning);
    if (!message.tool_calls.empty()) {
        std::string calls;
        for (const Call& call : message.tool_calls)
            calls += (calls.empty() ? "[" : ", ") + call_json(call);
        object.raw("tool_calls", calls + "]");
    }
    object.text_if("tool_call_id", message.tool_call_id);
    object.text_if("name", message.name);
    object.close();
    return out;
}

template <typename T>
std::string list_json(const std::vector<T>& list, std::string (*one)(const T&)) {
    std::string out = "[";
    for (const T& each : list) {
        if (out.size() > 1) out += ", ";
        out += one(each);
    }
    return out + "]";
}

void write_choice(Object& object, const ToolChoice& choice) {
    switch (choice.kind) {
        case ToolChoice::Kind::automatic:
            return;
        case ToolChoice::Kind::none:
            object.text("tool_choice", "none");
            return;
        case ToolChoice::Kind::required:
            object.text("tool_choice", "required");
            return;
        case ToolChoice::Kind::named:
            object.raw("tool_choice",
                       fmt::format(R"({{"type": "function", "function": {{"name": {}}}}})",
                                   json_string(choice.name)));
            return;
    }
}

}  // namespace

std::optional<std::string> problem_in(const Conversation& conversation) {
    if (conversation.messages.size() > kMaxMessages) {
        return fmt::format("messages: has {} messages; at most {} are taken",
                           conversation.messages.size(), kMaxMessages);
    }
    if (conversation.tools.size() > kMaxTools) {
        return fmt::format("tools: has {} tools; at most {} are taken", conversation.tools.size(),
                           kMaxTools);
    }
    Sum sum;
    sum.add(conversation.template_kwargs);
    for (std::size_t i = 0; i < conversation.messages.size(); ++i) {
        auto problem = problem_in(conversation.messages[i], fmt::format("messages[{}]", i), sum);
        if (problem) return problem;
    }
    for (std::size_t i = 0; i < conversation.tools.size(); ++i) {
        auto problem = problem_in(conversation.tools[i], fmt::format("tools[{}]", i), sum);
        if (problem) return problem;
    }
    if (!sum.fits() ||
        (!conversation.template_kwargs.empty() && !is_json_object(conversation.template_kwargs))) {
        return fmt::format("template_kwargs: is no JSON object of at most {} levels and {} bytes",
                           kMaxJsonDepth, kMaxConversationBytes);
    }
    if (conversation.tool_choice.kind != ToolChoice::Kind::named) return std::nullopt;
    for (const Tool& tool : conversation.tools) {
        if (tool.name == conversation.tool_choice.name) return std::nullopt;
    }
    return fmt::format("tool_choice: no tool is called \"{}\"; add it to tools",
                       conversation.tool_choice.name.substr(0, 100));
}

std::string tool_json(const Tool& tool) {
    std::string function;
    Object inner(function);
    inner.text("name", tool.name);
    inner.text_if("description", tool.description);
    // Templates ask for parameters without asking whether there are any.
    inner.raw("parameters", tool.parameters.empty() ? R"({"type": "object", "properties": {}})"
                                                    : std::string_view(tool.parameters));
    inner.close();
    std::string out;
    Object outer(out);
    outer.text("type", "function");
    outer.raw("function", function);
    outer.close();
    return out;
}

std::string to_json(const Conversation& conversation) {
    std::string out;
    Object object(out);
    object.raw("messages", list_json(conversation.messages, message_json));
    if (!conversation.tools.empty() && conversation.tool_choice.kind != ToolChoice::Kind::none) {
        object.raw("tools", list_json(conversation.tools, tool_json));
    }
    write_choice(object, conversation.tool_choice);
    if (!conversation.parallel_tool_calls) object.raw("parallel_tool_calls", "false");
    for (const JsonMember& each :
         members(conversation.template_kwargs).value_or(std::vector<JsonMember>{})) {
        const bool own = each.name == "messages" || each.name == "tools" ||
                         each.name == "tool_choice" || each.name == "parallel_tool_calls";
        if (!own) object.raw(each.name, each.value);
    }
    object.close();
    return out;
}

}  // namespace shoal::chat
