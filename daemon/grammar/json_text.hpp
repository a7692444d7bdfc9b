// The parts that JSON texts are made of. Whatever is matched is JSON, in UTF-8, with little
// whitespace: see GRAMMAR.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/grammar/expression.hpp"

namespace shoal::grammar {

/// A text as it stands in a JSON string, without the quotes: characters are themselves, and
/// escaped only where JSON wants it, in the shortest way.
std::string json_escaped(std::string_view text);

/// The expressions are made when they are first asked for, and then shared. Every function throws
/// Refusal as RuleSet does. Externally synchronised.
class JsonText {
  public:
    explicit JsonText(RuleSet& rules) : rules_(rules) {}
    /// Strings without quotes and escapes, that end where this mark begins.
    JsonText(RuleSet& rules, std::string mark) : rules_(rules), mark_(std::move(mark)) {}

    /// Behind an opening and before a closing bracket, and behind a comma: nothing, one blank, or a
    /// new line with up to 20 blanks or tabs of indent.
    ExpressionId gap();
    /// Behind a colon: nothing or one blank.
    ExpressionId blank();

    /// One character of a string, raw or escaped, and pairs of escapes for what needs them.
    ExpressionId character();
    /// One of these characters, raw, or in its shortest escape when JSON wants one.
    ExpressionId character_of(const CodePointSet& set);
    ExpressionId string();
    /// This string.
    std::string written(std::string_view text) const;
    ExpressionId quoted(ExpressionId content);
    /// A string in its plainest form, that is none of these texts.
    ExpressionId string_but(std::vector<std::string> texts);

    ExpressionId number();
    ExpressionId integer();
    ExpressionId value();
    ExpressionId object();
    ExpressionId array();

    /// "name": value
    ExpressionId pair(ExpressionId name, ExpressionId value);
    /// item, item, ...: so many of them, in brackets.
    ExpressionId list(std::string_view open, ExpressionId item, std::string_view close,
                      std::uint32_t min = 0, std::uint32_t max = kUnbounded);
    ExpressionId comma();

  private:
    template <class Make>
    ExpressionId once(std::optional<ExpressionId>& known, const char* name, const Make& make);
    ExpressionId fraction_and_exponent();
    ExpressionId text_before_mark();
    bool plain() const noexcept { return !mark_.empty(); }
    CodePointSet mark_begin() const;
    void define_values();

    RuleSet& rules_;
    const std::string mark_;
    std::optional<ExpressionId> gap_, blank_, string_, number_, integer_, value_, object_, array_;
};

}  // namespace shoal::grammar
