#include "tests/grammar/test_support.hpp"

#include <utility>
#include <variant>

namespace shoal::tests {

using namespace grammar;

Compiled compiled(const GrammarOrError& result) {
    if (const auto* error = std::get_if<GrammarError>(&result)) return {nullptr, error->message};
    return {std::get<std::shared_ptr<const Grammar>>(result), {}};
}

bool matches(const std::shared_ptr<const Grammar>& grammar, std::string_view text) {
    Matcher whole(grammar), bytewise(grammar);
    const bool accepted = whole.accept(text) == Matcher::Outcome::accepted && whole.may_end();
    for (const char byte : text) {
        if (bytewise.accept({&byte, 1}) != Matcher::Outcome::accepted) return false;
    }
    return accepted && bytewise.may_end();
}

SmallVocabulary::SmallVocabulary(std::vector<std::string> some) : texts(std::move(some)) {
    texts.emplace_back("control");
    texts.emplace_back("end");
    std::vector<TokenUse> uses(texts.size(), TokenUse::text);
    uses[texts.size() - 2] = TokenUse::never;
    uses.back() = TokenUse::end;
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    vocabulary = std::make_shared<const Vocabulary>(views, uses);
}

SmallVocabulary random_vocabulary(std::mt19937& random, std::string_view alphabet,
                                  std::size_t tokens) {
    std::vector<std::string> texts;
    for (int byte = 0; byte < 256; ++byte) texts.emplace_back(1, static_cast<char>(byte));
    while (texts.size() < tokens) {
        const std::size_t length = random() % 50 == 0 ? 20 + random() % 40 : 1 + random() % 6;
        std::string text;
        while (text.size() < length) text += alphabet[random() % alphabet.size()];
        texts.push_back(std::move(text));
    }
    return SmallVocabulary(std::move(texts));
}

TokenMask tried_mask(const Matcher& matcher, const SmallVocabulary& vocabulary) {
    TokenMask mask(vocabulary.texts.size());
    for (std::size_t token = 0; token + 2 < vocabulary.texts.size(); ++token) {
        Matcher copy = matcher;
        if (vocabulary.texts[token].empty()) continue;
        if (copy.accept(vocabulary.texts[token]) == Matcher::Outcome::accepted) mask.allow(token);
    }
    if (matcher.may_end()) mask.allow(vocabulary.end());
    return mask;
}

}  // namespace shoal::tests
