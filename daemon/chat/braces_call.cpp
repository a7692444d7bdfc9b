#include <algorithm>

#include "daemon/chat/call_readers.hpp"
#include "daemon/chat/json_text.hpp"

namespace shoal::chat {
namespace {

/// Recursive descent; a method that returns false has met something it does not know.
class BracesReader {
  public:
    BracesReader(std::string_view text, std::string_view quote) : text_(text), quote_(quote) {}

    bool object(std::string& json, std::size_t depth = 0) {
        if (depth > kMaxJsonDepth || !take('{')) return false;
        json += "{";
        for (bool first = true; !next_is('}'); first = false) {
            if (!first && !take(',')) return false;
            if (!first) json += ", ";
            if (!key(json) || !take(':')) return false;
            json += ": ";
            if (!value(json, depth + 1)) return false;
        }
        json += "}";
        return take('}');
    }

    bool ended() {
        spaces();
        return at_ >= text_.size();
    }

  private:
    bool value(std::string& json, std::size_t depth) {
        if (next_is('{')) return object(json, depth);
        if (next_is('[')) return list(json, depth);
        if (quoted_next()) return quoted(json);
        const std::string_view plain = trimmed(up_to(",}]"));
        if (plain.empty()) return false;
        json += is_json(plain) ? std::string(plain) : json_string(plain);
        return true;
    }

    bool list(std::string& json, std::size_t depth) {
        if (depth > kMaxJsonDepth || !take('[')) return false;
        json += "[";
        for (bool first = true; !next_is(']'); first = false) {
            if (!first && !take(',')) return false;
            if (!first) json += ", ";
            if (!value(json, depth + 1)) return false;
        }
        json += "]";
        return take(']');
    }

    bool key(std::string& json) {
        if (quoted_next()) return quoted(json);
        const std::string_view plain = trimmed(up_to(":,{}[]"));
        if (plain.empty()) return false;
        json += json_string(plain);
        return true;
    }

    /// A string between the format's marks, or one of JSON.
    bool quoted_next() {
        spaces();
        return text_.substr(at_, quote_.size()) == quote_ || next_is('"');
    }
    bool quoted(std::string& json) {
        if (text_.substr(at_, quote_.size()) != quote_) return json_quoted(json);
        const std::size_t begin = at_ + quote_.size();
        const std::size_t end = text_.find(quote_, begin);
        if (end == std::string_view::npos) return false;
        json += json_string(text_.substr(begin, end - begin));
        at_ = end + quote_.size();
        return true;
    }
    bool json_quoted(std::string& json) {
        std::size_t end = at_ + 1;
        while (end < text_.size() && text_[end] != '"') end += text_[end] == '\\' ? 2 : 1;
        if (end >= text_.size()) return false;
        const std::string_view whole = text_.substr(at_, end + 1 - at_);
        if (!is_json(whole)) return false;
        json += whole;
        at_ = end + 1;
        return true;
    }

    std::string_view up_to(std::string_view ends) {
        const std::size_t begin = at_;
        at_ = std::min(text_.find_first_of(ends, at_), text_.size());
        return text_.substr(begin, at_ - begin);
    }
    void spaces() {
        while (at_ < text_.size() && kSpaces.find(text_[at_]) != std::string_view::npos) ++at_;
    }
    bool next_is(char c) {
        spaces();
        return at_ < text_.size() && text_[at_] == c;
    }
    bool take(char c) {
        if (!next_is(c)) return false;
        ++at_;
        return true;
    }

    std::string_view text_;
    std::string_view quote_;
    std::size_t at_ = 0;
};

}  // namespace

std::optional<Call> braces_call(std::string_view text, std::string_view quote) {
    const std::size_t brace = text.find('{');
    if (brace == std::string_view::npos) return std::nullopt;
    Call call{{}, std::string(trimmed(text.substr(0, brace))), {}};
    BracesReader reader(text.substr(brace), quote);
    if (!reader.object(call.arguments) || !reader.ended()) return std::nullopt;
    return call;
}

}  // namespace shoal::chat
