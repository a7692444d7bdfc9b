// Where an answer's text is in its grammar.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "daemon/grammar/grammar.hpp"

namespace shoal::grammar {

class Automaton;
class MaskCache;
class TokenMask;
class Vocabulary;

/// A copy costs a few instructions and shares what has been learnt about the grammar, so that
/// trying and going back is a copy, and every request with the same grammar best starts as a copy
/// of one matcher. A matcher and its copies belong to one thread.
class Matcher {
  public:
    enum class Outcome {
        accepted,
        refused,
        too_complex,  ///< the text can be understood in more ways than the limits allow
    };

    explicit Matcher(std::shared_ptr<const Grammar> grammar);
    ~Matcher();
    Matcher(const Matcher& other) noexcept;
    Matcher& operator=(const Matcher& other) noexcept;

    /// Goes on by these bytes, which need not end with a character. Unless they are accepted the
    /// matcher stays where it was.
    [[nodiscard]] Outcome accept(std::string_view bytes);

    /// Whether the text may end here.
    [[nodiscard]] bool may_end() const noexcept;

    /// The bytes that any text must go on with: up to `limit` of them, none when it may end
    /// here.
    [[nodiscard]] std::string forced_bytes(std::size_t limit) const;

    /// The tokens that the text may go on with, and the ends when it may end. Null when finding
    /// them is too complex. Every token that is allowed, and no other, is accepted; that none is
    /// means that the vocabulary has no token for any of the bytes that could follow.
    [[nodiscard]] std::shared_ptr<const TokenMask> allowed(
        const std::shared_ptr<const Vocabulary>& vocabulary) const;

  private:
    struct Learnt;

    std::shared_ptr<Learnt> learnt_;
    std::uint32_t at_;
};

}  // namespace shoal::grammar
