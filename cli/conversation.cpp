#include "cli/conversation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/exit_codes.hpp"
#include "cli/terminal.hpp"

namespace shoal::cli {
namespace {

// Keys in the order in which they are written, for readers.
using Json = nlohmann::ordered_json;
using Role = ChatMessage::Role;

constexpr std::pair<Role, const char*> kRoles[] = {
    {Role::system, "system"}, {Role::user, "user"}, {Role::assistant, "assistant"}};

const char* role_name(Role role) noexcept {
    return std::ranges::find(kRoles, role, &std::pair<Role, const char*>::first)->second;
}

Json json_of(const ChatMessage& message) {
    Json json{{"role", role_name(message.role)}, {"content", message.content}};
    if (!message.reasoning.empty()) json["reasoning_content"] = message.reasoning;
    return json;
}

Json json_of(const std::vector<ChatMessage>& messages) {
    Json all = Json::array();
    for (const ChatMessage& message : messages) all.push_back(json_of(message));
    return all;
}

[[noreturn]] void wrong(const std::string& what) {
    throw Error(kUsage, what);
}

std::string text_of(const Json& message, const char* key, std::size_t number) {
    const auto value = message.find(key);
    if (value == message.end() || value->is_null()) return {};
    if (!value->is_string()) wrong(fmt::format("\"{}\" of message {} is no text", key, number));
    return value->get<std::string>();
}

ChatMessage message_of(const Json& json, std::size_t number) {
    if (!json.is_object()) wrong(fmt::format("message {} is no JSON object", number));
    const std::string role = text_of(json, "role", number);
    for (const auto& known : kRoles) {
        if (role != known.second) continue;
        return {known.first, text_of(json, "content", number),
                text_of(json, "reasoning_content", number)};
    }
    wrong(fmt::format(
        "message {} has the role \"{}\"; a conversation here has system, user and assistant",
        number, one_line(role)));
}

/// Throws unless users and assistant take turns.
void check_turns(const std::vector<ChatMessage>& messages) {
    Role due = Role::user;
    for (std::size_t i = 0; i < messages.size(); ++i) {
        const Role role = messages[i].role;
        if (i == 0 && role == Role::system) continue;
        if (role != due) {
            wrong(fmt::format("message {} is of {} where one of {} is due", i + 1, role_name(role),
                              role_name(due)));
        }
        due = role == Role::user ? Role::assistant : Role::user;
    }
}

std::string dumped(const Json& json, int indent) {
    return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

bool Conversation::unanswered() const noexcept {
    return !messages_.empty() && messages_.back().role == Role::user;
}

void Conversation::instruct(std::string text) {
    if (!instruction().empty()) messages_.erase(messages_.begin());
    if (text.empty()) return;
    messages_.insert(messages_.begin(), ChatMessage{Role::system, std::move(text), {}});
}

std::string_view Conversation::instruction() const noexcept {
    const bool there = !messages_.empty() && messages_.front().role == Role::system;
    return there ? std::string_view(messages_.front().content) : std::string_view();
}

void Conversation::say(std::string text) {
    if (unanswered()) messages_.pop_back();
    messages_.push_back({Role::user, std::move(text), {}});
}

void Conversation::answer(std::string text, std::string reasoning) {
    messages_.push_back({Role::assistant, std::move(text), std::move(reasoning)});
}

bool Conversation::take_back_answer() {
    if (!messages_.empty() && messages_.back().role == Role::assistant) messages_.pop_back();
    return unanswered();
}

std::optional<std::string> Conversation::undo() {
    if (!take_back_answer()) return std::nullopt;
    std::string text = std::move(messages_.back().content);
    messages_.pop_back();
    return text;
}

void Conversation::clear() {
    std::erase_if(messages_, [](const ChatMessage& m) { return m.role != Role::system; });
}

std::string Conversation::request(Thinking thinking) const {
    Json json{{"messages", json_of(messages_)}, {"add_generation_prompt", true}};
    // A variable of the template, as chat::parse_conversation() takes all that it does not know.
    if (thinking) json["enable_thinking"] = *thinking;
    return dumped(json, -1);
}

std::string Conversation::to_json(const std::string& model) const {
    return dumped(Json{{"model", model}, {"messages", json_of(messages_)}}, 2) + '\n';
}

Conversation Conversation::from_json(std::string_view text) {
    if (const auto problem = json_problem(text)) wrong("it is no JSON: " + *problem);
    const Json json = Json::parse(text);
    const auto messages = json.is_object() ? json.find("messages") : json.end();
    if (!json.is_object() || messages == json.end() || !messages->is_array()) {
        wrong("it is no conversation: {\"messages\": [{\"role\": ..., \"content\": ...}, ...]}");
    }
    Conversation conversation;
    for (const Json& message : *messages) {
        conversation.messages_.push_back(message_of(message, conversation.messages_.size() + 1));
    }
    check_turns(conversation.messages_);
    // An empty system message is none.
    std::erase_if(conversation.messages_,
                  [](const ChatMessage& m) { return m.role == Role::system && m.content.empty(); });
    return conversation;
}

std::string without_template(const std::string& model) {
    return fmt::format(
        "{} has no chat template. The usual one is taken (ChatML), which a model that was not made "
        "for chats will not know.",
        model);
}

std::optional<std::string> json_problem(std::string_view text) {
    // Deep nesting costs the parser no stack, and the text's size bounds its memory.
    try {
        if (!Json::parse(text).is_discarded()) return std::nullopt;
    } catch (const Json::parse_error& error) {
        const auto end = text.begin() + static_cast<std::ptrdiff_t>(
                                            std::min<std::size_t>(error.byte, text.size()));
        return fmt::format("it is wrong at byte {}, on line {}", error.byte,
                           1 + std::count(text.begin(), end, '\n'));
    } catch (const Json::out_of_range&) {
        return "a number in it is too large";
    }
    return "nothing is there";
}

}  // namespace shoal::cli
