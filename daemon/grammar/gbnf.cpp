#include "daemon/grammar/gbnf.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/grammar/limits.hpp"
#include "daemon/grammar/refusal.hpp"

namespace shoal::grammar {
namespace {

bool in_name(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

class GbnfReader {
  public:
    GbnfReader(std::string_view text, RuleSet& rules) : text_(text), rules_(rules) {}

    RuleId read() {
        skip_space(true);
        while (!at_end()) read_rule();
        for (const auto& [name, use] : names_) {
            if (!rules_.defined(use.rule)) {
                fail(use.first_at, "rule \"" + std::string(name) + "\" is not defined");
            }
        }
        const auto root = names_.find("root");
        if (root == names_.end())
            fail(text_.size(), "there is no rule \"root\", which is where a text starts");
        return root->second.rule;
    }

  private:
    struct Name {
        RuleId rule;
        std::size_t first_at;
    };

    [[noreturn]] void fail(std::size_t at, const std::string& what) const {
        const std::string_view before = text_.substr(0, std::min(at, text_.size()));
        const auto line = 1 + std::count(before.begin(), before.end(), '\n');
        const std::size_t start = before.rfind('\n');
        const std::size_t column = before.size() - (start == before.npos ? 0 : start + 1) + 1;
        throw Refusal("line " + std::to_string(line) + ", column " + std::to_string(column) + ": " +
                      what);
    }
    /// What the rule set refuses is told with the place.
    template <class Add>
    auto placed(std::size_t at, const Add& add) const {
        try {
            return add();
        } catch (const Refusal& refusal) {
            fail(at, refusal.what());
        }
    }

    bool at_end() const noexcept { return at_ >= text_.size(); }
    char here() const noexcept { return at_end() ? '\0' : text_[at_]; }
    bool take(std::string_view what) noexcept {
        if (!text_.substr(at_).starts_with(what)) return false;
        at_ += what.size();
        return true;
    }

    /// Blanks and comments, and ends of lines where these mean nothing.
    void skip_space(bool lines) noexcept {
        for (; !at_end(); ++at_) {
            if (here() == '#') at_ = std::min(text_.find_first_of("\r\n", at_), text_.size());
            const char c = here();
            const bool blank = c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'));
            if (!blank || at_end()) return;
        }
    }

    std::string_view read_name() {
        const std::size_t start = at_;
        while (!at_end() && in_name(here())) ++at_;
        if (at_ == start) fail(at_, "a rule's name is missing: letters, digits, - and _");
        return text_.substr(start, at_ - start);
    }
    RuleId rule_of(std::string_view name, std::size_t at) {
        const auto known = names_.find(name);
        if (known != names_.end()) return known->second.rule;
        const RuleId rule = placed(at, [&] { return rules_.add_rule(std::string(name)); });
        names_.emplace(name, Name{rule, at});
        return rule;
    }

    void read_rule() {
        const std::size_t start = at_;
        const std::string_view name = read_name();
        skip_space(false);
        if (!take("::=")) fail(at_, "::= is missing behind \"" + std::string(name) + "\"");
        skip_space(true);
        const RuleId rule = rule_of(name, start);
        if (rules_.defined(rule)) {
            fail(start, "rule \"" + std::string(name) + "\" is defined twice");
        }
        rules_.define(rule, read_alternatives(0));
        if (!at_end() && here() != '\n' && here() != '\r') {
            fail(at_, here() == ')' ? "this ) closes nothing"
                                    : "a rule ends with its line; this does not belong to it");
        }
        skip_space(true);
    }

    ExpressionId read_alternatives(std::size_t nesting) {
        const std::size_t start = at_;
        if (nesting > kMaxNesting) {
            fail(at_, "groups are nested deeper than " + std::to_string(kMaxNesting));
        }
        std::vector<ExpressionId> parts{read_sequence(nesting)};
        while (take("|")) {
            skip_space(true);
            parts.push_back(read_sequence(nesting));
        }
        return placed(start, [&] { return rules_.alternatives(std::move(parts)); });
    }

    ExpressionId read_sequence(std::size_t nesting) {
        const std::size_t start = at_;
        std::vector<ExpressionId> parts;
        while (const auto part = read_part(nesting)) {
            skip_space(nesting > 0);
            parts.push_back(read_repetitions(*part, nesting));
        }
        return placed(start, [&] { return rules_.sequence(std::move(parts)); });
    }

    /// Nothing where a sequence ends.
    std::optional<ExpressionId> read_part(std::size_t nesting) {
        const std::size_t start = at_;
        if (at_end()) return std::nullopt;
        if (take("\"")) return read_literal(start);
        if (take("[")) return read_class(start);
        if (take(".")) {
            return placed(start, [&] { return rules_.character(CodePointSet::all()); });
        }
        if (take("(")) {
            skip_space(true);
            const ExpressionId group = read_alternatives(nesting + 1);
            if (!take(")")) fail(start, "this ( is not closed");
            return group;
        }
        if (here() == '<' || here() == '!') {
            fail(at_, "tokens (<...>) cannot be named here; write the token's text");
        }
        if (!in_name(here())) return std::nullopt;
        const std::string_view name = read_name();
        const RuleId rule = rule_of(name, start);
        return placed(start, [&] { return rules_.reference(rule); });
    }

    /// The signs behind a part, each of which repeats all that is before it.
    ExpressionId read_repetitions(ExpressionId part, std::size_t nesting) {
        for (std::size_t signs = 0; !at_end(); ++signs) {
            const std::size_t start = at_;
            std::uint32_t min = 0, max = kUnbounded;
            if (take("+")) {
                min = 1;
            } else if (take("?")) {
                max = 1;
            } else if (take("{")) {
                read_counts(start, min, max);
            } else if (!take("*")) {
                break;
            }
            if (signs >= kMaxNesting) fail(start, "too many repetitions of repetitions");
            part = placed(start, [&] { return rules_.repetition(part, min, max); });
            skip_space(nesting > 0);
        }
        return part;
    }

    void read_counts(std::size_t start, std::uint32_t& min, std::uint32_t& max) {
        skip_space(true);
        const auto first = read_number();
        skip_space(true);
        min = first.value_or(0);
        if (take(",")) {
            skip_space(true);
            max = read_number().value_or(kUnbounded);
            if (!first && max == kUnbounded)
                fail(start, "a count is missing: {m}, {m,}, {m,n} or {,n}");
            skip_space(true);
        } else if (first) {
            max = min;
        }
        if (!take("}")) fail(start, "this { is not a count: {m}, {m,}, {m,n} or {,n}");
        if (max < min) fail(start, "the second count is smaller than the first");
    }
    std::optional<std::uint32_t> read_number() {
        const std::size_t start = at_;
        std::uint32_t number = 0;
        for (; here() >= '0' && here() <= '9'; ++at_) {
            number = number * 10 + static_cast<std::uint32_t>(here() - '0');
            if (number > kMaxRepetition) {
                fail(start, "more than " + std::to_string(kMaxRepetition) + " repetitions");
            }
        }
        return at_ == start ? std::nullopt : std::optional(number);
    }

    ExpressionId read_literal(std::size_t start) {
        std::string literal;
        while (here() != '"' || at_end()) {
            if (at_end()) fail(start, "this literal is not closed with \"");
            append_utf8(read_character(), literal);
        }
        ++at_;
        return placed(start, [&] { return rules_.literal(literal); });
    }

    ExpressionId read_class(std::size_t start) {
        const bool negated = take("^");
        std::vector<CodePointRange> ranges;
        while (here() != ']' || at_end()) {
            if (at_end()) fail(start, "this class is not closed with ]");
            const std::size_t at = at_;
            const char32_t first = read_character();
            char32_t last = first;
            if (here() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
                ++at_;
                last = read_character();
                if (last < first) fail(at, "the range's end comes before its start");
            }
            ranges.push_back({first, last});
            if (ranges.size() > kMaxExpressions) fail(start, "the class is too large");
        }
        ++at_;
        if (ranges.empty() && !negated) fail(start, "an empty class matches nothing");
        const CodePointSet set(std::move(ranges));
        return placed(start, [&] { return rules_.character(negated ? set.complement() : set); });
    }

    /// One character of a literal or a class. Escapes stand for code points, \xFF too.
    char32_t read_character() {
        const std::size_t start = at_;
        if (!take("\\")) {
            const char32_t c = next_code_point(text_, at_);
            if (c == kNotUtf8) fail(start, "this is not UTF-8");
            return c;
        }
        if (at_end()) fail(start, "a character is missing behind \\");
        switch (const char c = text_[at_++]) {
            case 'x':
                return read_hex(start, 2);
            case 'u':
                return read_hex(start, 4);
            case 'U':
                return read_hex(start, 8);
            case 't':
                return U'\t';
            case 'r':
                return U'\r';
            case 'n':
                return U'\n';
            case '\\':
            case '"':
            case '[':
            case ']':
            case '-':
            case '^':
                return static_cast<unsigned char>(c);
            default:
                fail(start,
                     "an unknown escape; known are \\n \\r \\t \\\\ \\\" \\[ \\] \\- \\^ \\xHH "
                     "\\uHHHH \\UHHHHHHHH");
        }
    }
    char32_t read_hex(std::size_t start, int digits) {
        char32_t value = 0;
        for (int i = 0; i < digits; ++i, ++at_) {
            const char c = here();
            const bool letter = (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
            if (!letter && !(c >= '0' && c <= '9')) fail(start, "hexadecimal digits are missing");
            value = value * 16 + static_cast<char32_t>(letter ? (c | 0x20) - 'a' + 10 : c - '0');
        }
        if (value > kLastCodePoint || (value >= 0xD800 && value <= 0xDFFF)) {
            fail(start, "this is no Unicode character");
        }
        return value;
    }

    std::string_view text_;
    RuleSet& rules_;
    std::size_t at_ = 0;
    std::map<std::string_view, Name> names_;
};

}  // namespace

RuleId read_gbnf(std::string_view text, RuleSet& rules) {
    return GbnfReader(text, rules).read();
}

}  // namespace shoal::grammar
