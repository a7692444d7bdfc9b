#include "daemon/chat/call_readers.hpp"
#include "daemon/chat/json_text.hpp"

namespace shoal::chat {
namespace {

/// Takes everything before the mark, and the mark.
std::optional<std::string_view> before(std::string_view& text, std::string_view mark) {
    const std::size_t at = text.find(mark);
    if (at == std::string_view::npos) return std::nullopt;
    const std::string_view found = text.substr(0, at);
    text.remove_prefix(at + mark.size());
    return found;
}

std::optional<Call> named(std::string_view name, std::string_view id = {}) {
    if (trimmed(name).empty()) return std::nullopt;
    return Call{std::string(trimmed(id)), std::string(trimmed(name)), {}};
}

std::optional<Call> mistral(std::string_view text) {
    const auto whole = before(text, "[ARGS]");
    if (whole && !trimmed(text).empty()) return std::nullopt;
    std::string_view rest = whole.value_or(text);
    const auto name = before(rest, "[CALL_ID]");
    return name ? named(*name, rest) : named(rest);
}

/// The older form says "function" first and puts the arguments into a block of code.
std::optional<Call> deepseek(std::string_view text) {
    const auto kind = before(text, "<｜tool▁sep｜>");
    if (!kind) return std::nullopt;
    const std::string_view rest = trimmed(text);
    if (rest.empty()) return named(*kind);
    constexpr std::string_view kBlock = "```json";
    if (trimmed(*kind) != "function") return std::nullopt;
    const std::size_t fence = rest.find(kBlock);
    if (fence == std::string_view::npos) return named(rest);
    return fence + kBlock.size() == rest.size() ? named(rest.substr(0, fence)) : std::nullopt;
}

std::optional<Call> kimi(std::string_view text) {
    const auto id = before(text, "<|tool_call_argument_begin|>");
    if (!id || !trimmed(text).empty()) return std::nullopt;
    std::string_view name = trimmed(*id);
    constexpr std::string_view kSpace = "functions.";
    if (name.substr(0, kSpace.size()) == kSpace) name.remove_prefix(kSpace.size());
    return named(name.substr(0, name.rfind(':')), *id);
}

std::optional<Call> server(std::string_view text) {
    if (!before(text, "</server_name>") || !before(text, "<tool_name>")) return std::nullopt;
    const auto name = before(text, "</tool_name>");
    if (!name || !before(text, "<arguments>") || !trimmed(text).empty()) return std::nullopt;
    return named(*name);
}

std::optional<Call> solar(std::string_view text) {
    const auto id = before(text, "<|tool_call:name|>");
    if (!id) return std::nullopt;
    const auto name = before(text, "<|tool_call:args|>");
    return name ? named(*name, *id) : std::nullopt;
}

}  // namespace

std::optional<Call> read_header(Header kind, std::string_view text) {
    switch (kind) {
        case Header::mistral:
            return mistral(text);
        case Header::deepseek:
            return deepseek(text);
        case Header::kimi:
            return kimi(text);
        case Header::server:
            return server(text);
        case Header::solar:
            return solar(text);
        case Header::angle: {
            const auto name = before(text, ">");
            return name && trimmed(text).empty() ? named(*name) : std::nullopt;
        }
        case Header::line: {
            const auto name = before(text, "\n");
            return name && trimmed(text).empty() ? named(*name) : std::nullopt;
        }
        case Header::none:
            break;
    }
    return std::nullopt;
}

}  // namespace shoal::chat
