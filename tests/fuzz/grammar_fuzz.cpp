// GBNF or a schema, which is the first byte's choice, and after a zero byte a text: nothing
// crashes, an error says something, and masks and the matcher agree on every token on the way.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <variant>
#include <vector>

#include "daemon/grammar/matcher.hpp"
#include "daemon/grammar/token_mask.hpp"
#include "daemon/grammar/vocabulary.hpp"

using namespace shoal::grammar;

namespace {

constexpr std::size_t kMaxSteps = 24;

const std::vector<std::string_view>& texts() {
    static const std::vector<std::string_view> all = {
        "a",  "b",   "ab", "\"",   "\":",  "{",        "}",    "{\"",  "[",    "]",
        ",",  ":",   "0",  "1",    "12",   ".5",       "-",    "e",    "true", "null",
        "\\", "\\u", "d8", "\xC3", "\xA4", "\xE4\xB8", "\xAD", "\n  ", " ",    ""};
    return all;
}

std::shared_ptr<const Vocabulary> vocabulary() {
    static const auto one = [] {
        const std::vector<TokenUse> uses(texts().size(), TokenUse::text);
        return std::make_shared<const Vocabulary>(texts(), uses);
    }();
    return one;
}

void check_mask(const Matcher& matcher) {
    const auto mask = matcher.allowed(vocabulary());
    if (mask == nullptr) return;
    for (std::size_t token = 0; token < texts().size(); ++token) {
        Matcher copy = matcher;
        const auto outcome = copy.accept(texts()[token]);
        const bool accepted = outcome == Matcher::Outcome::accepted && !texts()[token].empty();
        if (outcome != Matcher::Outcome::too_complex && accepted != (*mask)[token]) std::abort();
    }
    const auto again = TokenMask::decode(mask->encode(), mask->size());
    if (!again || *again != *mask) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0 || size > 4096) return 0;
    std::string_view source(reinterpret_cast<const char*>(data) + 1, size - 1);
    std::string_view text;
    if (const auto zero = source.find('\0'); zero != source.npos) {
        text = source.substr(zero + 1);
        source = source.substr(0, zero);
    }
    if (data[0] % 3 == 2) {
        const std::size_t tokens = text.size() * 8;
        const auto mask = TokenMask::decode(source, tokens);
        if (mask && mask->size() != tokens) std::abort();
        return 0;
    }
    const auto result = data[0] % 3 == 0 ? compile_gbnf(source) : compile_json_schema(source);
    if (const auto* error = std::get_if<GrammarError>(&result)) {
        if (error->message.empty() || error->message.size() > 4096) std::abort();
        return 0;
    }
    Matcher matcher(std::get<std::shared_ptr<const Grammar>>(result));
    check_mask(matcher);
    for (std::size_t i = 0; i < text.size() && i < kMaxSteps; ++i) {
        if (matcher.accept(text.substr(i, 1)) != Matcher::Outcome::accepted) break;
        if (i % 4 == 0) check_mask(matcher);
    }
    if (matcher.forced_bytes(40).size() > 40) std::abort();
    return 0;
}
