#include "daemon/grammar/pattern.hpp"

#include <optional>
#include <string>
#include <vector>

#include "daemon/grammar/limits.hpp"
#include "daemon/grammar/refusal.hpp"

namespace shoal::grammar {
namespace {

/// \d, \w and \s, and their complements in capitals; nothing for other letters.
std::optional<CodePointSet> named_set(char letter) {
    const auto positive = [](char lower) -> std::optional<CodePointSet> {
        switch (lower) {
            case 'd':
                return CodePointSet({{'0', '9'}});
            case 'w':
                return CodePointSet({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}});
            case 's':
                return CodePointSet({{'\t', '\r'},
                                     {' ', ' '},
                                     {0xA0, 0xA0},
                                     {0x1680, 0x1680},
                                     {0x2000, 0x200A},
                                     {0x2028, 0x2029},
                                     {0x202F, 0x202F},
                                     {0x205F, 0x205F},
                                     {0x3000, 0x3000},
                                     {0xFEFF, 0xFEFF}});
            default:
                return std::nullopt;
        }
    };
    if (const auto set = positive(letter)) return set;
    if (letter < 'A' || letter > 'Z') return std::nullopt;
    const auto set = positive(static_cast<char>(letter | 0x20));
    return set ? std::optional(set->complement()) : std::nullopt;
}

class PatternReader {
  public:
    PatternReader(std::string_view pattern, RuleSet& rules, JsonText& json)
        : pattern_(pattern), rules_(rules), json_(json) {}

    ExpressionId read() {
        const ExpressionId content = read_alternatives(0);
        if (!at_end()) fail("this ) closes nothing");
        return content;
    }

  private:
    [[noreturn]] void fail(const std::string& what) const {
        throw Refusal("character " + std::to_string(at_ + 1) + " of the pattern: " + what);
    }
    bool at_end() const noexcept { return at_ >= pattern_.size(); }
    char here() const noexcept { return at_end() ? '\0' : pattern_[at_]; }
    bool take(std::string_view what) noexcept {
        if (!pattern_.substr(at_).starts_with(what)) return false;
        at_ += what.size();
        return true;
    }

    ExpressionId anything() { return rules_.repetition(json_.character(), 0); }

    ExpressionId read_alternatives(std::size_t nesting) {
        if (nesting > kMaxNesting) {
            fail("groups are nested deeper than " + std::to_string(kMaxNesting));
        }
        std::vector<ExpressionId> parts;
        do {
            parts.push_back(nesting == 0 ? read_branch() : read_sequence(nesting));
        } while (take("|"));
        return rules_.alternatives(std::move(parts));
    }

    /// One alternative outside of groups, which may be held at its ends.
    ExpressionId read_branch() {
        const bool from_start = take("^");
        const ExpressionId found = read_sequence(0);
        const bool to_end = take("$");
        std::vector<ExpressionId> parts;
        if (!from_start) parts.push_back(anything());
        parts.push_back(found);
        if (!to_end) parts.push_back(anything());
        return rules_.sequence(std::move(parts));
    }

    ExpressionId read_sequence(std::size_t nesting) {
        std::vector<ExpressionId> parts;
        while (!at_end() && here() != '|' && here() != ')') {
            if (here() == '^' || here() == '$') {
                const bool closes = here() == '$' && nesting == 0 &&
                                    (at_ + 1 == pattern_.size() || pattern_[at_ + 1] == '|');
                if (closes) break;
                fail("^ and $ are supported at the ends of the whole pattern only");
            }
            parts.push_back(read_repetition(read_atom(nesting)));
        }
        return rules_.sequence(std::move(parts));
    }

    ExpressionId read_atom(std::size_t nesting) {
        if (take("(")) return read_group(nesting);
        if (take("[")) return json_.character_of(read_class());
        if (take(".")) {
            const CodePointSet ends({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}});
            return json_.character_of(ends.complement());
        }
        if (here() == '*' || here() == '+' || here() == '?' || here() == '{') {
            fail("there is nothing before this to repeat; a plain one is written with \\");
        }
        return json_.character_of(read_character(false));
    }

    ExpressionId read_group(std::size_t nesting) {
        if (take("?")) {
            const bool named = here() == '<' && at_ + 1 < pattern_.size() &&
                               pattern_[at_ + 1] != '=' && pattern_[at_ + 1] != '!';
            if (named) {
                at_ = pattern_.find('>', at_);
                if (at_ == pattern_.npos) at_ = pattern_.size();
                if (!take(">")) fail("the group's name is not closed with >");
            } else if (!take(":")) {
                fail("look-around and flags are not supported");
            }
        }
        const ExpressionId group = read_alternatives(nesting + 1);
        if (!take(")")) fail("a ) is missing");
        return group;
    }

