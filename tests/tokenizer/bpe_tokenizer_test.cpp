#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <random>

#include "tests/tokenizer/small_vocabulary.hpp"

namespace shoal::model::bpe_tokenizer_test {
namespace {

using Merges = std::vector<std::pair<std::string, std::string>>;
using Strings = std::vector<std::string>;

const Merges kMerges = {{"l", "o"},  {"lo", "w"}, {"e", "r"}, {" ", "low"}, {"n", "e"},
                        {"ne", "w"}, {" ", " "},  {"a", "a"}, {"aa", "aa"}, {"low", "er"}};

TokenId last_id(const Tokenizer& tokenizer) {
    return static_cast<TokenId>(tokenizer.size()) - 1;
}

std::string random_text(std::mt19937& random, bool utf8) {
    const std::string_view parts[] = {"low", "er", " ",  "  ", "a",     "aaaa", "\n",      "é",
                                      "你",  "😁",  "12", "'s", "<|x|>", "▁",    "\xCC\x81"};
    std::string text;
    for (auto i = random() % 30; i > 0; --i) {
        if (utf8 || random() % 2 == 0) {
            text += parts[random() % std::size(parts)];
        } else {
            text += static_cast<char>(random() & 0xFF);
        }
    }
    return text;
}

TEST_SUITE("byte-level tokenizer") {
    TEST_CASE("merges apply by rank within each piece") {
        const auto tokenizer = bpe_vocabulary("gpt-2", kMerges).tokenizer();
        const auto encoded = [&](std::string_view text) {
            return show(*tokenizer, tokenizer->encode(text, kPlain));
        };
        CHECK(encoded("lower") == "lower");
        CHECK(encoded("low lower newer") == "low| low|er| |new|er");
        CHECK(encoded("aaaaaaa") == "aaaa|aa|a");
        CHECK(encoded("   low") == "  | low");
        CHECK(encoded("") == "");
        CHECK(tokenizer->warning().empty());
        CHECK_FALSE(tokenizer->strips_leading_space());
    }

    TEST_CASE("of a merge that is listed twice the first rank counts") {
        auto header = bpe_vocabulary("gpt-2", {{"a", "b"}, {"b", "c"}});
        header.at<Strings>("tokenizer.ggml.merges").push_back("a b");
        const auto tokenizer = header.tokenizer();
        CHECK(show(*tokenizer, tokenizer->encode("abc", kPlain)) == "ab|c");
    }

    TEST_CASE("a piece that is a token needs no merges where the model says so") {
        // No merge of "h", "i" exists, so merging alone cannot yield "hi".
        auto header = bpe_vocabulary("llama-bpe", {});
        header.at<Strings>("tokenizer.ggml.tokens").push_back("hi");
        header.at<std::vector<std::int32_t>>("tokenizer.ggml.token_type").push_back(1);
        const auto whole = header.tokenizer();
        CHECK(show(*whole, whole->encode("hi", kPlain)) == "hi");
        CHECK(show(*whole, whole->encode("his", kPlain)) == "h|i|s");
        const auto merging = header.set("tokenizer.ggml.pre", std::string("qwen2")).tokenizer();
        CHECK(show(*merging, merging->encode("hi", kPlain)) == "h|i");
    }

    TEST_CASE("special tokens in the text are recognised when asked for") {
        const auto tokenizer =
            bpe_vocabulary("gpt-2", kMerges, {{"<|im_end|>", 3}, {"<think>", 4}}).tokenizer();
        const TokenId end = last_id(*tokenizer) - 1;
        const TokenId think = last_id(*tokenizer);
        const std::string_view text = "low<|im_end|> <think>er";
        CHECK(show(*tokenizer, tokenizer->encode(text, {})) == "low|<|im_end|>| |<think>|er");
        CHECK(tokenizer->encode("<|im_end|>", {}) == std::vector<TokenId>{end});
        // Without, control tokens are text; user-defined ones are tokens always.
        const auto plain = tokenizer->encode(text, kPlain);
        CHECK(std::count(plain.begin(), plain.end(), end) == 0);
        CHECK(std::count(plain.begin(), plain.end(), think) == 1);
        CHECK(join(*tokenizer, plain) == text);
        // A control token has a name, but no text of its own.
        CHECK(tokenizer->text(end) == "<|im_end|>");
        CHECK(tokenizer->piece(end).empty());
        CHECK(tokenizer->piece(think) == "<think>");
        CHECK(tokenizer->piece(-1).empty());
        CHECK(tokenizer->piece(last_id(*tokenizer) + 1).empty());
    }

    TEST_CASE("special tokens that a person writes into a chat are text") {
        const auto header = bpe_vocabulary(
            "gpt-2", kMerges,
            {{"<|im_end|>", 3}, {"<turn>", 4}, {"[[[[", 4}, {"<s>", 3}, {"<|im_end|>\n", 3}});
        const auto tokenizer = header.tokenizer();
        const auto encoded = [&](std::string_view text, std::vector<Tokenizer::Span> spans) {
            Tokenizer::EncodeOptions options;
            options.spans = spans;
            options.markup = "<turn>{{ content }}<|im_end|>";
            return show(*tokenizer, tokenizer->encode(text, options));
        };
        const std::string_view text = "<turn>lower<turn>[[[[<|im_end|><|im_end|>";
        // The content is "er<turn>[[[[<|im_end|>": the words around its borders stay whole.
        CHECK(encoded(text, {{9, false}, {22, true}, {10, false}}) ==
              "<turn>|lower|<|t|u|r|n|>|[[[[|<|||i|m|_|e|n|d|||>|<|im_end|>");
        CHECK(encoded(text, {}) == "<turn>|lower|<turn>|[[[[|<|im_end|>|<|im_end|>");
        // A token of the vocabulary that the template does not use is a way of writing text.
        CHECK(encoded("[[[[", {{4, true}}) == "[[[[");
        // Half of a marker each is none, whatever stands where they meet; but spans of a kind are
        // one text.
        CHECK(encoded("<|im_end|>", {{4, true}, {6, false}}).find("<|im_end|>") ==
              std::string::npos);
        CHECK(encoded("<|im_end|>", {{4, false}, {6, true}}).find("<|im_end|>") ==
              std::string::npos);
        CHECK(encoded("<|im_end|>", {{4, false}, {0, true}, {6, false}}) == "<|im_end|>");
        // A longer marker that would take from the content does not hide the template's.
        CHECK(encoded("<|im_end|>\n", {{10, false}, {1, true}}) == "<|im_end|>|\n");
        // What spans do not reach is the template's.
        CHECK(encoded("<s><s>", {{3, true}}) == "<|s|>|<s>");
        CHECK(encoded("<s><s>", {{3, true}, {100, true}}) == "<|s|>|<|s|>");
    }

    TEST_CASE("a text that goes on has no EOS, and no second BOS") {
        auto header = bpe_vocabulary("llama-bpe", kMerges, {{"<s>", 3}, {"</s>", 3}});
        const auto bos = static_cast<std::uint32_t>(256 + kMerges.size());
        header.set("tokenizer.ggml.bos_token_id", bos);
        header.set("tokenizer.ggml.eos_token_id", bos + 1);
        header.set("tokenizer.ggml.add_eos_token", true);
        const auto tokenizer = header.tokenizer();
        Tokenizer::EncodeOptions options;
        options.open_end = true;
        CHECK(show(*tokenizer, tokenizer->encode("low", options)) == "<s>|low");
        CHECK(show(*tokenizer, tokenizer->encode("<s>low", options)) == "<s>|low");
        // A person's "<s>" is not the beginning.
        const std::vector<Tokenizer::Span> spans{{3, true}};
        options.spans = spans;
        CHECK(show(*tokenizer, tokenizer->encode("<s>low", options)) == "<s>|<|s|>|low");
    }

    TEST_CASE("BOS and EOS are added as the file says, else as the model's family does") {
        auto header = bpe_vocabulary("llama-bpe", kMerges, {{"<s>", 3}, {"</s>", 3}});
        const auto bos = static_cast<std::uint32_t>(256 + kMerges.size());
        header.set("tokenizer.ggml.bos_token_id", bos);
        header.set("tokenizer.ggml.eos_token_id", bos + 1);
        const auto encoded = [](const HeaderBuilder& of, const Tokenizer::EncodeOptions& options) {
            const auto tokenizer = of.tokenizer();
            return show(*tokenizer, tokenizer->encode("low", options));
        };
        CHECK(encoded(header, {}) == "<s>|low");
        CHECK(encoded(header, kPlain) == "low");
        CHECK(header.tokenizer()->adds_bos());
        CHECK(header.tokenizer()->bos() == static_cast<TokenId>(bos));
        CHECK(header.tokenizer()->eos() == static_cast<TokenId>(bos + 1));
        CHECK(encoded(HeaderBuilder(header).set("tokenizer.ggml.add_bos_token", false), {}) ==
              "low");
        CHECK(encoded(HeaderBuilder(header).set("tokenizer.ggml.add_eos_token", true), {}) ==
              "<s>|low|</s>");
        const HeaderBuilder qwen =
            HeaderBuilder(header).set("tokenizer.ggml.pre", std::string("qwen2"));
        CHECK(encoded(qwen, {}) == "low");
        CHECK(encoded(HeaderBuilder(qwen).set("tokenizer.ggml.add_bos_token", true), {}) ==
              "<s>|low");
        // The family adds BOS, but the file has none: nothing to add.
        CHECK(encoded(HeaderBuilder(header).erase("tokenizer.ggml.bos_token_id"), {}) == "low");
    }

    TEST_CASE("a text that begins with BOS or ends with EOS gets no second one") {
        auto header = bpe_vocabulary("llama-bpe", kMerges, {{"<s>", 3}, {"</s>", 3}});
        const auto bos = static_cast<std::uint32_t>(256 + kMerges.size());
        header.set("tokenizer.ggml.bos_token_id", bos);
        header.set("tokenizer.ggml.eos_token_id", bos + 1);
        header.set("tokenizer.ggml.add_eos_token", true);
        const auto tokenizer = header.tokenizer();
        const auto encoded = [&](std::string_view text, const Tokenizer::EncodeOptions& options) {
            return show(*tokenizer, tokenizer->encode(text, options));
        };
        CHECK(encoded("<s>low</s>", {}) == "<s>|low|</s>");
        CHECK(encoded("<s>", {}) == "<s>|</s>");
        CHECK(encoded("low<s>low", {}) == "<s>|low|<s>|low|</s>");
        CHECK(encoded(" <s>", {}) == "<s>| |<s>|</s>");
        // What is written twice was meant twice.
        CHECK(encoded("<s><s>low</s></s>", {}) == "<s>|<s>|low|</s>|</s>");
        // Where the text cannot name tokens, it begins with none.
        CHECK(tokenizer->encode("<s>", {true, false}).size() == 5);
        CHECK(encoded("<s>low", {false, true}) == "<s>|low");
    }

    TEST_CASE("encoding is given up beyond the tokens that are asked for, and when stopped") {
        const auto tokenizer = bpe_vocabulary("qwen2", kMerges, {{"<|x|>", 3}}).tokenizer();
        std::string word;
        while (word.size() < (std::size_t{1} << 20)) word += "lowaaa";
        std::string words;
        while (words.size() < word.size()) words += " low";
        std::string specials;
        while (specials.size() < word.size()) specials += "<|x|>a";
        for (const std::string& text : {word, words, specials}) {
            const auto all = tokenizer->encode(text, {});
            CAPTURE(text.substr(0, 8));
            Tokenizer::EncodeOptions options;
            options.max_tokens = 1000;
            const auto some = tokenizer->encode(text, options);
            CHECK(some.size() > options.max_tokens);
            CHECK(some.size() < options.max_tokens + 70'000);  // a part of a word more
            CHECK(std::equal(some.begin(), some.end(), all.begin()));
            options.max_tokens = all.size();
            CHECK(tokenizer->encode(text, options) == all);
            std::stop_source source;
            const std::stop_token stop = source.get_token();
            options.stop = &stop;
            CHECK(tokenizer->encode(text, options) == all);
            source.request_stop();
            CHECK(tokenizer->encode(text, options).size() < 70'000);
        }
    }

    TEST_CASE("a word of many bytes is cut between characters") {
        const auto tokenizer = bpe_vocabulary("qwen2", kMerges).tokenizer();
        for (const std::string_view unit : {"a", "é", "你", "😁", "\xFF"}) {
            CAPTURE(std::string(unit));
            std::string text = "b";
            while (text.size() < 200'000) text += unit;
            const auto ids = tokenizer->encode(text, kPlain);
            CHECK(join(*tokenizer, ids) == text);
            if (unit == "a") CHECK(ids.size() < text.size() / 4 + 16);
        }
    }

    TEST_CASE("an unknown pre-tokenizer is refused by name, unless it may be guessed") {
        const auto header = bpe_vocabulary("a.x-4.0", kMerges);
        CHECK_THROWS_WITH_AS(header.tokenizer(), doctest::Contains("a.x-4.0"), ModelError);
        CHECK_THROWS_WITH_AS(header.tokenizer(), doctest::Contains("models.guess_pretokenizer"),
                             ModelError);
        const auto guessed = header.tokenizer(Tokenizer::UnknownPre::guess);
        CHECK(guessed->warning().find("tokenizer.ggml.pre") != std::string_view::npos);
        CHECK(guessed->warning().find("a.x-4.0") != std::string_view::npos);
    }

    TEST_CASE("a missing pre-tokenizer is guessed with a warning") {
        const auto missing = bpe_vocabulary("", kMerges).erase("tokenizer.ggml.pre").tokenizer();
        CHECK(missing->warning().find("is missing") != std::string_view::npos);
        CHECK(show(*missing, missing->encode("low 1234", kPlain)) == "low| |1|2|3|4");
        CHECK(bpe_vocabulary("default", kMerges).tokenizer()->warning().empty());
    }

    TEST_CASE("a byte without a token becomes the unknown token, or nothing") {
        auto header = bpe_vocabulary("gpt-2", {{"a", "a"}}, {{"<unk>", 2}});
        header.at<Strings>("tokenizer.ggml.tokens")[0xC0] = "[PAD]";
        const auto unknown = static_cast<std::uint32_t>(257);
        CHECK(show(*header.tokenizer(), header.tokenizer()->encode("a\xC0z", kPlain)) == "a|z");
        header.set("tokenizer.ggml.unknown_token_id", unknown);
        CHECK(show(*header.tokenizer(), header.tokenizer()->encode("a\xC0z", kPlain)) ==
              "a|<unk>|z");
    }

    TEST_CASE("decoding gives the text that was encoded") {
        std::mt19937 random(23);
        for (const char* pre : {"gpt-2", "llama-bpe", "qwen2", "tekken", "deepseek-llm",
                                "deepseek-coder", "deepseek-v3", "falcon", "starcoder", "bloom"}) {
            CAPTURE(pre);
            const auto tokenizer =
                bpe_vocabulary(pre, kMerges, {{"<|x|>", 4}, {"<|end|>", 3}}).tokenizer();
            for (int round = 0; round < 200; ++round) {
                const std::string text = random_text(random, round % 2 == 0);
                CAPTURE(text);
                CHECK(join(*tokenizer, tokenizer->encode(text, kPlain)) == text);
            }
        }
    }

    TEST_CASE("a megabyte of anything takes well below a second") {
        constexpr std::size_t kSize = std::size_t{1} << 20;
        const auto tokenizer = bpe_vocabulary("qwen2", kMerges, {{"<|x|>", 3}}).tokenizer();
        for (const std::string_view unit : {"a", " ", "😁", "\xFF", "<|x|>", "<|x", "lower "}) {
            CAPTURE(std::string(unit));
            std::string text;
            while (text.size() < kSize) text += unit;
            const auto start = std::chrono::steady_clock::now();
            const auto ids = tokenizer->encode(text, {});
            const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
            CHECK(took.count() < 30.0);  // Quadratic work takes minutes.
            if (unit != "<|x|>") CHECK(join(*tokenizer, ids) == text);
        }
    }
}

}  // namespace
}  // namespace shoal::model::bpe_tokenizer_test
