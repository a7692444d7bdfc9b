#include "daemon/jinja/lexer.hpp"

#include <algorithm>
#include <array>

#include "daemon/jinja/error.hpp"
#include "daemon/jinja/literals.hpp"
#include "daemon/jinja/unicode.hpp"
#include "daemon/jinja/utf8.hpp"

namespace shoal::jinja {
namespace {

using Kind = Token::Kind;

constexpr std::array<std::string_view, 26> kSigns = {
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

class Lexer {
  public:
    explicit Lexer(std::string_view source) noexcept : source_(source) {}

    std::vector<Token> run() {
        while (at_ < source_.size()) next_part();
        add(Kind::end, {});
        return std::move(tokens_);
    }

  private:
    void next_part();
    void comment(std::size_t begin);
    bool raw(std::size_t begin);
    void tag(Kind begin, Kind end);
    bool tag_end(bool block);
    void expression_token();
    void bracket(char c);
    void data(std::size_t begin, std::size_t end, char strip, bool variable);
    /// How far a tag's end reaches: over all blanks after "-", over one line end with trim.
    std::size_t after_end(std::size_t position, char mark, bool trim) const;

    std::string_view rest() const noexcept { return source_.substr(at_); }
    bool starts(std::size_t position, std::string_view what) const noexcept {
        return source_.substr(std::min(position, source_.size())).starts_with(what);
    }
    /// "-" or "+" at the position, or 0.
    char mark_at(std::size_t position) const noexcept {
        const char c = position < source_.size() ? source_[position] : '\0';
        return c == '-' || c == '+' ? c : '\0';
    }
    std::size_t after_blanks(std::size_t position) const noexcept {
        while (position < source_.size() && unicode::is_space(utf8::at(source_, position))) {
            position += utf8::length_at(source_, position);
        }
        return position;
    }
    void add(Kind kind, std::string text) { tokens_.push_back({kind, line_, std::move(text)}); }
    void advance(std::size_t to) {
        line_ += static_cast<std::uint32_t>(
            std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                       source_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
        at_ = to;
    }

    std::string_view source_;
    std::size_t at_ = 0;
    std::uint32_t line_ = 1;
    std::string open_;  ///< brackets to be closed within the tag
    std::vector<Token> tokens_;
};

void Lexer::next_part() {
    std::size_t begin = at_;
    for (;; ++begin) {
        begin = source_.find('{', begin);
        if (begin == source_.npos || begin + 1 >= source_.size()) {
            add(Kind::data, std::string(rest()));
            advance(source_.size());
            return;
        }
        const char second = source_[begin + 1];
        if (second == '{' || second == '%' || second == '#') break;
    }
    const char second = source_[begin + 1];
    const char mark = mark_at(begin + 2);
    data(at_, begin, mark, second == '{');
    advance(begin);
    const std::size_t inside = begin + (mark != '\0' ? 3 : 2);
    if (second == '#') return comment(inside);
    if (second == '%' && raw(inside)) return;
    const bool block = second == '%';
    add(block ? Kind::block_begin : Kind::variable_begin, {});
    advance(inside);
    tag(block ? Kind::block_begin : Kind::variable_begin,
        block ? Kind::block_end : Kind::variable_end);
}

void Lexer::data(std::size_t begin, std::size_t end, char strip, bool variable) {
    std::string_view text = source_.substr(begin, end - begin);
    if (strip == '-') {
        while (!text.empty()) {
            const std::size_t last = utf8::before(text, text.size());
            if (!unicode::is_space(utf8::at(text, last))) break;
            text = text.substr(0, last);
        }
    } else if (strip != '+' && !variable) {
        const std::size_t newline = text.rfind('\n');
        const std::size_t line = newline == text.npos ? 0 : newline + 1;
        const bool from_its_start = line > 0 || begin == 0 || source_[begin - 1] == '\n';
        if (from_its_start && after_blanks(begin + line) >= end) text = text.substr(0, line);
    }
    if (!text.empty()) add(Kind::data, std::string(text));
}

std::size_t Lexer::after_end(std::size_t position, char mark, bool trim) const {
    if (mark == '-') return after_blanks(position);
    return mark == '\0' && trim && starts(position, "\n") ? position + 1 : position;
}

void Lexer::comment(std::size_t begin) {
    const std::size_t end = source_.find("#}", begin);
    if (end == source_.npos) fail_at(line_, "missing end of comment tag '#}'");
    advance(after_end(end + 2, end > begin ? mark_at(end - 1) : '\0', true));
}

// {% raw %} and everything up to {% endraw %} as text, from the tag's inside on. False when it is
// another tag.
bool Lexer::raw(std::size_t begin) {
    const std::uint32_t opened = line_;
    std::size_t at = after_blanks(begin);
    if (!starts(at, "raw")) return false;
    at = after_blanks(at + 3);
    const char mark = starts(at, "-") ? '-' : '\0';
    if (mark != '\0') ++at;
    if (!starts(at, "%}")) return false;
    advance(after_end(at + 2, mark, false));
    for (std::size_t end = source_.find("{%", at_); end != source_.npos;
         end = source_.find("{%", end + 1)) {
        const char strip = mark_at(end + 2);
        std::size_t after = after_blanks(end + (strip != '\0' ? 3 : 2));
        if (!starts(after, "endraw")) continue;
        after = after_blanks(after + 6);
        const char last = mark_at(after);
        if (last != '\0') ++after;
        if (!starts(after, "%}")) continue;
        data(at_, end, strip, false);
        advance(after_end(after + 2, last, true));
        return true;
    }
    fail_at(opened, "missing end of raw block '{% endraw %}'");
}

void Lexer::tag(Kind begin, Kind end) {
    const std::uint32_t opened = line_;
    const bool block = begin == Kind::block_begin;
    open_.clear();
    for (;;) {
        advance(after_blanks(at_));
        if (at_ >= source_.size()) {
            fail_at(opened, std::string("a tag that begins here is not closed by '") +
                                (block ? "%}'" : "}}'"));
        }
        if (open_.empty() && tag_end(block)) {
            tokens_.back().kind = end;
            return;
        }
        expression_token();
    }
}

bool Lexer::tag_end(bool block) {
    const char mark = mark_at(at_);
    if (mark == '+' && !block) return false;
    const std::size_t sign = at_ + (mark != '\0' ? 1 : 0);
    if (!starts(sign, block ? "%}" : "}}")) return false;
    add(Kind::end, {});
    advance(after_end(sign + 2, mark, block));
    return true;
}

void Lexer::expression_token() {
    if (const Literal number = number_at(rest()); number.length > 0) {
        add(number.real ? Kind::real : Kind::integer, number.text);
        return advance(at_ + number.length);
    }
    if (const std::size_t length = name_length(rest()); length > 0) {
        add(Kind::name, std::string(rest().substr(0, length)));
        return advance(at_ + length);
    }
    if (source_[at_] == '\'' || source_[at_] == '"') {
        const std::size_t length = quoted_length(rest());
        if (length == 0) fail_at(line_, "a string that begins here is not closed");
        const std::string_view inside = rest().substr(1, length - 2);
        add(Kind::string, {});
        try {
            tokens_.back().text = unescaped(inside);
        } catch (Failure& failure) {
            fail_at(line_, failure.message);
        }
        return advance(at_ + length);
    }
    for (const std::string_view sign : kSigns) {
        if (!starts(at_, sign)) continue;
        if (sign.size() == 1) bracket(sign[0]);
        add(Kind::sign, std::string(sign));
        return advance(at_ + sign.size());
    }
    fail_at(line_, "unexpected character '" +
                       std::string(rest().substr(0, utf8::length_at(source_, at_))) + "'");
}

void Lexer::bracket(char c) {
    static constexpr std::string_view kOpening = "([{", kClosing = ")]}";
    if (const auto which = kOpening.find(c); which != kOpening.npos) {
        open_.push_back(kClosing[which]);
    } else if (kClosing.find(c) != kClosing.npos) {
        if (open_.empty()) fail_at(line_, std::string("unexpected '") + c + "'");
        if (open_.back() != c) {
            fail_at(line_, std::string("unexpected '") + c + "', expected '" + open_.back() + "'");
        }
        open_.pop_back();
    }
}

}  // namespace

std::vector<Token> tokens_of(std::string_view source) {
    return Lexer(source).run();
}

std::string unified_lines(std::string_view source) {
    std::string out;
    out.reserve(source.size());
    for (std::size_t i = 0; i < source.size(); ++i) {
        if (source[i] != '\r') {
            out.push_back(source[i]);
        } else if (i + 1 == source.size() || source[i + 1] != '\n') {
            out.push_back('\n');
        }
    }
    if (out.ends_with('\n')) out.pop_back();
    return out;
}

}  // namespace shoal::jinja
