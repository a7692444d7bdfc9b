// From tokens to the text that a user sees: whole characters, ending before stop strings.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/model/tokenizer.hpp"

namespace shoal {

/// Deterministic in the tokens pushed: a generation that moves to another device replays its
/// tokens here and goes on with the same text. Owned by one thread.
class TextStream {
  public:
    /// The tokenizer outlives it.
    TextStream(const model::Tokenizer& tokenizer, std::vector<std::string> stop);

    /// Text that can be shown now. What could be the beginning of a stop string is held back.
    std::string push(model::TokenId id);
    /// A stop string was found; nothing more is to be pushed.
    bool stopped() const noexcept { return stopped_; }
    /// What was held back, when the generation ends for another reason; nothing after a stop
    /// string.
    std::string finish();

  private:
    std::string release(bool final);

    model::Detokenizer detokenizer_;
    std::vector<std::string> stop_;
    std::string held_;
    bool stopped_ = false;
};

}  // namespace shoal
