#include "daemon/engine/text_stream.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

namespace shoal {
namespace {

// Stop strings are bytes, text is characters: one that begins within a character is none.
bool begins_character(std::string_view stop) {
    return !stop.empty() && (static_cast<unsigned char>(stop.front()) & 0xC0) != 0x80;
}

// The longest end of `text` that begins a stop string.
std::size_t open_end(std::string_view text, const std::vector<std::string>& stops) {
    std::size_t longest = 0;
    for (const std::string_view stop : stops) {
        for (std::size_t n = std::min(stop.size(), text.size()); n > longest; --n) {
            if (text.ends_with(stop.substr(0, n))) longest = n;
        }
    }
    return longest;
}

}  // namespace

TextStream::TextStream(const model::Tokenizer& tokenizer, std::vector<std::string> stop,
                       Shows shows)
    : tokenizer_(tokenizer),
      detokenizer_(tokenizer, false),
      stop_(std::move(stop)),
      shows_(std::move(shows)) {
    std::erase_if(stop_, [](const std::string& s) { return !begins_character(s); });
}

std::string TextStream::push(model::TokenId id) {
    const bool control = tokenizer_.piece(id).empty();
    if (control && shows_ && shows_(tokenizer_.text(id))) {
        held_ += detokenizer_.flush();
        held_ += tokenizer_.text(id);
    } else {
        held_ += detokenizer_.push(id);
    }
    return release(false);
}

std::string TextStream::finish() {
    if (stopped()) return "";
    held_ += detokenizer_.flush();
    return release(true);
}

std::string TextStream::release(bool final) {
    std::size_t shown = held_.size();
    for (const std::string& stop : stop_) {
        const std::size_t at = held_.find(stop);
        if (at >= shown) continue;
        shown = at;
        stopped_by_ = stop;
    }
    if (!stopped() && !final) {
        shown -= open_end(held_, stop_);
    }
    std::string text = held_.substr(0, shown);
    held_.erase(0, stopped() ? held_.size() : shown);
    return text;
}

}  // namespace shoal
