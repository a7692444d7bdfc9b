#include "daemon/chat/pythonic.hpp"

#include <algorithm>

#include "daemon/chat/json_text.hpp"

namespace shoal::chat {
namespace {

bool in_name(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           static_cast<unsigned char>(c) >= 0x80;
}

void append_utf8(std::string& out, unsigned code) {
    const auto byte = [&out](unsigned value) { out.push_back(static_cast<char>(value)); };
    if (code < 0x80) {
        byte(code);
    } else if (code < 0x800) {
        byte(0xC0 | code >> 6);
        byte(0x80 | (code & 0x3F));
    } else {
        if (code < 0x10000) {
            byte(0xE0 | code >> 12);
        } else {
            byte(0xF0 | code >> 18);
            byte(0x80 | (code >> 12 & 0x3F));
        }
        byte(0x80 | (code >> 6 & 0x3F));
        byte(0x80 | (code & 0x3F));
    }
}

/// Recursive descent; a method that returns false has met something it does not know.
class PythonReader {
  public:
    explicit PythonReader(std::string_view text) : text_(text) {}

    bool calls(std::vector<Call>& out) {
        const bool listed = take('[');
        while (!ended() && peek() != ']') {
            Call call;
            if (!one_call(call)) return false;
            out.push_back(std::move(call));
            take(',');
        }
        if (listed && !take(']')) return false;
        return ended() && !out.empty();
    }

    bool literal(std::string& json, std::size_t depth = 0) {
        if (depth > kMaxJsonDepth || ended()) return false;
        const char c = peek();
        if (c == '"' || c == '\'') {
            std::string text;
            if (!string(text)) return false;
            json += json_string(text);
            return true;
        }
        if (c == '[' || c == '(') return list(json, depth);
        if (c == '{') return dict(json, depth);
        return word(json);
    }

    bool ended() {
        spaces();
        return at_ == text_.size();
    }

  private:
    bool one_call(Call& call) {
        if (!name(call.name) || !take('(')) return false;
        constexpr std::string_view kMethod = ".call";
        const std::size_t method = call.name.size() - std::min(call.name.size(), kMethod.size());
        if (method > 0 && call.name.substr(method) == kMethod) call.name.resize(method);
        call.arguments = "{";
        while (!ended() && peek() != ')') {
            std::string parameter;
            if (!name(parameter) || !take('=')) return false;
            if (call.arguments.size() > 1) call.arguments += ", ";
            call.arguments += json_string(parameter) + ": ";
            if (!literal(call.arguments)) return false;
            if (!take(',') && (ended() || peek() != ')')) return false;
        }
        call.arguments += "}";
        return take(')');
    }

    bool name(std::string& out) {
        spaces();
        const std::size_t begin = at_;
        while (at_ < text_.size() &&
               (in_name(text_[at_]) || text_[at_] == '.' || text_[at_] == '-'))
            ++at_;
        out = text_.substr(begin, at_ - begin);
        return !out.empty();
    }

    bool list(std::string& json, std::size_t depth) {
        const char end = peek() == '[' ? ']' : ')';
        ++at_;
        json += "[";
        for (bool first = true; !ended() && peek() != end; first = false) {
            if (!first) json += ", ";
            if (!literal(json, depth + 1)) return false;
            if (!take(',') && (ended() || peek() != end)) return false;
        }
        json += "]";
        return take(end);
    }

    bool dict(std::string& json, std::size_t depth) {
        ++at_;
        json += "{";
        for (bool first = true; !ended() && peek() != '}'; first = false) {
            std::string key;
            if (peek() != '"' && peek() != '\'') return false;
            if (!string(key) || !take(':')) return false;
            if (!first) json += ", ";
            json += json_string(key) + ": ";
            if (!literal(json, depth + 1)) return false;
            if (!take(',') && (ended() || peek() != '}')) return false;
        }
        json += "}";
        return take('}');
    }

    bool word(std::string& json) {
        const std::size_t begin = at_;
        while (at_ < text_.size() &&
               (in_name(text_[at_]) || text_[at_] == '.' || text_[at_] == '-' || text_[at_] == '+'))
            ++at_;
        const std::string_view found = text_.substr(begin, at_ - begin);
        if (found == "True") {
            json += "true";
        } else if (found == "False") {
            json += "false";
        } else if (found == "None") {
            json += "null";
        } else if (!found.empty() && is_json(found)) {
            json += found;  // a number, or the words as JSON has them
        } else {
            return false;
        }
        return true;
    }

