#include "daemon/engine/answer_grammar.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "daemon/grammar/grammar.hpp"

namespace shoal {

using mesh::messages::Constraint;
using mesh::messages::ErrorCode;
using mesh::messages::Failed;

AnswerGrammar::AnswerGrammar(std::shared_ptr<const grammar::Grammar> grammar,
                             std::shared_ptr<const grammar::Vocabulary> vocabulary)
    : matcher_(std::move(grammar)), vocabulary_(std::move(vocabulary)) {}

AnswerGrammar::Compiled AnswerGrammar::compile(
    const Constraint& constraint, std::shared_ptr<const grammar::Vocabulary> vocabulary) {
    const bool schema = constraint.kind == Constraint::Kind::json_schema;
    auto compiled = schema ? grammar::compile_json_schema(constraint.text)
                           : grammar::compile_gbnf(constraint.text);
    if (const auto* wrong = std::get_if<grammar::GrammarError>(&compiled)) {
        return Failed{ErrorCode::bad_request,
                      (schema ? "the JSON schema: " : "the grammar: ") + wrong->message};
    }
    return AnswerGrammar(std::move(std::get<0>(compiled)), std::move(vocabulary));
}

bool AnswerGrammar::accept(std::string_view bytes) {
    return matcher_.accept(bytes) == grammar::Matcher::Outcome::accepted;
}

std::optional<Failed> AnswerGrammar::look() {
    allowed_ = matcher_.allowed(vocabulary_);
    if (!allowed_) {
        return Failed{
            ErrorCode::bad_request,
            "the grammar is too ambiguous: the answer so far can be read in more ways than "
            "can be followed; write it with fewer alternatives that begin alike"};
    }
    const auto ends = vocabulary_->ends();
    const auto allowed_ends = static_cast<std::size_t>(
        std::count_if(ends.begin(), ends.end(), [&](auto id) { return (*allowed_)[id]; }));
    const bool texts = allowed_->count() > allowed_ends;
    over_ = matcher_.may_end() && !texts;
    if (texts || over_) return std::nullopt;
    return Failed{ErrorCode::bad_request,
                  "the model has no token for what the grammar wants next: it may want bytes that "
                  "its vocabulary lacks"};
}

}  // namespace shoal
