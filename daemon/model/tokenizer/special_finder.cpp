#include "daemon/model/tokenizer/special_finder.hpp"

#include <algorithm>

namespace shoal::model {

using Match = SpecialMatcher::Match;

// The next stretch of spans of one kind; without spans all of the text is one. False at the end.
bool SpecialFinder::enter() {
    begin_ = end_;
    if (begin_ == text_.size()) return false;
    literal_ = !spans_.empty() && spans_.front().literal;
    while (!spans_.empty() && (spans_.front().literal == literal_ || spans_.front().bytes == 0)) {
        end_ += std::min(spans_.front().bytes, text_.size() - end_);
        spans_ = spans_.subspan(1);
    }
    if (options_.spans.empty() || (spans_.empty() && !literal_)) end_ = text_.size();
    const bool all = options_.parse_special && !literal_;
    scan_.emplace(all ? matchers_.all : matchers_.user_defined,
                  text_.substr(begin_, end_ - begin_));
    return true;
}

bool SpecialFinder::is_markup(const Match& match) {
    const auto [known, added] = markup_.try_emplace(match.id);
    if (added) {
        known->second =
            options_.markup.find(text_.substr(match.begin, match.size)) != std::string_view::npos;
    }
    return known->second;
}

std::optional<Match> SpecialFinder::next() {
    while (scan_ || enter()) {
        auto match = scan_->next();
        if (!match) {
            scan_.reset();
            continue;
        }
        match->begin += begin_;
        if (!literal_ || !is_markup(*match)) return match;
    }
    return std::nullopt;
}

}  // namespace shoal::model
