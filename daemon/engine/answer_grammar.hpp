// An answer that is held to a grammar, token by token.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <variant>

#include "daemon/grammar/matcher.hpp"
#include "daemon/grammar/token_mask.hpp"
#include "daemon/grammar/vocabulary.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal {

/// Where an answer is in its grammar, and which tokens may be next. Compiling and the first mask
/// take long with a large grammar or vocabulary: not for the engine's thread. Later masks mostly
/// take microseconds. Used by one thread at a time.
class AnswerGrammar {
  public:
    /// Failed (bad_request) says what is wrong with the grammar and where.
    using Compiled = std::variant<AnswerGrammar, mesh::messages::Failed>;
    /// Requires: constraint.kind is not none.
    static Compiled compile(const mesh::messages::Constraint& constraint,
                            std::shared_ptr<const grammar::Vocabulary> vocabulary);

    /// Of a grammar that is there.
    AnswerGrammar(std::shared_ptr<const grammar::Grammar> grammar,
                  std::shared_ptr<const grammar::Vocabulary> vocabulary);

    /// The tokens that may be next. Requires: look() gave no failure since the last accept().
    const std::shared_ptr<const grammar::TokenMask>& allowed() const noexcept { return allowed_; }
    /// The text may end, and nothing else is possible.
    bool over() const noexcept { return over_; }

    /// Goes on by a token's bytes; false: it was not allowed. End tokens are none of its business.
    [[nodiscard]] bool accept(std::string_view bytes);
    /// Finds out which tokens may be next; why there are none, if so.
    [[nodiscard]] std::optional<mesh::messages::Failed> look();

  private:
    grammar::Matcher matcher_;
    std::shared_ptr<const grammar::Vocabulary> vocabulary_;
    std::shared_ptr<const grammar::TokenMask> allowed_;
    bool over_ = false;
};

}  // namespace shoal
