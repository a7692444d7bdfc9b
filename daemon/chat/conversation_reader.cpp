#include <fmt/format.h>

#include <set>

#include "daemon/chat/conversation.hpp"
#include "daemon/chat/json_text.hpp"

namespace shoal::chat {
namespace {

/// How much of what a client wrote an error repeats.
constexpr std::size_t kQuotedBytes = 100;

/// Reads the parts; a method that returns false has said why.
class ConversationReader {
  public:
    std::variant<Conversation, std::string> read(std::string_view json) {
        if (json.size() > kMaxConversationBytes) {
            return fmt::format("the conversation has {} bytes of JSON; at most {} are taken",
                               json.size(), kMaxConversationBytes);
        }
        if (!root(json)) return problem_;
        if (auto problem = problem_in(out_)) return *problem;
        return std::move(out_);
    }

  private:
    using Members = std::vector<JsonMember>;

    bool fail(std::string problem) {
        problem_ = std::move(problem);
        return false;
    }
    bool object(std::string_view json, std::string_view where, Members& found) {
        auto all = members(json);
        if (!all) {
            return fail(
                fmt::format("{}: is no JSON object of at most {} levels", where, kMaxJsonDepth));
        }
        std::set<std::string_view> names;
        for (const JsonMember& each : *all) {
            if (names.insert(each.name).second) continue;
            return fail(fmt::format("{}: has \"{}\" twice; leave one", where,
                                    each.name.substr(0, kQuotedBytes)));
        }
        found = std::move(*all);
        return true;
    }
    bool list(std::string_view json, std::string_view where, std::size_t most,
              std::vector<std::string_view>& found) {
        auto all = items(json);
        if (!all) return fail(fmt::format("{}: is no list", where));
        if (all->size() > most) {
            return fail(
                fmt::format("{}: has {} entries; at most {} are taken", where, all->size(), most));
        }
        found = std::move(*all);
        return true;
    }
    /// A text; null counts as an empty one.
    bool text(std::string_view json, std::string_view where, std::string_view name,
              std::string& out) {
        if (json == "null") return true;
        auto value = string_value(json);
        if (!value) return fail(fmt::format("{}.{}: is no text; put it in quotes", where, name));
        out = std::move(*value);
        return true;
    }

    bool root(std::string_view json) {
        Members all;
        if (!object(json, "the conversation", all)) return false;
        bool has_messages = false;
        for (const JsonMember& each : all) {
            bool fine = true;
            if (each.name == "messages") {
                has_messages = true;
                fine = messages(each.value);
            } else if (each.name == "tools") {
                fine = tools(each.value);
            } else if (each.name == "tool_choice") {
                fine = tool_choice(each.value);
            } else if (each.name == "parallel_tool_calls") {
                fine = each.value == "true" || each.value == "false" ||
                       fail("parallel_tool_calls: is neither true nor false");
                out_.parallel_tool_calls = each.value == "true";
            } else {
                out_.template_kwargs += out_.template_kwargs.empty() ? "{" : ", ";
                out_.template_kwargs.append(json_string(each.name)).append(": ").append(each.value);
            }
            if (!fine) return false;
        }
        if (!out_.template_kwargs.empty()) out_.template_kwargs += "}";
        return has_messages || fail("messages: is missing; give a list of messages");
    }

    bool messages(std::string_view json) {
        std::vector<std::string_view> all;
        if (!list(json, "messages", kMaxMessages, all)) return false;
        for (std::size_t i = 0; i < all.size(); ++i) {
            out_.messages.emplace_back();
            if (!message(all[i], fmt::format("messages[{}]", i), out_.messages.back()))
                return false;
        }
        return true;
    }

    bool message(std::string_view json, const std::string& where, Message& out) {
        Members all;
        if (!object(json, where, all)) return false;
        for (const JsonMember& each : all) {
            bool fine = true;
            if (each.name == "role") fine = text(each.value, where, each.name, out.role);
            if (each.name == "content") fine = content(each.value, where + ".content", out.content);
            if (each.name == "reasoning_content" || each.name == "reasoning") {
                fine = text(each.value, where, each.name, out.reasoning);
            }
            if (each.name == "tool_calls" && each.value != "null") {
                fine = calls(each.value, where + ".tool_calls", out.tool_calls);
            }
            if (each.name == "tool_call_id")
                fine = text(each.value, where, each.name, out.tool_call_id);
            if (each.name == "name") fine = text(each.value, where, each.name, out.name);
            if (!fine) return false;
        }
        return true;
    }

