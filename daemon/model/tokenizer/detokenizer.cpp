#include "daemon/model/tokenizer.hpp"
#include "daemon/model/tokenizer/utf8.hpp"

namespace shoal::model {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

}  // namespace

Detokenizer::Detokenizer(const Tokenizer& tokenizer, bool at_start)
    : tokenizer_(tokenizer), at_start_(at_start && tokenizer.strips_leading_space()) {}

std::string Detokenizer::push(TokenId id) {
    std::string_view piece = tokenizer_.piece(id);
    if (piece.empty()) return {};
    if (at_start_ && piece.front() == ' ') piece.remove_prefix(1);
    at_start_ = false;

    pending_ += piece;
    std::string text;
    std::size_t done = 0;
    while (done < pending_.size()) {
        const std::string_view rest = std::string_view(pending_).substr(done);
        const Utf8Step step = utf8_step(rest);
        if (step.kind == Utf8Step::Kind::incomplete) break;
        text += step.kind == Utf8Step::Kind::valid ? rest.substr(0, step.size) : kReplacement;
        done += step.size;
    }
    pending_.erase(0, done);
    return text;
}

std::string Detokenizer::flush() {
    if (pending_.empty()) return {};
    pending_.clear();
    return std::string(kReplacement);
}

}  // namespace shoal::model
