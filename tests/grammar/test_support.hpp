// What the tests of grammars share: small vocabularies, and texts against a grammar.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/grammar/grammar.hpp"
#include "daemon/grammar/matcher.hpp"
#include "daemon/grammar/token_mask.hpp"
#include "daemon/grammar/vocabulary.hpp"

namespace shoal::tests {

/// The grammar, or null and what is wrong with it.
struct Compiled {
    std::shared_ptr<const grammar::Grammar> grammar;
    std::string error;
};
Compiled compiled(const grammar::GrammarOrError& result);

/// Whether the whole text is one of the grammar's. The bytes are given singly, or all at once.
bool matches(const std::shared_ptr<const grammar::Grammar>& grammar, std::string_view text);

/// Tokens with their vocabulary. The last one ends an answer, the one before is never allowed.
struct SmallVocabulary {
    explicit SmallVocabulary(std::vector<std::string> texts);

    std::uint32_t end() const noexcept { return static_cast<std::uint32_t>(texts.size() - 1); }

    std::vector<std::string> texts;
    std::shared_ptr<const grammar::Vocabulary> vocabulary;
};

/// Every byte, and strings of `alphabet`'s bytes by chance, some of them long.
SmallVocabulary random_vocabulary(std::mt19937& random, std::string_view alphabet,
                                  std::size_t tokens);

/// The mask of a matcher as it is by its definition: every token tried.
grammar::TokenMask tried_mask(const grammar::Matcher& matcher, const SmallVocabulary& vocabulary);

}  // namespace shoal::tests