    bool string(std::string& out) {
        const char quote = text_[at_++];
        while (at_ < text_.size() && text_[at_] != quote) {
            if (text_[at_] != '\\') {
                out.push_back(text_[at_++]);
            } else if (!escape(out)) {
                return false;
            }
        }
        return at_ < text_.size() && text_[at_++] == quote;
    }

    bool escape(std::string& out) {
        if (++at_ == text_.size()) return false;
        const char c = text_[at_++];
        switch (c) {
            case 'n':
                out += '\n';
                return true;
            case 't':
                out += '\t';
                return true;
            case 'r':
                out += '\r';
                return true;
            case 'b':
                out += '\b';
                return true;
            case 'f':
                out += '\f';
                return true;
            case '\n':
                return true;
            case 'x':
                return character(out, digits(2));
            case 'u':
                return character(out, joined(digits(4)));
            default:
                // As Python: an escape that it does not know stays as it is.
                if (c != '\\' && c != '\'' && c != '"' && c != '/') out += '\\';
                out += c;
                return true;
        }
    }

    std::optional<unsigned> digits(std::size_t count) {
        unsigned value = 0;
        for (std::size_t i = 0; i < count; ++i, ++at_) {
            if (at_ == text_.size()) return std::nullopt;
            const std::size_t digit = std::string_view("0123456789abcdefABCDEF").find(text_[at_]);
            if (digit == std::string_view::npos) return std::nullopt;
            value = value * 16 + static_cast<unsigned>(digit < 16 ? digit : digit - 6);
        }
        return value;
    }

    /// The first half of a surrogate pair with its second half, as JSON writes such characters.
    std::optional<unsigned> joined(std::optional<unsigned> first) {
        if (!first || *first < 0xD800 || *first > 0xDFFF) return first;
        if (*first > 0xDBFF || text_.substr(at_, 2) != "\\u") return std::nullopt;
        at_ += 2;
        const auto second = digits(4);
        if (!second || *second < 0xDC00 || *second > 0xDFFF) return std::nullopt;
        return 0x10000 + ((*first - 0xD800) << 10 | (*second - 0xDC00));
    }

    static bool character(std::string& out, std::optional<unsigned> code) {
        if (code) append_utf8(out, *code);
        return code.has_value();
    }

    void spaces() {
        while (at_ < text_.size() && kSpaces.find(text_[at_]) != std::string_view::npos) ++at_;
    }
    char peek() const { return text_[at_]; }
    bool take(char c) {
        if (ended() || text_[at_] != c) return false;
        ++at_;
        return true;
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

}  // namespace

PythonEnd::State PythonEnd::feed(char c) {
    if (quote_ != 0) {
        if (escaped_) {
            escaped_ = false;
        } else if (c == '\\') {
            escaped_ = true;
        } else if (c == quote_) {
            quote_ = 0;
        }
        return State::more;
    }
    if (c == '"' || c == '\'') {
        quote_ = c;
    } else if (c == '[' || c == '(' || c == '{') {
        if (open_.size() == kMaxJsonDepth) return State::bad;
        open_.push_back(c == '[' ? ']' : c == '(' ? ')' : '}');
    } else if (c == ']' || c == ')' || c == '}') {
        if (open_.empty() || open_.back() != c) return State::bad;
        open_.pop_back();
        if (open_.empty()) return State::done;
    }
    return State::more;
}

std::optional<std::vector<Call>> python_calls(std::string_view text) {
    std::vector<Call> calls;
    if (!PythonReader(text).calls(calls)) return std::nullopt;
    // A doubled or invalid part shows here: what leaves is JSON.
    for (const Call& call : calls) {
        if (!is_json_object(call.arguments)) return std::nullopt;
    }
    return calls;
}

std::optional<std::string> python_literal(std::string_view text) {
    std::string json;
    PythonReader reader(text);
    if (!reader.literal(json) || !reader.ended() || !is_json(json)) return std::nullopt;
    return json;
}

}  // namespace shoal::chat
