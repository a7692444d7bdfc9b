// What a grammar may cost. Grammars and schemas come from whoever sends a request, so everything
// that grows with them has a bound here, and a grammar beyond it is refused with its name.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shoal::grammar {

/// Bytes of a grammar's or a schema's text.
inline constexpr std::size_t kMaxSourceBytes = 1 << 20;
/// Groups within groups, schemas within schemas.
inline constexpr std::size_t kMaxNesting = 64;
inline constexpr std::size_t kMaxRules = 20'000;
/// Parts of all expressions together: literals, classes, groups, repetitions, references.
inline constexpr std::size_t kMaxExpressions = 200'000;
/// States of the compiled automata, without those that a counted repetition stands for.
inline constexpr std::size_t kMaxStates = 400'000;
/// The count in {m,n}.
inline constexpr std::uint32_t kMaxRepetition = 1'000'000;

/// Places where one text can be at once in the grammar, and what one place can return to.
inline constexpr std::size_t kMaxItems = 2048;
/// Items looked at for one mask or one byte: what ends the work on an ambiguous grammar.
inline constexpr std::size_t kMaxWork = 20'000'000;
/// Items that a matcher's automaton remembers before it forgets what is not in use.
inline constexpr std::size_t kMaxRemembered = 1 << 20;
/// Bytes of masks that an automaton remembers.
inline constexpr std::size_t kMaxMaskBytes = 24 << 20;

/// Bytes of one token's text. Longer tokens are never allowed.
inline constexpr std::size_t kMaxTokenBytes = 1024;
inline constexpr std::size_t kMaxVocabulary = 1 << 22;

}  // namespace shoal::grammar