    bool content(std::string_view json, const std::string& where, std::string& out) {
        if (json == "null") return true;
        if (auto value = string_value(json)) {
            out = std::move(*value);
            return true;
        }
        auto parts = items(json);
        if (!parts) return fail(where + ": is neither a text nor a list of parts");
        for (std::size_t i = 0; i < parts->size(); ++i) {
            const std::string part = fmt::format("{}[{}]", where, i);
            Members all;
            if (!object((*parts)[i], part, all)) return false;
            std::string type;
            std::string words;
            for (const JsonMember& each : all) {
                bool fine = true;
                if (each.name == "type") fine = text(each.value, part, each.name, type);
                if (each.name == "text") fine = text(each.value, part, each.name, words);
                if (!fine) return false;
            }
            if (type != "text") {
                return fail(fmt::format("{}.type: \"{}\" is not understood; only \"text\" is", part,
                                        type.substr(0, kQuotedBytes)));
            }
            out += words;
        }
        return true;
    }

    bool calls(std::string_view json, const std::string& where, std::vector<Call>& out) {
        std::vector<std::string_view> all;
        if (!list(json, where, kMaxCallsInMessage, all)) return false;
        for (std::size_t i = 0; i < all.size(); ++i) {
            const std::string at = fmt::format("{}[{}]", where, i);
            Members parts;
            if (!object(all[i], at, parts)) return false;
            Call call;
            for (const JsonMember& each : parts) {
                if (each.name == "id" && !text(each.value, at, each.name, call.id)) return false;
                if (each.name == "function" && !called(each.value, at + ".function", call))
                    return false;
            }
            out.push_back(std::move(call));
        }
        return true;
    }

    bool called(std::string_view json, const std::string& where, Call& out) {
        Members all;
        if (!object(json, where, all)) return false;
        for (const JsonMember& each : all) {
            if (each.name == "name" && !text(each.value, where, each.name, out.name)) return false;
            if (each.name != "arguments") continue;
            // Clients send the text of an object, as OpenAI's API has it.
            out.arguments = string_value(each.value).value_or(std::string(each.value));
        }
        if (trimmed(out.arguments).empty()) out.arguments = "{}";
        return true;
    }

    bool tools(std::string_view json) {
        if (json == "null") return true;
        std::vector<std::string_view> all;
        if (!list(json, "tools", kMaxTools, all)) return false;
        for (std::size_t i = 0; i < all.size(); ++i) {
            const std::string where = fmt::format("tools[{}]", i);
            Members parts;
            if (!object(all[i], where, parts)) return false;
            Tool tool;
            for (const JsonMember& each : parts) {
                if (each.name == "function" && !described(each.value, where + ".function", tool))
                    return false;
            }
            out_.tools.push_back(std::move(tool));
        }
        return true;
    }

    bool described(std::string_view json, const std::string& where, Tool& out) {
        Members all;
        if (!object(json, where, all)) return false;
        for (const JsonMember& each : all) {
            bool fine = true;
            if (each.name == "name") fine = text(each.value, where, each.name, out.name);
            if (each.name == "description")
                fine = text(each.value, where, each.name, out.description);
            if (each.name == "parameters" && each.value != "null") out.parameters = each.value;
            if (!fine) return false;
        }
        return true;
    }

    bool tool_choice(std::string_view json) {
        ToolChoice& choice = out_.tool_choice;
        if (json == "null" || json == "\"auto\"") return true;
        if (json == "\"none\"" || json == "\"required\"") {
            choice.kind = json == "\"none\"" ? ToolChoice::Kind::none : ToolChoice::Kind::required;
            return true;
        }
        Members all;
        if (!json.empty() && json.front() == '{' && !object(json, "tool_choice", all)) return false;
        Tool tool;
        for (const JsonMember& each : all) {
            if (each.name == "function" && !described(each.value, "tool_choice.function", tool))
                return false;
        }
        if (tool.name.empty()) {
            return fail(
                "tool_choice: is neither \"auto\", \"none\", \"required\" nor a function's name as "
                "{\"type\": \"function\", \"function\": {\"name\": ...}}");
        }
        choice = {ToolChoice::Kind::named, std::move(tool.name)};
        return true;
    }

    Conversation out_;
    std::string problem_;
};

}  // namespace

std::variant<Conversation, std::string> parse_conversation(std::string_view json) {
    return ConversationReader().read(json);
}

}  // namespace shoal::chat
