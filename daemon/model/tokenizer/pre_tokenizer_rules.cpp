#include "daemon/model/tokenizer/pre_tokenizer_rules.hpp"

#include <algorithm>
#include <array>
#include <iterator>

namespace shoal::model {
namespace {

// The expressions are those of the models' own tokenizer.json files, in PCRE2's syntax. None may
// take more than linear time on any text: see the note at each one that was changed for that.

// GPT-2, OpenAI, encoder.py; also the fixed expression of Hugging Face's "ByteLevel".
#define GPT2_WORDS R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"
#define CONTRACTIONS R"((?i:'s|'t|'re|'ve|'m|'ll|'d))"
#define SYMBOLS_AND_SPACES R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"
#define WORDS R"([^\r\n\p{L}\p{N}]?\p{L}+)"
// Words that begin a new one where a capital follows a small letter.
#define CASED_WORDS_1 \
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
#define CASED_WORDS_2 \
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
#define SYMBOLS_SLASH_AND_SPACES R"( ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"
// Chinese and Hangul as DeepSeek's first models wrote it.
#define DEEPSEEK_CJK R"([\x{4E00}-\x{9FA5}\x{0800}-\x{4E00}\x{AC00}-\x{D7FF}]+)"

constexpr std::string_view kGpt2[] = {GPT2_WORDS};

constexpr std::string_view kStarcoder[] = {R"(\p{N})", GPT2_WORDS};

constexpr std::string_view kLlama3[] = {CONTRACTIONS "|" WORDS
                                                     R"(|\p{N}{1,3}|)" SYMBOLS_AND_SPACES};

constexpr std::string_view kQwen2[] = {CONTRACTIONS "|" WORDS R"(|\p{N}|)" SYMBOLS_AND_SPACES};

constexpr std::string_view kQwen35[] = {
    CONTRACTIONS R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)"
                 R"(|\s*[\r\n]+|\s+(?!\S)|\s+)"};

constexpr std::string_view kSeedCoder[] = {
    CONTRACTIONS "|" WORDS R"(|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)"};

constexpr std::string_view kTekken[] = {CASED_WORDS_1 "|" CASED_WORDS_2
                                                      R"(|\p{N}|)" SYMBOLS_SLASH_AND_SPACES};

constexpr std::string_view kGpt4o[] = {CASED_WORDS_1 CONTRACTIONS
                                       "?|" CASED_WORDS_2 CONTRACTIONS
                                       R"(?|\p{N}{1,3}|)" SYMBOLS_SLASH_AND_SPACES};

// The letters of the second stage are the cased letters (Lu, Ll, Lt) that JavaScript knew when the
// model was made: without Armenian and Georgian small letters, mathematical alphabets and later
// additions. The fourth stage was \s+$, which looks at a run of n spaces in n^2/2 steps; the
// look-behind lets it begin at a run's first space only, where it always began anyway. The second
// stage's loop is possessive, as it never has a way back: the interpreter would note one for each
// letter, 160 bytes of it.
constexpr std::string_view kDeepseekLlm[] = {
    R"([\r\n])",
    R"(\s?(?:(?![\x{0560}-\x{0588}\x{10C7}-\x{10FF}\x{1C80}-\x{1C88}\x{2D00}-\x{2D2D})"
    R"(\x{A790}-\x{A7FA}\x{AB30}-\x{AB68}\x{10570}-\x{105BC}\x{16E40}-\x{16E7F})"
    R"(\x{1D400}-\x{1D7CB}\x{1DF00}-\x{1DF1E}])[\p{Lu}\p{Ll}\p{Lt}])++)",
    R"(\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+)",
    R"((?<!\s)\s++\z)",
    DEEPSEEK_CJK,
    R"(\p{N}+)",
};

constexpr std::string_view kDeepseekCoder[] = {
    R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", DEEPSEEK_CJK, R"(\p{N})",
};

constexpr std::string_view kDeepseekV3[] = {
    R"(\p{N}{1,3})",
    R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)",
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
};

constexpr std::string_view kFalcon[] = {R"([\p{P}$+<=>^~|`]+)", GPT2_WORDS, R"([0-9][0-9][0-9])"};

constexpr std::string_view kDefault[] = {R"([\p{P}$+<=>^~|]+)", GPT2_WORDS, R"(\p{N}+)",
                                         R"([0-9][0-9][0-9])"};

#define BLOOM_WORDS R"( ?[^(\s|.,!?…。，、।۔،)]+)"
constexpr std::string_view kBloom[] = {BLOOM_WORDS};
constexpr std::string_view kViking[] = {BLOOM_WORDS, R"(\p{N})"};

