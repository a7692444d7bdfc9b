// What it takes to find the allowed tokens, in microseconds: `grammar_bench [vocabulary]`. The
// vocabulary is made up, in the shape of a large byte-level one; the texts are written token by
// token, the longest that fits.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "daemon/grammar/matcher.hpp"
#include "daemon/grammar/token_mask.hpp"
#include "daemon/grammar/vocabulary.hpp"

using namespace shoal::grammar;

namespace {

using Clock = std::chrono::steady_clock;

double micros_since(Clock::time_point start) {
    return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

/// All bytes, digits, words with and without a blank before them, runs and mixtures of
/// punctuation, indents, and pieces of other scripts, whole characters or not.
std::vector<std::string> make_tokens(std::size_t count) {
    std::mt19937 random(1);
    std::set<std::string> tokens;
    for (int byte = 0; byte < 256; ++byte) tokens.insert(std::string(1, static_cast<char>(byte)));
    for (int n = 0; n < 1000; ++n) {
        tokens.insert(std::to_string(n));
        tokens.insert(std::string(n < 10 ? 2 : n < 100 ? 1 : 0, '0') + std::to_string(n));
    }
    for (std::size_t n = 1; n <= 128; ++n) {
        tokens.insert(std::string(n, ' '));
        if (n < 80) tokens.insert("\n" + std::string(n, ' '));
        if (n < 80) tokens.insert(std::string(n, "-=*#_/"[n % 6]));
    }
    static constexpr std::string_view kSigns = "\"\"\"'(){}[]:;,,..<>=+-*/\\\\!?#$%&|~^_@\n ";
    while (tokens.size() < count / 24) {
        std::string signs;
        for (auto n = 2 + random() % 4; n > 0; --n) signs += kSigns[random() % kSigns.size()];
        tokens.insert(signs);
    }
    static constexpr std::string_view kParts[] = {
        "the", "ing", "er", "an", "re", "con", "st", "ti", "al", "ed", "pro", "s",
        "ly",  "ma",  "in", "or", "e",  "un",  "ac", "ty", "qu", "be", "ol",  "um"};
    while (tokens.size() < count) {
        std::string text;
        const auto kind = random() % 16;
        if (kind < 12) {
            if (kind < 7) text = " ";
            for (auto n = 1 + random() % 4; n > 0; --n)
                text += kParts[random() % std::size(kParts)];
            if (kind == 11) text[0] = static_cast<char>(text[0] & ~0x20);
            if (kind == 10) text += kSigns[random() % kSigns.size()];
        } else {
            for (auto n = 1 + random() % 3; n > 0; --n) {
                if (kind == 12) {
                    text += {static_cast<char>(0xD0 + random() % 2),
                             static_cast<char>(0x80 + random() % 64)};
                } else {
                    text += {static_cast<char>(0xE3 + random() % 6),
                             static_cast<char>(0x80 + random() % 64),
                             static_cast<char>(0x80 + random() % 64)};
                }
            }
            if (random() % 8 == 0) text.pop_back();
        }
        tokens.insert(text);
    }
    return {tokens.begin(), tokens.end()};
}

struct Case {
    const char* name;
    bool gbnf;
    const char* grammar;
    std::string text;
};

std::vector<Case> cases() {
    const std::string person =
        R"({"name":"Anna Maria Schulz","age":42,"email":"anna.schulz@example.org","tags":["the first","another one"],"address":{"street":"In the Meadow 7","city":"Ulm"},"note":"She said \"no\" and left; nobody knows why. It was a long and cold winter night."})";
    std::string items;
    for (int i = 0; i < 20; ++i) {
        items += (i ? ", " : "[") + std::string(R"({"id": )") + std::to_string(i * 37) +
                 R"(, "kind": "second", "text": "something or other, and more of it"})";
    }
    return {
        {"person", false,
         R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer","minimum":0,"maximum":150},
             "email":{"type":"string","format":"email"},"tags":{"type":"array","items":{"type":"string"},"maxItems":8},
             "address":{"type":"object","properties":{"street":{"type":"string"},"city":{"type":"string"}},"required":["street","city"]},
             "note":{"type":"string","maxLength":400}},"required":["name","age"],"additionalProperties":false})",
         person},
        {"items", false,
         R"({"type":"array","maxItems":100,"items":{"type":"object","properties":{"id":{"type":"integer"},
             "kind":{"enum":["first","second","third"]},"text":{"type":"string"}},"required":["id","kind","text"]}})",
         items + "]"},
        {"any JSON", false, "{}", person},
        {"GBNF JSON", true,
         R"(root ::= object
value ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20})",
         person},
    };
}

