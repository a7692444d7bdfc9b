// Which tokens may follow a configuration, and what is remembered about that.
//
// Most tokens are decided by the states on top of the stack alone. For each such set of states the
// whole vocabulary is walked once; what comes out is the tokens that stay within the rule, or just
// complete it, and the nodes of the token tree where the rule is completed and bytes follow.
// Only below these nodes the frames around it matter, and only there a walk is made again.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "daemon/grammar/automaton.hpp"
#include "daemon/grammar/token_mask.hpp"
#include "daemon/grammar/vocabulary.hpp"

namespace shoal::grammar {

/// Owned by one thread, together with the one automaton that it is used with.
class MaskCache {
  public:
    explicit MaskCache(std::shared_ptr<const Vocabulary> vocabulary);

    const Vocabulary& vocabulary() const noexcept { return *vocabulary_; }

    /// Null when the work is more than the limits allow.
    std::shared_ptr<const TokenMask> mask(Automaton& automaton, ConfigurationId at);

    /// Forgets everything.
    void clear(Automaton& automaton) noexcept;

  private:
    /// What the states of one configuration decide without what is around their rule.
    struct Local {
        std::vector<TokenId> few;        ///< the allowed tokens, or else
        std::optional<TokenMask> many;   ///< the same as bits
        std::vector<std::uint32_t> out;  ///< nodes where the rule is complete
    };

    bool add_places(Automaton& automaton, ConfigurationId at, TokenMask& mask);
    bool add_frame(Automaton& automaton, std::vector<StateId>& states, FrameId frame,
                   TokenMask& mask);
    const Local* local(Automaton& automaton, ConfigurationId alone);
    void remember(Automaton& automaton, std::size_t bytes);

    /// Goes from a configuration at the node above along those of the nodes from `begin` to `end`
    /// that fit, and shows them to `visit` by ranges with the configuration that all of a range
    /// have. False when the work was too much.
    template <class Visit>
    bool walk(Automaton& automaton, const TokenTree& tree, std::uint32_t begin, std::uint32_t end,
              ConfigurationId from, const Visit& visit);

    std::shared_ptr<const Vocabulary> vocabulary_;
    std::unordered_map<ConfigurationId, Local> locals_;  ///< all these are pinned
    std::unordered_map<ConfigurationId, std::shared_ptr<const TokenMask>> masks_;  ///< these, too
    std::size_t bytes_ = 0;
    std::vector<ConfigurationId> path_;  ///< of the walk, from the root down
};

}  // namespace shoal::grammar