    ExpressionId read_repetition(ExpressionId part) {
        std::uint32_t min = 0, max = kUnbounded;
        if (take("+")) {
            min = 1;
        } else if (take("?")) {
            max = 1;
        } else if (take("{")) {
            read_counts(min, max);
        } else if (!take("*")) {
            return part;
        }
        take("?");  // As few as possible: the same texts are found.
        if (here() == '*' || here() == '+' || here() == '?' || here() == '{') {
            fail("a repetition cannot be repeated; put it into (?: )");
        }
        return rules_.repetition(part, min, max);
    }

    void read_counts(std::uint32_t& min, std::uint32_t& max) {
        const auto first = read_number();
        if (!first) fail("a count is expected: {m}, {m,} or {m,n}");
        min = *first;
        max = take(",") ? read_number().value_or(kUnbounded) : min;
        if (!take("}")) fail("a count is expected: {m}, {m,} or {m,n}");
        if (max < min) fail("the second count is smaller than the first");
    }
    std::optional<std::uint32_t> read_number() {
        const std::size_t start = at_;
        std::uint32_t number = 0;
        for (; here() >= '0' && here() <= '9'; ++at_) {
            number = number * 10 + static_cast<std::uint32_t>(here() - '0');
            if (number > kMaxRepetition) {
                fail("more than " + std::to_string(kMaxRepetition) + " repetitions");
            }
        }
        return at_ == start ? std::nullopt : std::optional(number);
    }

    CodePointSet read_class() {
        const bool negated = take("^");
        CodePointSet set;
        while (here() != ']' || at_end()) {
            if (at_end()) fail("a ] is missing");
            const CodePointSet first = read_character(true);
            const bool range =
                here() == '-' && at_ + 1 < pattern_.size() && pattern_[at_ + 1] != ']';
            if (!range) {
                set = set.with(first);
                continue;
            }
            ++at_;
            const CodePointSet last = read_character(true);
            set = set.with(CodePointSet({{single(first), single(last)}}));
            if (single(last) < single(first)) fail("the range's end comes before its start");
        }
        ++at_;
        return negated ? set.complement() : set;
    }
    char32_t single(const CodePointSet& set) const {
        const auto& ranges = set.ranges();
        const bool one = ranges.size() == 1 && ranges[0].first == ranges[0].last;
        if (!one) fail("a range goes from one character to another");
        return ranges[0].first;
    }

    CodePointSet read_character(bool in_class) {
        if (take("\\")) return read_escape(in_class);
        const std::size_t start = at_;
        const char32_t c = next_code_point(pattern_, at_);
        if (c == kNotUtf8) {
            at_ = start;
            fail("this is not UTF-8");
        }
        return CodePointSet({{c, c}});
    }

    CodePointSet read_escape(bool in_class) {
        if (at_end()) fail("a character is missing behind \\");
        const char letter = pattern_[at_];
        if (auto set = named_set(letter)) {
            ++at_;
            return *std::move(set);
        }
        const auto one = [](char32_t c) { return CodePointSet({{c, c}}); };
        static constexpr std::pair<char, char> kControls[] = {
            {'t', '\t'}, {'n', '\n'}, {'r', '\r'}, {'f', '\f'}, {'v', '\v'}, {'0', '\0'}};
        for (const auto& [name, control] : kControls) {
            if (take({&name, 1})) return one(static_cast<unsigned char>(control));
        }
        if (in_class && take("b")) return one('\b');
        if (take("x")) return one(read_hex(2));
        if (take("u")) return one(read_hex(4));
        const bool plain = !(letter >= '0' && letter <= '9') && !(letter >= 'a' && letter <= 'z') &&
                           !(letter >= 'A' && letter <= 'Z') &&
                           static_cast<unsigned char>(letter) < 0x80;
        if (!plain) fail("this escape is not supported");
        ++at_;
        return one(static_cast<unsigned char>(letter));
    }
    char32_t read_hex(int digits) {
        char32_t value = 0;
        for (int i = 0; i < digits; ++i, ++at_) {
            const char c = here();
            const bool letter = (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
            if (!letter && !(c >= '0' && c <= '9')) fail("hexadecimal digits are missing");
            value = value * 16 + static_cast<char32_t>(letter ? (c | 0x20) - 'a' + 10 : c - '0');
        }
        if (value >= 0xD800 && value <= 0xDFFF) fail("surrogates are not supported");
        return value;
    }

    std::string_view pattern_;
    RuleSet& rules_;
    JsonText& json_;
    std::size_t at_ = 0;
};

}  // namespace

ExpressionId read_pattern(std::string_view pattern, RuleSet& rules, JsonText& json) {
    return PatternReader(pattern, rules, json).read();
}

}  // namespace shoal::grammar
