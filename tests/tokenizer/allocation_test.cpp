// What encoding holds beside the text and its tokens must not grow with the text, whatever it is.
// Sanitizers bring their own operator new, and see more when it stays: there is no counting there.
#include "tests/instrumented.hpp"

#if !SHOAL_INSTRUMENTED

#include <doctest/doctest.h>
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <random>

#include "tests/tokenizer/small_vocabulary.hpp"

namespace {

std::atomic<std::size_t> held_bytes{0};
std::atomic<std::size_t> peak_bytes{0};

void* counted(std::size_t bytes) {
    void* memory = std::malloc(bytes == 0 ? 1 : bytes);
    if (memory == nullptr) throw std::bad_alloc();
    const std::size_t held = held_bytes += malloc_usable_size(memory);
    std::size_t peak = peak_bytes;
    while (held > peak && !peak_bytes.compare_exchange_weak(peak, held)) {
    }
    return memory;
}

void release(void* memory) noexcept {
    if (memory != nullptr) held_bytes -= malloc_usable_size(memory);
    std::free(memory);
}

}  // namespace

void* operator new(std::size_t bytes) {
    return counted(bytes);
}
void* operator new[](std::size_t bytes) {
    return counted(bytes);
}
void operator delete(void* memory) noexcept {
    release(memory);
}
void operator delete[](void* memory) noexcept {
    release(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    release(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
    release(memory);
}

namespace shoal::model {
namespace {

constexpr std::size_t kTextBytes = std::size_t{2} << 20;

std::string repeated(std::string_view unit) {
    std::string text;
    text.reserve(kTextBytes);
    while (text.size() + unit.size() <= kTextBytes) text += unit;
    return text;
}

std::string random_letters() {
    std::mt19937 random(3);
    std::string text(kTextBytes, 'a');
    for (char& c : text) c = static_cast<char>('a' + random() % 26);
    return text;
}

/// The most that encoding held at one time beside what it was given.
std::size_t peak_of(const Tokenizer& tokenizer, const std::string& text, std::size_t max_tokens) {
    const std::size_t before = held_bytes;
    peak_bytes = before;
    Tokenizer::EncodeOptions options;
    options.max_tokens = max_tokens;
    CHECK_FALSE(tokenizer.encode(text, options).empty());
    return peak_bytes - before;
}

TEST_SUITE("tokenizer memory") {
    TEST_CASE("a long text of anything is encoded in some megabytes beside its tokens") {
        const auto bpe = bpe_vocabulary("qwen2", {{"a", "a"}, {"aa", "aa"}, {"l", "o"}},
                                        {{"<s>", 3}, {"ab", 4}});
        const auto spm = spm_vocabulary({"aaaa", "aa", "a", "lo", "▁"}, {{"ab", 4}});
        const std::string texts[] = {repeated("a"),   random_letters(), repeated("<s>"),
                                     repeated("ab"),  repeated(" "),    repeated("▁"),
                                     repeated("low ")};
        for (const auto& vocabulary : {bpe, spm}) {
            const auto tokenizer = vocabulary.tokenizer();
            for (const std::string& text : texts) {
                CAPTURE(text.substr(0, 8));
                // Tokens that grow by doubling, the text with its spaces for marks, and the rest.
                constexpr std::size_t kTokens = std::size_t{1} << 20;
                constexpr std::size_t kRest = std::size_t{6} << 20;
                CHECK(peak_of(*tokenizer, text, kTokens) <
                      3 * sizeof(TokenId) * kTokens + kTextBytes + kRest);
                CHECK(peak_of(*tokenizer, text, 100) < kTextBytes + kRest);
            }
        }
    }
}

}  // namespace
}  // namespace shoal::model

#endif
