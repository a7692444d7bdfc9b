#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "tests/tokenizer/small_vocabulary.hpp"

namespace shoal::model::spm_tokenizer_test {
namespace {

using Strings = std::vector<std::string>;
using Floats = std::vector<float>;

const Strings kPieces = {"▁l", "lo", "▁lo", "▁low", "er", "▁",  "l", "o",
                         "w",  "e",  "r",   "n",    "é",  "▁▁", "你"};

std::string encoded(const HeaderBuilder& header, std::string_view text,
                    const Tokenizer::EncodeOptions& options = kPlain) {
    const auto tokenizer = header.tokenizer();
    return show(*tokenizer, tokenizer->encode(text, options));
}

TEST_SUITE("SentencePiece tokenizer") {
    TEST_CASE("the pair with the best score merges first") {
        CHECK(encoded(spm_vocabulary(kPieces), "low lower") == " low| low|er");
        // "lo" scores better than "▁l" here, so "▁lo" is reached the other way.
        CHECK(encoded(spm_vocabulary({"lo", "▁l", "▁", "l", "o"}), "lo") == " |lo");
        CHECK(encoded(spm_vocabulary({"▁l", "lo", "▁", "l", "o"}), "lo") == " l|o");
        CHECK(encoded(spm_vocabulary({"nn", "n", "▁"}), "nnn") == " |nn|n");
    }

    TEST_CASE("scores order as numbers whatever their sign") {
        auto header = spm_vocabulary({"ab", "bc", "a", "b", "c", "▁"});
        const std::size_t first = 3 + 256;
        const auto winner = [&](float ab, float bc) {
            auto& scores = header.at<Floats>("tokenizer.ggml.scores");
            scores[first] = ab;
            scores[first + 1] = bc;
            return encoded(header, "abc") == " |ab|c" ? "ab" : "bc";
        };
        CHECK(winner(-1.0F, -2.0F) == "ab");
        CHECK(winner(-2.0F, -1.0F) == "bc");
        CHECK(winner(1.0F, 2.0F) == "bc");
        CHECK(winner(-1.0F, 1.0F) == "bc");
        CHECK(winner(0.0F, -0.0F) == "ab");  // equal: the leftmost
        CHECK(winner(-0.0F, 0.0F) == "ab");
        CHECK(winner(-1e30F, -1e20F) == "bc");
    }

    TEST_CASE("characters without a token become bytes") {
        const auto header = spm_vocabulary(kPieces);
        const auto tokenizer = header.tokenizer();
        CHECK(tokenizer->encode("é", kPlain).size() == 2);  // space, é
        const auto ids = tokenizer->encode("😁", kPlain);
        CHECK(ids == std::vector<TokenId>{264, 3 + 0xF0, 3 + 0x9F, 3 + 0x98, 3 + 0x81});
        CHECK(join(*tokenizer, ids) == " 😁");
        CHECK(tokenizer->encode("\xFF", kPlain) == std::vector<TokenId>{264, 3 + 0xFF});
        CHECK(tokenizer->piece(3 + 0x0A) == "\n");
        CHECK(tokenizer->piece(3) == std::string_view("\0", 1));
    }

    TEST_CASE("characters without token and bytes become the unknown token") {
        auto header = spm_vocabulary(kPieces);
        header.at<Strings>("tokenizer.ggml.tokens")[3 + 0x9F] = "[PAD]";
        header.at<std::vector<std::int32_t>>("tokenizer.ggml.token_type")[3 + 0x9F] = 1;
        CHECK(encoded(header, "a😁b") == " |a|<unk>|b");
        CHECK(header.tokenizer()->piece(0).empty());
    }

    TEST_CASE("a space leads the text and what follows a special token") {
        const auto header = spm_vocabulary(kPieces, {{"<|im_end|>", 3}});
        CHECK(header.tokenizer()->strips_leading_space());
        CHECK(encoded(header, " low") == " | low");
        CHECK(encoded(header, "low<|im_end|>low", {false, true}) == " low|<|im_end|>| low");
        CHECK(encoded(header, "", {false, false}) == "");
        CHECK(encoded(header, "", {}) == "<s>");
        const auto bare = HeaderBuilder(header).set("tokenizer.ggml.add_space_prefix", false);
        CHECK_FALSE(bare.tokenizer()->strips_leading_space());
        CHECK(encoded(bare, "low<|im_end|> low", {false, true}) == "lo|w|<|im_end|>| low");
    }

    TEST_CASE("a space mark in the text is a space") {
        CHECK(encoded(spm_vocabulary(kPieces), "low▁low") == " low| low");
    }

    TEST_CASE("text never becomes a control, unknown or byte token") {
        // Merging could reach these texts: their parts are tokens.
        const auto header =
            spm_vocabulary({"<", "s", ">", "s>", "<u", "nk>", "<0x", "41>", "▁", "</", "nk", "0x"});
        const auto tokenizer = header.tokenizer();
        for (const std::string_view text : {"<s>", "<unk>", "<0x41>", "</s>"}) {
            CAPTURE(text);
            const auto ids = tokenizer->encode(text, kPlain);
            CHECK(join(*tokenizer, ids) == std::string(" ").append(text));
            CHECK(std::all_of(ids.begin(), ids.end(), [](TokenId id) { return id > 2; }));
        }
        CHECK(tokenizer->encode("<s>", {false, true}) == std::vector<TokenId>{1});
    }

    TEST_CASE("BOS is added by default, EOS is not") {
        const auto header = spm_vocabulary(kPieces);
        CHECK(encoded(header, "<s>low", {}) == "<s>| low");
        CHECK(encoded(header, "low", {}) == "<s>| low");
        CHECK(encoded(HeaderBuilder(header).set("tokenizer.ggml.add_bos_token", false), "low",
                      {}) == " low");
        CHECK(encoded(HeaderBuilder(header).set("tokenizer.ggml.add_eos_token", true), "low", {}) ==
              "<s>| low|</s>");
        CHECK(header.tokenizer()->is_end(2));
        CHECK_FALSE(header.tokenizer()->is_end(1));
        CHECK_FALSE(header.tokenizer()->is_end(-1));
    }

    TEST_CASE("a file without types and ids is read by SentencePiece's habits") {
        auto header = spm_vocabulary(kPieces);
        for (const char* key : {"token_type", "bos_token_id", "eos_token_id", "unknown_token_id"}) {
            header.erase("tokenizer.ggml." + std::string(key));
        }
        const auto tokenizer = header.tokenizer();
        CHECK(tokenizer->bos() == 1);
        CHECK(tokenizer->is_end(2));
        CHECK(tokenizer->piece(1).empty());
        CHECK(tokenizer->piece(0).empty());
        CHECK(tokenizer->piece(3 + 0x41) == "A");
        CHECK(show(*tokenizer, tokenizer->encode("low", {})) == "<s>| low");
    }

    TEST_CASE("words merge one by one only where no token spans two") {
        Strings pieces = {"w▁", "lo", "▁lo"};
        pieces.insert(pieces.end(), kPieces.begin() + 4, kPieces.end());
        // "w▁" scores best, so it takes the second word's space away.
        CHECK(encoded(spm_vocabulary(pieces), "low low") == " lo|w |lo|w");
        std::mt19937 random(29);
        const auto cut = spm_vocabulary(kPieces).tokenizer();
        auto spanning = spm_vocabulary(kPieces);
        spanning.at<Strings>("tokenizer.ggml.tokens").push_back("Q▁Q");  // never occurs
        spanning.at<std::vector<std::int32_t>>("tokenizer.ggml.token_type").push_back(1);
        spanning.at<Floats>("tokenizer.ggml.scores").push_back(-999.0F);
        const auto whole = spanning.tokenizer();
        for (int round = 0; round < 500; ++round) {
            std::string text;
            for (auto i = random() % 40; i > 0; --i) text += "lower n "[random() % 8];
            CAPTURE(text);
            CHECK(cut->encode(text, {}) == whole->encode(text, {}));
        }
    }

    TEST_CASE("Phi-3's special tokens swallow the white space after them") {
        auto header = spm_vocabulary(kPieces, {{"<|user|>", 3}, {"<|endoftext|>", 3}});
        const std::string_view text = "<|user|>\n low<|endoftext|> low";
        CHECK(encoded(header, text, {false, true}) == "<|user|>| |\n| low|<|endoftext|>| | low");
        header.set("general.name", std::string("Phi-3-mini"));
        CHECK(encoded(header, text, {false, true}) == "<|user|>| low|<|endoftext|>| | low");
        CHECK(encoded(header, "<|user|>\n\t ", {false, true}) == "<|user|>");
    }

    TEST_CASE("encoding is given up beyond the tokens that are asked for, and when stopped") {
        // Some token spans words, so nothing but its length cuts this text.
        const auto tokenizer = spm_vocabulary({"w▁", "lo", "▁lo", "▁", "l", "o", "w"}).tokenizer();
        std::string text;
        while (text.size() < (std::size_t{1} << 20)) text += "low ";
        const auto all = tokenizer->encode(text, {});
        Tokenizer::EncodeOptions options;
        options.max_tokens = 1000;
        const auto some = tokenizer->encode(text, options);
        CHECK(some.size() > options.max_tokens);
        CHECK(some.size() < options.max_tokens + 70'000);
        CHECK(std::equal(some.begin(), some.end(), all.begin()));
        std::stop_source source;
        source.request_stop();
        const std::stop_token stop = source.get_token();
        options = {};
        options.stop = &stop;
        CHECK(tokenizer->encode(text, options).size() < 70'000);
    }

    TEST_CASE("decoding gives the text that was encoded") {
        std::mt19937 random(31);
        const auto tokenizer = spm_vocabulary(kPieces, {{"<tool>", 4}}).tokenizer();
        const std::string_view parts[] = {"low", "er", " ",  "  ",   "é",
                                          "你",  "😁",  "\n", "\xFF", "\xE4\xBD"};
        for (int round = 0; round < 500; ++round) {
            std::string text;
            for (auto i = random() % 20; i > 0; --i) text += parts[random() % std::size(parts)];
            CAPTURE(text);
            const auto ids = tokenizer->encode(text, kPlain);
            CHECK(join(*tokenizer, ids) == (text.empty() ? "" : " " + text));
        }
    }
}

}  // namespace
}  // namespace shoal::model::spm_tokenizer_test
