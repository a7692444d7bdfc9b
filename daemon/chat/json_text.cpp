#include "daemon/chat/json_text.hpp"

#include <nlohmann/json.hpp>

namespace shoal::chat {
namespace {

using Json = nlohmann::json;

bool is_space(char c) noexcept {
    return kSpaces.find(c) != std::string_view::npos;
}

bool is_word(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '+' || c == '.';
}

bool too_deep(std::string_view text, std::size_t most_levels) noexcept {
    std::size_t depth = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (in_string) {
            if (c == '\\') ++i;
            if (c == '"') in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > most_levels) return true;
        } else if ((c == '}' || c == ']') && depth > 0) {
            --depth;
        }
    }
    return false;
}

/// Walks over text that is known to be valid JSON.
class Walk {
  public:
    explicit Walk(std::string_view text) : text_(text) {}

    /// Skips spaces and one byte: a bracket, comma or colon.
    char punctuation() {
        spaces();
        return text_[at_++];
    }
    char next() {
        spaces();
        return text_[at_];
    }
    std::string_view value() {
        spaces();
        const std::size_t begin = at_;
        std::size_t depth = 0;
        do {
            const char c = text_[at_];
            if (c == '"') {
                string();
            } else if (is_word(c)) {
                while (at_ < text_.size() && is_word(text_[at_])) ++at_;
            } else {
                if (c == '{' || c == '[') ++depth;
                if (c == '}' || c == ']') --depth;
                ++at_;
            }
        } while (depth > 0);
        return text_.substr(begin, at_ - begin);
    }

  private:
    void spaces() {
        while (is_space(text_[at_])) ++at_;
    }
    void string() {
        for (++at_; text_[at_] != '"'; ++at_) {
            if (text_[at_] == '\\') ++at_;
        }
        ++at_;
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

}  // namespace

JsonEnd::State JsonEnd::feed(char c) {
    switch (inside_) {
        case Inside::string:
            if (static_cast<unsigned char>(c) < 0x20) return State::bad;
            if (c == '\\') inside_ = Inside::escape;
            if (c == '"') {
                inside_ = Inside::nothing;
                expect_ = string_is_name_ ? Expect::colon : Expect::comma_or_end;
            }
            return State::more;
        case Inside::escape:
            inside_ = Inside::string;
            return std::string_view("\"\\/bfnrtu").find(c) == std::string_view::npos ? State::bad
                                                                                     : State::more;
        case Inside::word:
            if (is_word(c)) return State::more;
            inside_ = Inside::nothing;
            expect_ = Expect::comma_or_end;
            break;
        case Inside::nothing:
            break;
    }
    return is_space(c) ? State::more : structural(c);
}

JsonEnd::State JsonEnd::structural(char c) {
    const bool named = expect_ == Expect::name || expect_ == Expect::name_or_end;
    const bool valued = expect_ == Expect::value || expect_ == Expect::value_or_end;
    if (c == '{' || c == '[') return open(c);
    if (c == '}' || c == ']') return close(c);
    if (c == '"') {
        if (!named && !valued) return State::bad;
        string_is_name_ = named;
        inside_ = Inside::string;
        return State::more;
    }
    if (c == ':' && expect_ == Expect::colon) {
        expect_ = Expect::value;
        return State::more;
    }
    if (c == ',' && expect_ == Expect::comma_or_end) {
        expect_ = open_.back() == '}' ? Expect::name : Expect::value;
        return State::more;
    }
    if (!valued || !is_word(c)) return State::bad;
    inside_ = Inside::word;
    return State::more;
}

JsonEnd::State JsonEnd::open(char c) {
    const bool fits =
        expect_ == Expect::root || expect_ == Expect::value || expect_ == Expect::value_or_end;
    if (!fits || open_.size() == kMaxJsonDepth) return State::bad;
    open_.push_back(c == '{' ? '}' : ']');
    expect_ = c == '{' ? Expect::name_or_end : Expect::value_or_end;
    return State::more;
}

JsonEnd::State JsonEnd::close(char c) {
    const bool fits = expect_ == Expect::comma_or_end || expect_ == Expect::name_or_end ||
                      expect_ == Expect::value_or_end;
    if (!fits || open_.empty() || open_.back() != c) return State::bad;
    open_.pop_back();
    expect_ = Expect::comma_or_end;
    return open_.empty() ? State::done : State::more;
}

bool is_json(std::string_view text, std::size_t most_levels) {
    return !too_deep(text, most_levels) && Json::accept(text);
}

bool is_json_object(std::string_view text, std::size_t most_levels) {
    const std::string_view inner = trimmed(text);
    return !inner.empty() && inner.front() == '{' && is_json(inner, most_levels);
}

std::optional<std::vector<JsonMember>> members(std::string_view text) {
    if (!is_json_object(text)) return std::nullopt;
    std::vector<JsonMember> found;
    Walk walk(text);
    walk.punctuation();
    if (walk.next() == '}') return found;
    do {
        std::string name = string_value(walk.value()).value_or("");
        walk.punctuation();
        found.push_back({std::move(name), walk.value()});
    } while (walk.punctuation() == ',');
    return found;
}

std::optional<std::vector<std::string_view>> items(std::string_view text) {
    const std::string_view inner = trimmed(text);
    if (inner.empty() || inner.front() != '[' || !is_json(inner)) return std::nullopt;
    std::vector<std::string_view> found;
    Walk walk(inner);
    walk.punctuation();
    if (walk.next() == ']') return found;
    do {
        found.push_back(walk.value());
    } while (walk.punctuation() == ',');
    return found;
}

std::optional<std::string> string_value(std::string_view text) {
    const std::string_view inner = trimmed(text);
    if (inner.empty() || inner.front() != '"') return std::nullopt;
    const Json value = Json::parse(inner, nullptr, false);
    if (!value.is_string()) return std::nullopt;
    return value.get<std::string>();
}

std::string json_string(std::string_view text) {
    return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string_view trimmed(std::string_view text) noexcept {
    const std::size_t begin = text.find_first_not_of(kSpaces);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(kSpaces) - begin + 1);
}

}  // namespace shoal::chat
