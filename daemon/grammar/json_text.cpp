#include "daemon/grammar/json_text.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "daemon/grammar/refusal.hpp"

namespace shoal::grammar {
namespace {

constexpr char32_t kLastControl = 0x1F;

/// How a character that may not stand in a string itself is escaped.
std::string escape_of(char32_t c) {
    static constexpr std::pair<char32_t, char> kShort[] = {
        {'"', '"'}, {'\\', '\\'}, {'\b', 'b'}, {'\f', 'f'}, {'\n', 'n'}, {'\r', 'r'}, {'\t', 't'}};
    for (const auto& [character, letter] : kShort) {
        if (c == character) return {'\\', letter};
    }
    static constexpr std::string_view kDigits = "0123456789abcdef";
    return std::string("\\u00") + kDigits[c >> 4] + kDigits[c & 0xF];
}

bool must_be_escaped(char32_t c) noexcept {
    return c <= kLastControl || c == '"' || c == '\\';
}

const CodePointSet& escaped_set() {
    static const CodePointSet set({{0, kLastControl}, {'"', '"'}, {'\\', '\\'}});
    return set;
}

CodePointSet characters(std::initializer_list<CodePointRange> ranges) {
    return CodePointSet(std::vector<CodePointRange>(ranges));
}
CodePointSet digits() {
    return characters({{'0', '9'}});
}
CodePointSet hex_digits() {
    return characters({{'0', '9'}, {'A', 'F'}, {'a', 'f'}});
}

/// One bound for all digits, so that a number ends: what a double holds is far shorter.
constexpr std::uint32_t kFreeIntegerDigits = 20, kFreeFractionDigits = 20;
constexpr std::uint32_t kMaxIndent = 20;

}  // namespace

std::string json_escaped(std::string_view text) {
    std::string escaped;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (must_be_escaped(byte)) {
            escaped += escape_of(byte);
        } else {
            escaped += c;
        }
    }
    return escaped;
}

template <class Make>
ExpressionId JsonText::once(std::optional<ExpressionId>& known, const char* name,
                            const Make& make) {
    if (!known) known = rules_.shared(name, make());
    return *known;
}

ExpressionId JsonText::gap() {
    return once(gap_, "gap", [&] {
        const auto indent = rules_.repetition(
            rules_.character(characters({{' ', ' '}, {'\t', '\t'}})), 0, kMaxIndent);
        const auto line = rules_.sequence({rules_.literal("\n"), indent});
        return rules_.optional(rules_.alternatives({rules_.literal(" "), line}));
    });
}

ExpressionId JsonText::blank() {
    if (!blank_) blank_ = rules_.optional(rules_.literal(" "));
    return *blank_;
}

ExpressionId JsonText::comma() {
    return rules_.sequence({rules_.literal(","), gap()});
}

ExpressionId JsonText::character() {
    if (plain()) return rules_.character(mark_begin().complement());
    const auto hex = [&](std::uint32_t count) {
        return rules_.repetition(rules_.character(hex_digits()), count, count);
    };
    const auto raw = rules_.character(escaped_set().complement());
    const auto single = rules_.words({"\"", "\\", "/", "b", "f", "n", "r", "t"});
    const auto d = [&] { return rules_.character(characters({{'D', 'D'}, {'d', 'd'}})); };
    const auto not_d = rules_.sequence(
        {rules_.character(hex_digits().without(characters({{'D', 'D'}, {'d', 'd'}}))), hex(3)});
    const auto low_d = rules_.sequence({d(), rules_.character(characters({{'0', '7'}})), hex(2)});
    // A half of a surrogate pair stands for nothing alone.
    const auto high = rules_.character(characters({{'8', '9'}, {'A', 'B'}, {'a', 'b'}}));
    const auto low = rules_.character(characters({{'C', 'F'}, {'c', 'f'}}));
    const auto surrogates =
        rules_.sequence({d(), high, hex(2), rules_.literal("\\u"), d(), low, hex(2)});
    const auto unicode =
        rules_.sequence({rules_.literal("u"), rules_.alternatives({not_d, low_d, surrogates})});
    const auto escaped =
        rules_.sequence({rules_.literal("\\"), rules_.alternatives({single, unicode})});
    return rules_.alternatives({raw, escaped});
}

