// Answers schema_samples_test.py, a JSON value a line: {"schema": ..., "seed": n, "samples": n,
// "texts": [...]} is answered by {"error": text or null, "samples": [...], "unfinished": n,
// "accepted": [...]}. Samples are made of random tokens that the mask allows, until the end.
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/grammar/test_support.hpp"

using namespace shoal;
using nlohmann::json;

namespace {

/// Steps until a sample only wants to end, and until it is given up.
constexpr int kWanderSteps = 40, kMaxSteps = 4000;

tests::SmallVocabulary make_vocabulary() {
    std::vector<std::string> texts;
    for (int byte = 0; byte < 256; ++byte) texts.emplace_back(1, static_cast<char>(byte));
    for (const char* text : {"{\"",        "\":",
                             "\": ",       "\",\"",
                             "\", \"",     "},{",
                             "}}",         "]}",
                             "[]",         "{}",
                             "\"\"",       "[{\"",
                             "true",       "false",
                             "null",       "ul",
                             "al",         "se\"",
                             "\\u",        "\\ud83d\\ude00",
                             "\\u00",      "\\n",
                             "\\\"",       "12",
                             "345",        "0.",
                             ".5",         "e-",
                             "-1",         ": {\n",
                             ",\n  ",      "the",
                             " a",         "na",
                             "me",         "value",
                             "-02-",       "20",
                             "T1",         ":0",
                             "\xC3\xA4",   "\xE4\xB8\xAD\xE6",
                             "\x96\x87\"", "\xF0\x9F",
                             "\x98\x80"}) {
        texts.emplace_back(text);
    }
    return tests::SmallVocabulary(std::move(texts));
}

/// What leads to the end soonest, of what is allowed; a guess.
std::size_t closing(const std::vector<std::size_t>& allowed,
                    const tests::SmallVocabulary& vocabulary) {
    for (const char* wanted : {"\"", "}", "]", ",", ":", "n", "u", "l", "0", "1", "Z", "a"}) {
        for (const std::size_t token : allowed) {
            if (vocabulary.texts[token] == wanted) return token;
        }
    }
    return allowed[0];
}

std::optional<std::string> sample(grammar::Matcher matcher,
                                  const tests::SmallVocabulary& vocabulary, std::mt19937& random) {
    std::string text;
    for (int step = 0; step < kMaxSteps; ++step) {
        const auto mask = matcher.allowed(vocabulary.vocabulary);
        std::vector<std::size_t> allowed;
        for (std::size_t token = 0; mask && token < mask->size(); ++token) {
            if ((*mask)[token]) allowed.push_back(token);
        }
        const bool may_end = !allowed.empty() && allowed.back() == vocabulary.end();
        if (may_end && (step > kWanderSteps || random() % 3 == 0 || allowed.size() == 1))
            return text;
        if (may_end) allowed.pop_back();
        if (allowed.empty()) return std::nullopt;
        // Bytes that are printable would else be lost among all others.
        const bool close = step > kWanderSteps && random() % 8 != 0;
        const std::size_t token =
            close ? closing(allowed, vocabulary) : allowed[random() % allowed.size()];
        text += vocabulary.texts[token];
        if (matcher.accept(vocabulary.texts[token]) != grammar::Matcher::Outcome::accepted) {
            return "the mask allows what the matcher refuses: " + text;
        }
    }
    return std::nullopt;
}

json answer(const json& question, const tests::SmallVocabulary& vocabulary) {
    const auto [grammar, error] =
        tests::compiled(grammar::compile_json_schema(question["schema"].get<std::string>()));
    if (grammar == nullptr) return {{"error", error}};
    std::mt19937 random(question["seed"].get<unsigned>());
    json samples = json::array(), accepted = json::array();
    const grammar::Matcher matcher(grammar);
    int unfinished = 0;
    for (int i = 0; i < question["samples"]; ++i) {
        if (const auto text = sample(matcher, vocabulary, random)) {
            samples.push_back(*text);
        } else {
            ++unfinished;
        }
    }
    for (const json& text : question["texts"]) {
        accepted.push_back(tests::matches(grammar, text.get<std::string>()));
    }
    return {{"error", nullptr},
            {"samples", samples},
            {"unfinished", unfinished},
            {"accepted", accepted}};
}

}  // namespace

int main() {
    const auto vocabulary = make_vocabulary();
    for (std::string line; std::getline(std::cin, line);) {
        const json said = answer(json::parse(line), vocabulary);
        // A sample that is not UTF-8 is told as such by whoever reads it.
        std::cout << said.dump(-1, ' ', false, json::error_handler_t::replace) << std::endl;
    }
}