constexpr PreTokenizerRule kRuleDefault{kDefault};
constexpr PreTokenizerRule kRuleGpt2{kGpt2};
constexpr PreTokenizerRule kRuleStarcoder{kStarcoder};
constexpr PreTokenizerRule kRuleLlama3{kLlama3, true, true};
constexpr PreTokenizerRule kRuleLlama3Merging{kLlama3};
constexpr PreTokenizerRule kRuleQwen2{kQwen2};
constexpr PreTokenizerRule kRuleQwen35{kQwen35};
constexpr PreTokenizerRule kRuleSeedCoder{kSeedCoder};
constexpr PreTokenizerRule kRuleTekken{kTekken, true, true};
constexpr PreTokenizerRule kRuleGpt4o{kGpt4o};
constexpr PreTokenizerRule kRuleDeepseekLlm{kDeepseekLlm};
constexpr PreTokenizerRule kRuleDeepseekCoder{kDeepseekCoder};
constexpr PreTokenizerRule kRuleDeepseekV3{kDeepseekV3};
constexpr PreTokenizerRule kRuleFalcon{kFalcon};
constexpr PreTokenizerRule kRuleBloom{kBloom};
constexpr PreTokenizerRule kRuleViking{kViking};

struct NamedRule {
    std::string_view name;
    const PreTokenizerRule* rule;
};

constexpr NamedRule kRules[] = {
    {"default", &kRuleDefault},
    {"llama3", &kRuleLlama3},
    {"llama-v3", &kRuleLlama3},
    {"llama-bpe", &kRuleLlama3},
    {"falcon3", &kRuleLlama3},
    {"falcon-h1", &kRuleLlama3},
    {"pixtral", &kRuleLlama3},
    {"midm-2.0", &kRuleLlama3},
    {"lfm2", &kRuleLlama3},
    {"dbrx", &kRuleLlama3Merging},
    {"smaug-bpe", &kRuleLlama3Merging},
    {"chatglm-bpe", &kRuleLlama3Merging},
    {"glm4", &kRuleLlama3Merging},
    {"qwen2", &kRuleQwen2},
    {"deepseek-r1-qwen", &kRuleQwen2},
    {"stablelm2", &kRuleQwen2},
    {"hunyuan", &kRuleQwen2},
    {"megrez", &kRuleQwen2},
    {"grok-2", &kRuleQwen2},
    {"qwen35", &kRuleQwen35},
    {"seed-coder", &kRuleSeedCoder},
    {"tekken", &kRuleTekken},
    {"gpt-4o", &kRuleGpt4o},
    {"llama4", &kRuleGpt4o},
    {"gpt-2", &kRuleGpt2},
    {"phi-2", &kRuleGpt2},
    {"mpt", &kRuleGpt2},
    {"olmo", &kRuleGpt2},
    {"jais", &kRuleGpt2},
    {"exaone4", &kRuleGpt2},
    {"trillion", &kRuleGpt2},
    {"gigachat", &kRuleGpt2},
    {"mellum", &kRuleGpt2},
    {"granite-docling", &kRuleGpt2},
    {"starcoder", &kRuleStarcoder},
    {"refact", &kRuleStarcoder},
    {"command-r", &kRuleStarcoder},
    {"smollm", &kRuleStarcoder},
    {"codeshell", &kRuleStarcoder},
    {"exaone", &kRuleStarcoder},
    {"minerva-7b", &kRuleStarcoder},
    {"deepseek-llm", &kRuleDeepseekLlm},
    {"deepseek-coder", &kRuleDeepseekCoder},
    {"deepseek-v3", &kRuleDeepseekV3},
    {"hunyuan-dense", &kRuleDeepseekV3},
    {"falcon", &kRuleFalcon},
    {"bloom", &kRuleBloom},
    {"gpt3-finnish", &kRuleBloom},
    {"poro-chat", &kRuleBloom},
    {"viking", &kRuleViking},
};

constexpr auto kNames = [] {
    std::array<std::string_view, std::size(kRules)> names{};
    for (std::size_t i = 0; i < names.size(); ++i) names[i] = kRules[i].name;
    return names;
}();

}  // namespace

const PreTokenizerRule* find_pre_tokenizer_rule(std::string_view name) noexcept {
    const auto* found = std::find_if(std::begin(kRules), std::end(kRules),
                                     [name](const NamedRule& rule) { return rule.name == name; });
    return found == std::end(kRules) ? nullptr : found->rule;
}

const PreTokenizerRule& default_pre_tokenizer_rule() noexcept {
    return kRuleDefault;
}

std::span<const std::string_view> pre_tokenizer_names() noexcept {
    return kNames;
}

}  // namespace shoal::model
