#include "cli/composer.hpp"

#include <string_view>

namespace shoal::cli {
namespace {

std::string_view without_spaces_at_end(std::string_view text) {
    return text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
}

}  // namespace

bool Composer::add(std::string_view input) {
    const bool begins = !unfinished_;
    if (begins) {
        clear();
        block_ = input.starts_with(kQuotes);
        if (block_) input.remove_prefix(kQuotes.size());
    } else if (block_) {
        text_ += '\n';
    }
    const std::string_view trimmed = without_spaces_at_end(input);
    if (block_) {
        unfinished_ = !trimmed.ends_with(kQuotes);
        if (!unfinished_) input = trimmed.substr(0, trimmed.size() - kQuotes.size());
    } else {
        unfinished_ = input.ends_with('\\');
        if (unfinished_)
            input.remove_suffix(1);
        else
            input = trimmed;
    }
    text_ += input;
    if (unfinished_ && !block_) text_ += '\n';
    // A newline that only stands before or after the quotes is for the eye.
    if (block_ && !unfinished_) {
        if (text_.starts_with('\n')) text_.erase(0, 1);
        if (text_.ends_with('\n')) text_.pop_back();
    }
    return !unfinished_;
}

void Composer::clear() {
    text_.clear();
    unfinished_ = block_ = false;
}

}  // namespace shoal::cli