ExpressionId JsonText::character_of(const CodePointSet& set) {
    if (plain()) return rules_.character(set.without(mark_begin()));
    std::vector<std::string> escapes;
    for (const auto& [first, last] : escaped_set().ranges()) {
        for (char32_t c = first; c <= last; ++c) {
            if (set.contains(c)) escapes.push_back(escape_of(c));
        }
    }
    const auto raw = rules_.character(set.without(escaped_set()));
    if (escapes.empty()) return raw;
    return rules_.alternatives({raw, rules_.words(std::move(escapes))});
}

ExpressionId JsonText::quoted(ExpressionId content) {
    if (plain()) return content;
    return rules_.sequence({rules_.literal("\""), content, rules_.literal("\"")});
}

ExpressionId JsonText::string() {
    return once(string_, "string", [&] {
        return plain() ? text_before_mark() : quoted(rules_.repetition(character(), 0));
    });
}

std::string JsonText::written(std::string_view text) const {
    if (!plain()) return "\"" + json_escaped(text) + "\"";
    if (text.find(mark_) == std::string_view::npos) return std::string(text);
    throw Refusal("\"" + mark_ + "\" within a text would end it where this model writes calls");
}

CodePointSet JsonText::mark_begin() const {
    std::size_t at = 0;
    const char32_t first = next_code_point(mark_, at);
    return CodePointSet({{first, first}});
}

/// Every text that the mark does not stand in. Its beginnings may: each is followed by another
/// character than the mark goes on with, or by the mark's first again, which stands nowhere else
/// in the mark.
ExpressionId JsonText::text_before_mark() {
    const CodePointSet first = mark_begin();
    std::vector<std::string> beginnings;
    std::vector<char32_t> nexts;
    std::size_t at = 0;
    next_code_point(mark_, at);
    while (at < mark_.size()) {
        beginnings.push_back(mark_.substr(0, at));
        nexts.push_back(next_code_point(mark_, at));
    }
    const auto begun = rules_.repetition(rules_.words(beginnings), 0);
    std::vector<ExpressionId> ways{rules_.character(first.complement())};
    for (std::size_t i = 0; i < nexts.size(); ++i) {
        const CodePointSet next({{nexts[i], nexts[i]}});
        ways.push_back(rules_.sequence({begun, rules_.literal(beginnings[i]),
                                        rules_.character(first.complement().without(next))}));
    }
    return rules_.sequence({rules_.repetition(rules_.alternatives(std::move(ways)), 0), begun});
}

namespace {

/// The texts as a tree of characters, for saying what none of them begins with. Written from the
/// ends of the texts, so that however long they are nothing recurses.
class OtherStrings {
  public:
    OtherStrings(RuleSet& rules, JsonText& json, std::vector<std::string> texts)
        : rules_(rules), json_(json), nodes_(1) {
        for (const std::string& text : texts) add(text);
    }

    ExpressionId write(ExpressionId any_string) {
        std::vector<ExpressionId> others(nodes_.size());
        for (std::size_t i = nodes_.size(); i-- > 0;) {
            const Node& node = nodes_[i];
            std::vector<ExpressionId> ways;
            if (!node.is_text) ways.push_back(rules_.empty());
            std::vector<CodePointRange> taken;
            for (const auto& [c, child] : node.children) {
                taken.push_back({c, c});
                const auto same = json_.character_of(CodePointSet({{c, c}}));
                ways.push_back(rules_.sequence({same, others[child]}));
            }
            const auto other = json_.character_of(CodePointSet(std::move(taken)).complement());
            ways.push_back(rules_.sequence({other, any_string}));
            // A rule for each node keeps expressions flat.
            const RuleId rule = rules_.add_rule("another name");
            rules_.define(rule, rules_.alternatives(std::move(ways)));
            others[i] = rules_.reference(rule);
        }
        return others[0];
    }

