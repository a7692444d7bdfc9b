// From tokens to the text that a user sees: whole characters, ending before stop strings.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/model/tokenizer.hpp"

namespace shoal {

/// Deterministic in the tokens pushed: a generation that moves to another device replays its
/// tokens here and goes on with the same text. Owned by one thread.
class TextStream {
  public:
    /// Whether a control token of this text is to be seen; else none is.
    using Shows = std::function<bool(std::string_view)>;

    /// The tokenizer outlives it.
    TextStream(const model::Tokenizer& tokenizer, std::vector<std::string> stop, Shows shows = {});

    /// Text that can be shown now. What could be the beginning of a stop string is held back.
    std::string push(model::TokenId id);
    /// A stop string was found; nothing more is to be pushed.
    bool stopped() const noexcept { return !stopped_by_.empty(); }
    /// The stop string; empty: none.
    const std::string& stopped_by() const noexcept { return stopped_by_; }
    /// What was held back, when the generation ends for another reason; nothing after a stop
    /// string.
    std::string finish();

  private:
    std::string release(bool final);

    const model::Tokenizer& tokenizer_;
    model::Detokenizer detokenizer_;
    std::vector<std::string> stop_;
    Shows shows_;
    std::string held_;
    std::string stopped_by_;
};

}  // namespace shoal
