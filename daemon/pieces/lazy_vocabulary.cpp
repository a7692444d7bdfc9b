#include "daemon/pieces/lazy_vocabulary.hpp"

#include <string_view>
#include <vector>

namespace shoal {
namespace {

std::shared_ptr<const grammar::Vocabulary> vocabulary_of(const model::Tokenizer& tokenizer,
                                                         std::size_t logits) {
    std::vector<std::string_view> texts;
    std::vector<grammar::TokenUse> uses;
    for (std::size_t i = 0; i < logits; ++i) {
        const auto id = static_cast<model::TokenId>(i);
        texts.push_back(tokenizer.piece(id));
        // Control tokens are no text: a grammar's author does not mean them.
        uses.push_back(tokenizer.is_end(id)   ? grammar::TokenUse::end
                       : texts.back().empty() ? grammar::TokenUse::never
                                              : grammar::TokenUse::text);
    }
    return std::make_shared<const grammar::Vocabulary>(texts, uses);
}

}  // namespace

std::shared_ptr<const grammar::Vocabulary> LazyVocabulary::of(const model::Tokenizer& tokenizer,
                                                              std::size_t logits) const {
    const std::lock_guard lock(mutex_);
    if (!made_) made_ = vocabulary_of(tokenizer, logits);
    return made_;
}

}  // namespace shoal