  private:
    struct Node {
        std::vector<std::pair<char32_t, std::size_t>> children;
        bool is_text = false;
    };

    void add(std::string_view text) {
        std::size_t node = 0;
        for (std::size_t at = 0; at < text.size();) {
            const char32_t c = next_code_point(text, at);
            auto& children = nodes_[node].children;
            const auto known = std::find_if(children.begin(), children.end(),
                                            [&](const auto& child) { return child.first == c; });
            if (known != children.end()) {
                node = known->second;
                continue;
            }
            children.emplace_back(c, nodes_.size());
            node = nodes_.size();
            nodes_.emplace_back();
        }
        nodes_[node].is_text = true;
    }

    RuleSet& rules_;
    JsonText& json_;
    std::vector<Node> nodes_;  ///< parents before children
};

}  // namespace

ExpressionId JsonText::string_but(std::vector<std::string> texts) {
    const auto any = rules_.repetition(character_of(CodePointSet::all()), 0);
    return quoted(OtherStrings(rules_, *this, std::move(texts)).write(any));
}

ExpressionId JsonText::integer() {
    return once(integer_, "integer", [&] {
        const auto more = rules_.repetition(rules_.character(digits()), 0, kFreeIntegerDigits - 1);
        const auto positive = rules_.sequence({rules_.character(characters({{'1', '9'}})), more});
        return rules_.sequence({rules_.optional(rules_.literal("-")),
                                rules_.alternatives({rules_.literal("0"), positive})});
    });
}

ExpressionId JsonText::fraction_and_exponent() {
    const auto digit = rules_.character(digits());
    const auto fraction =
        rules_.sequence({rules_.literal("."), rules_.repetition(digit, 1, kFreeFractionDigits)});
    // Up to 299, which a double holds.
    const auto hundreds = rules_.optional(rules_.character(characters({{'0', '2'}})));
    const auto exponent =
        rules_.sequence({rules_.words({"e", "E"}), rules_.optional(rules_.words({"+", "-"})),
                         rules_.alternatives({rules_.sequence({hundreds, digit, digit}), digit})});
    return rules_.sequence({rules_.optional(fraction), rules_.optional(exponent)});
}

ExpressionId JsonText::number() {
    return once(number_, "number", [&] {
        return rules_.sequence({integer(), fraction_and_exponent()});
    });
}

ExpressionId JsonText::pair(ExpressionId name, ExpressionId value) {
    return rules_.sequence({name, rules_.literal(":"), blank(), value});
}

ExpressionId JsonText::list(std::string_view open, ExpressionId item, std::string_view close,
                            std::uint32_t min, std::uint32_t max) {
    const auto nothing = rules_.sequence({rules_.literal(open), gap(), rules_.literal(close)});
    if (max == 0) return nothing;
    const auto more = rules_.repetition(rules_.sequence({comma(), item}), min == 0 ? 0 : min - 1,
                                        max == kUnbounded ? max : max - 1);
    const auto some =
        rules_.sequence({rules_.literal(open), gap(), item, more, gap(), rules_.literal(close)});
    return min > 0 ? some : rules_.alternatives({nothing, some});
}

void JsonText::define_values() {
    const RuleId value = rules_.add_rule("value", true);
    value_ = rules_.reference(value);
    array_ = rules_.shared("array", list("[", *value_, "]"));
    object_ = rules_.shared("object", list("{", pair(string(), *value_), "}"));
    rules_.define(value, rules_.alternatives({rules_.words({"true", "false", "null"}), string(),
                                              number(), *array_, *object_}));
}

ExpressionId JsonText::value() {
    if (!value_) define_values();
    return *value_;
}
ExpressionId JsonText::object() {
    if (!object_) define_values();
    return *object_;
}
ExpressionId JsonText::array() {
    if (!array_) define_values();
    return *array_;
}

}  // namespace shoal::grammar
