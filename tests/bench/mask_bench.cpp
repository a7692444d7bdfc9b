// What a constrained answer costs a token, in microseconds: `mask_bench [tokens of the
// vocabulary]`. The vocabulary is made up: bytes, then words of two to twelve letters with and
// without a space before them, numbers, and what stands between the values of JSON. Twice the same
// answer to one schema: what is learnt about a grammar is kept.
//   allowed  which tokens may be next: on the root
//   encode   the mask for the order: on the root
//   decode   of the order, cut to a slice of half the vocabulary: on each device
//   refuse   the logits of these rows: on each device
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "daemon/exec/masking.hpp"
#include "daemon/grammar/grammar.hpp"
#include "daemon/grammar/matcher.hpp"
#include "daemon/grammar/vocabulary.hpp"

namespace {

using namespace shoal;
using Clock = std::chrono::steady_clock;

constexpr const char* kSchema = R"({
  "type": "object",
  "properties": {
    "name": {"type": "string"},
    "age": {"type": "integer"},
    "address": {"type": "object",
                "properties": {"street": {"type": "string"}, "city": {"enum": ["Oslo", "Rome"]}},
                "required": ["street", "city"], "additionalProperties": false},
    "tags": {"type": "array", "items": {"type": "string"}}
  },
  "required": ["name", "age", "address", "tags"],
  "additionalProperties": false
})";
constexpr const char* kAnswer =
    R"({"name": "somebody somewhere said", "age": 4017, "address": )"
    R"({"street": "a long road without any end", "city": "Oslo"}, "tags": )"
    R"(["one", "two", "many more than these", "and then some"]})";

std::vector<std::string> made_up(std::size_t tokens) {
    std::vector<std::string> texts{""};
    for (int byte = 0; byte < 256; ++byte) texts.emplace_back(1, static_cast<char>(byte));
    for (const char* text :
         {"\", \"", "\": \"", "\": ", "{\"", "\"}", "\"]", "[\"", ", ", "}, \"", "\",", "]}"}) {
        texts.emplace_back(text);
    }
    for (int number = 0; number < 1000; ++number) texts.push_back(std::to_string(number));
    std::mt19937 random(1);
    while (texts.size() < tokens) {
        std::string text(random() % 2, ' ');
        const std::size_t letters = 2 + random() % 11;
        for (std::size_t i = 0; i < letters; ++i) {
            text += "etaoinshrdlucmfwypvbgkjqxz"[std::min(random() % 26, random() % 26)];
        }
        texts.push_back(std::move(text));
    }
    return texts;
}

// The longest tokens first, as it were.
std::vector<std::size_t> tokens_of(const std::string& text, const std::vector<std::string>& texts) {
    std::map<std::string, std::size_t> ids;
    for (std::size_t id = 1; id < texts.size(); ++id) ids.emplace(texts[id], id);
    std::vector<std::size_t> out;
    for (std::size_t at = 0; at < text.size();) {
        std::size_t length = std::min<std::size_t>(16, text.size() - at);
        while (!ids.contains(text.substr(at, length))) --length;
        out.push_back(ids.at(text.substr(at, length)));
        at += length;
    }
    return out;
}

struct Times {
    const char* what;
    std::vector<double> us{};
    void print() {
        std::sort(us.begin(), us.end());
        double sum = 0;
        for (const double t : us) sum += t;
        std::printf("  %-8s median %8.1f  mean %8.1f  most %8.1f\n", what, us[us.size() / 2],
                    sum / static_cast<double>(us.size()), us.back());
    }
};

template <class Fn>
auto timed(Times& times, const Fn& fn) {
    const auto start = Clock::now();
    auto result = fn();
    times.us.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
    return result;
}

}  // namespace

int main(int argc, char** argv) {
    const std::size_t tokens = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 128256;
    const auto texts = made_up(tokens);
    std::vector<std::string_view> views(texts.begin(), texts.end());
    std::vector<grammar::TokenUse> uses(texts.size(), grammar::TokenUse::text);
    uses[0] = grammar::TokenUse::end;
    Times building{"build"}, compiling{"compile"};
    const auto vocabulary =
        timed(building, [&] { return std::make_shared<const grammar::Vocabulary>(views, uses); });
    const auto compiled = timed(compiling, [] { return grammar::compile_json_schema(kSchema); });
    if (const auto* wrong = std::get_if<grammar::GrammarError>(&compiled)) {
        std::fprintf(stderr, "%s\n", wrong->message.c_str());
        return 1;
    }
    std::printf("%zu tokens\n", texts.size());
    building.print();
    compiling.print();
    const auto answer = tokens_of(kAnswer, texts);
    const grammar::Matcher start(std::get<0>(compiled));
    std::vector<float> logits(texts.size() / 2, 1.0F);
    for (const char* pass : {"first", "again"}) {
        Times allowing{"allowed"}, encoding{"encode"}, decoding{"decode"}, refusing{"refuse"};
        std::size_t bytes = 0;
        grammar::Matcher matcher = start;
        for (const std::size_t id : answer) {
            const auto mask = timed(allowing, [&] { return matcher.allowed(vocabulary); });
            if (!mask || !(*mask)[id]) {
                std::fprintf(stderr, "the answer is none\n");
                return 1;
            }
            const auto wire = timed(encoding, [&] { return mask->encode(); });
            bytes += wire.size();
            const auto slice = timed(decoding, [&] {
                return grammar::TokenMask::decode(wire, texts.size())->slice(0, logits.size());
            });
            timed(refusing, [&] { return exec::mask_logits(logits, slice), 0; });
            if (matcher.accept(texts[id]) != grammar::Matcher::Outcome::accepted) return 1;
        }
        std::printf("%s, %zu tokens, %zu bytes of a mask\n", pass, answer.size(),
                    bytes / answer.size());
        for (Times* times : {&allowing, &encoding, &decoding, &refusing}) times->print();
    }
    return 0;
}
