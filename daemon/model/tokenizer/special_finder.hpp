// Special tokens in a text of which a part was written by people.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>

#include "daemon/model/tokenizer.hpp"
#include "daemon/model/tokenizer/special_matcher.hpp"

namespace shoal::model {

/// Finds them in order; none reaches from one kind of span into the other. Owned by one thread;
/// what it is made of outlives it.
class SpecialFinder {
  public:
    struct Matchers {
        const SpecialMatcher& all;
        const SpecialMatcher& user_defined;
    };

    SpecialFinder(Matchers matchers, std::string_view text, const Tokenizer::EncodeOptions& options)
        : matchers_(matchers), text_(text), options_(options), spans_(options.spans) {}

    std::optional<SpecialMatcher::Match> next();

  private:
    bool enter();
    bool is_markup(const SpecialMatcher::Match& match);

    const Matchers matchers_;
    const std::string_view text_;
    const Tokenizer::EncodeOptions& options_;
    std::span<const Tokenizer::Span> spans_;  // those to come
    std::size_t begin_ = 0, end_ = 0;         // of the stretch that is being looked through
    bool literal_ = false;                    // its kind
    std::optional<SpecialMatcher::Scan> scan_;
    std::unordered_map<TokenId, bool> markup_;  // whether a token is, as far as asked
};

}  // namespace shoal::model
