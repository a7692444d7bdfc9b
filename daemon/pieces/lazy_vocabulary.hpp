// A model's tokens as grammars look them up.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>

#include "daemon/grammar/vocabulary.hpp"
#include "daemon/model/tokenizer.hpp"

namespace shoal {

/// Made when it is first asked for, and kept: it takes a fraction of a second and some megabytes
/// with a large vocabulary, and most models never need it. Thread-safe.
class LazyVocabulary {
  public:
    /// Of the tokenizer and the number of logits that it is always asked with; logits without a
    /// token are never allowed. Throws grammar::VocabularyError.
    std::shared_ptr<const grammar::Vocabulary> of(const model::Tokenizer& tokenizer,
                                                  std::size_t logits) const;

  private:
    mutable std::mutex mutex_;
    mutable std::shared_ptr<const grammar::Vocabulary> made_;
};

}  // namespace shoal