struct Step {
    double micros;
    std::size_t allowed, bytes;
};

/// Writes the text once, and asks for the mask before every token.
std::vector<Step> write_once(Matcher matcher, const std::shared_ptr<const Vocabulary>& vocabulary,
                             const std::vector<std::string>& tokens, std::string_view text) {
    std::vector<Step> steps;
    while (!text.empty()) {
        const auto start = Clock::now();
        const auto mask = matcher.allowed(vocabulary);
        const double micros = micros_since(start);
        if (mask == nullptr) break;
        steps.push_back({micros, mask->count(), mask->encode().size()});
        std::size_t length = std::min<std::size_t>(text.size(), 32);
        for (; length > 1; --length) {
            const auto token =
                std::lower_bound(tokens.begin(), tokens.end(), text.substr(0, length));
            if (token == tokens.end() || *token != text.substr(0, length)) continue;
            if ((*mask)[static_cast<std::size_t>(token - tokens.begin())]) break;
        }
        if (matcher.accept(text.substr(0, length)) != Matcher::Outcome::accepted) {
            std::printf("refused at: %.40s\n", std::string(text).c_str());
            break;
        }
        text.remove_prefix(length);
    }
    return steps;
}

void print(const char* name, const char* when, std::vector<Step> steps) {
    const auto at = [&](double part) {
        return steps[static_cast<std::size_t>(part * static_cast<double>(steps.size() - 1))];
    };
    const auto allowed_less = [](const Step& a, const Step& b) { return a.allowed < b.allowed; };
    const std::size_t few = std::min_element(steps.begin(), steps.end(), allowed_less)->allowed;
    const std::size_t many = std::max_element(steps.begin(), steps.end(), allowed_less)->allowed;
    std::size_t bytes = 0;
    for (const Step& step : steps) bytes = std::max(bytes, step.bytes);
    const double first = steps.front().micros;
    std::sort(steps.begin(), steps.end(),
              [](const Step& a, const Step& b) { return a.micros < b.micros; });
    std::printf(
        "%-10s %-7s %4zu masks: first %8.1f  median %7.2f  p99 %8.1f  largest %8.1f us; "
        "%zu to %zu allowed, at most %zu bytes on the wire\n",
        name, when, steps.size(), first, at(0.5).micros, at(0.99).micros, at(1).micros, few, many,
        bytes);
}

}  // namespace

int main(int argc, char** argv) {
    const std::size_t count = argc > 1 ? static_cast<std::size_t>(std::atoll(argv[1])) : 128'000;
    const auto tokens = make_tokens(count);
    const std::vector<std::string_view> texts(tokens.begin(), tokens.end());
    const std::vector<TokenUse> uses(texts.size(), TokenUse::text);
    auto start = Clock::now();
    const auto vocabulary = std::make_shared<const Vocabulary>(texts, uses);
    std::printf("%zu tokens, %u nodes, made in %.1f ms\n", tokens.size(),
                vocabulary->usual().size() + vocabulary->longer().size(),
                micros_since(start) / 1000);
    for (const Case& one : cases()) {
        start = Clock::now();
        const auto result = one.gbnf ? compile_gbnf(one.grammar) : compile_json_schema(one.grammar);
        if (const auto* error = std::get_if<GrammarError>(&result)) {
            std::printf("%s: %s\n", one.name, error->message.c_str());
            continue;
        }
        const double compiled = micros_since(start);
        const Matcher matcher(std::get<std::shared_ptr<const Grammar>>(result));
        std::printf("%-10s compiled in %.0f us\n", one.name, compiled);
        print(one.name, "cold", write_once(matcher, vocabulary, tokens, one.text));
        print(one.name, "warm", write_once(matcher, vocabulary, tokens, one.text));
    }
}
