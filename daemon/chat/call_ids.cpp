// Ids of calls, as clients and the formats' own templates want them.
#include <algorithm>

#include "daemon/chat/answer_reader.hpp"

namespace shoal::chat {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kAlphanumerics =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
constexpr std::size_t kOrdinaryDigits = 24;
constexpr std::size_t kMistralDigits = 9;  // its templates refuse any other

bool is_mistral_id(std::string_view id) noexcept {
    return id.size() == kMistralDigits &&
           id.find_first_not_of(kAlphanumerics) == std::string_view::npos;
}

}  // namespace

std::uint64_t AnswerReader::random() const {
    return random_ ? random_() : calls_;
}

std::string AnswerReader::id_of(const Call& call) const {
    const auto digits = [this](std::string_view alphabet, std::size_t count) {
        std::string text;
        while (text.size() < count) text += alphabet[random() % alphabet.size()];
        return text;
    };
    if (format_.calls == CallFormat::mistral) {
        return is_mistral_id(call.id) ? call.id : digits(kAlphanumerics, kMistralDigits);
    }
    if (format_.calls == CallFormat::kimi) {
        const std::string start = "functions." + call.name + ":";
        if (call.id.compare(0, start.size(), start) == 0) return call.id;
        return start + std::to_string(calls_);
    }
    return "call_" + digits(kHex, kOrdinaryDigits);
}

}  // namespace shoal::chat
