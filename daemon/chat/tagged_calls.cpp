#include <algorithm>

#include "daemon/chat/call_readers.hpp"
#include "daemon/chat/json_text.hpp"

namespace shoal::chat {
namespace {

/// Reads tags from the front of a text.
class Tags {
  public:
    explicit Tags(std::string_view text) : rest_(text) {}

    bool ended() {
        spaces();
        return rest_.empty();
    }
    bool take(std::string_view mark) {
        if (rest_.substr(0, mark.size()) != mark) return false;
        rest_.remove_prefix(mark.size());
        return true;
    }
    bool take_tag(std::string_view mark) {
        spaces();
        return take(mark);
    }
    /// Everything up to the mark, which goes, too.
    std::optional<std::string_view> until(std::string_view mark) {
        const std::size_t at = rest_.find(mark);
        if (at == std::string_view::npos) return std::nullopt;
        const std::string_view found = rest_.substr(0, at);
        rest_.remove_prefix(at + mark.size());
        return found;
    }
    /// Everything up to the mark, which stays, or to the end.
    std::string_view up_to(std::string_view mark) {
        const std::string_view found = rest_.substr(0, rest_.find(mark));
        rest_.remove_prefix(found.size());
        return found;
    }

  private:
    void spaces() { rest_.remove_prefix(std::min(rest_.find_first_not_of(kSpaces), rest_.size())); }

    std::string_view rest_;
};

std::string_view without_outer_lines(std::string_view value) noexcept {
    if (!value.empty() && value.front() == '\n') value.remove_prefix(1);
    if (!value.empty() && value.back() == '\n') value.remove_suffix(1);
    return value;
}

void add_argument(Call& call, std::string_view name, std::string_view json) {
    call.arguments += call.arguments.empty() ? "{" : ", ";
    call.arguments += json_string(name);
    call.arguments += ": ";
    call.arguments += json;
}

std::optional<Call> closed(Call call) {
    call.arguments += call.arguments.empty() ? "{}" : "}";
    return call;
}

}  // namespace

std::optional<Call> function_tags_call(std::string_view text, const ToolTable& tools) {
    Tags tags(text);
    const auto name = tags.until(">");
    if (!name) return std::nullopt;
    Call call{{}, std::string(trimmed(*name)), {}};
    while (!tags.ended()) {
        if (!tags.take("<parameter=")) return std::nullopt;
        const auto parameter = tags.until(">");
        if (!parameter) return std::nullopt;
        const auto value = tags.until("</parameter>");
        if (!value) return std::nullopt;
        add_argument(call, trimmed(*parameter),
                     tools.value(call.name, trimmed(*parameter), without_outer_lines(*value)));
    }
    return closed(std::move(call));
}

std::optional<Call> invoke_tags_call(std::string_view text, std::string_view prefix,
                                     const ToolTable& tools) {
    const std::string begin = "<" + std::string(prefix) + "parameter name=\"";
    const std::string end = "</" + std::string(prefix) + "parameter>";
    Tags tags(text);
    const auto name = tags.until("\"");
    if (!name || !tags.take_tag(">")) return std::nullopt;
    Call call{{}, std::string(*name), {}};
    while (!tags.ended()) {
        if (!tags.take(begin)) return std::nullopt;
        const auto parameter = tags.until("\"");
        if (!parameter) return std::nullopt;
        const auto attributes = tags.until(">");
        const auto value = attributes ? tags.until(end) : std::nullopt;
        if (!value) return std::nullopt;
        std::string json;
        if (trimmed(*attributes) == "string=\"true\"") {
            json = json_string(*value);
        } else if (trimmed(*attributes) == "string=\"false\"") {
            if (!is_json(*value)) return std::nullopt;
            json = trimmed(*value);
        } else {
            json = tools.value(call.name, *parameter, without_outer_lines(*value));
        }
        add_argument(call, *parameter, json);
    }
    return closed(std::move(call));
}

std::optional<Call> argument_tags_call(std::string_view text, const ToolTable& tools) {
    Tags tags(text);
    Call call{{}, std::string(trimmed(tags.up_to("<arg_key>"))), {}};
    while (!tags.ended()) {
        if (!tags.take("<arg_key>")) return std::nullopt;
        const auto key = tags.until("</arg_key>");
        if (!key || !tags.take_tag("<arg_value>")) return std::nullopt;
        const auto value = tags.until("</arg_value>");
        if (!value) return std::nullopt;
        add_argument(call, trimmed(*key), tools.value(call.name, trimmed(*key), *value));
    }
    return closed(std::move(call));
}

}  // namespace shoal::chat
