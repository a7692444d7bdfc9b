#include "daemon/model/tokenizer/vocabulary.hpp"

#include <doctest/doctest.h>

#include <limits>

#include "tests/tokenizer/small_vocabulary.hpp"

namespace shoal::model::vocabulary_test {
namespace {

using Strings = std::vector<std::string>;
using Ints = std::vector<std::int32_t>;
using Floats = std::vector<float>;

/// The message of the ModelError that reading these keys throws; empty when it throws none.
std::string error_of(const HeaderBuilder& header) {
    try {
        header.tokenizer();
    } catch (const ModelError& error) {
        return error.what();
    }
    return {};
}

bool names(const std::string& message, std::string_view key) {
    return message.find("small.gguf") != std::string::npos &&
           message.find(key) != std::string::npos;
}

constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kTypes = "tokenizer.ggml.token_type";
constexpr const char* kScores = "tokenizer.ggml.scores";
constexpr const char* kMerges = "tokenizer.ggml.merges";

HeaderBuilder bpe() {
    return bpe_vocabulary("gpt-2", {{"a", "b"}, {"ab", "c"}});
}
HeaderBuilder spm() {
    return spm_vocabulary({"▁", "a", "b", "ab"});
}

TEST_SUITE("vocabulary") {
    TEST_CASE("the vocabularies that the other cases damage are good") {
        CHECK(error_of(bpe()) == "");
        CHECK(error_of(spm()) == "");
    }

    TEST_CASE("a kind that is not known is refused by name") {
        CHECK(names(error_of(bpe().set("tokenizer.ggml.model", std::string("t5"))),
                    "tokenizer.ggml.model"));
        CHECK(names(error_of(bpe().erase("tokenizer.ggml.model")), "tokenizer.ggml.model"));
        CHECK(names(error_of(bpe().set("tokenizer.ggml.model", true)), "tokenizer.ggml.model"));
    }

    TEST_CASE("tokens must be there, be strings, be distinct and of sane length") {
        for (auto header : {bpe(), spm()}) {
            CHECK(names(error_of(HeaderBuilder(header).erase(kTokens)), kTokens));
            CHECK(names(error_of(HeaderBuilder(header).set(kTokens, Ints{1, 2})), kTokens));
            CHECK(names(error_of(HeaderBuilder(header).set(kTokens, Strings())), kTokens));
            auto twice = header;
            twice.at<Strings>(kTokens)[5] = twice.at<Strings>(kTokens)[99];
            CHECK(names(error_of(twice), kTokens));
            CHECK(error_of(twice).find("twice") != std::string::npos);
            auto padded = header;
            padded.at<Strings>(kTokens).insert(padded.at<Strings>(kTokens).end(), 2, "");
            padded.at<Ints>(kTypes).insert(padded.at<Ints>(kTypes).end(), 2, 5);
            if (header.tokenizer()->strips_leading_space()) {
                padded.at<Floats>(kScores).insert(padded.at<Floats>(kScores).end(), 2, 0.0F);
            }
            CHECK(error_of(padded) == "");  // Empty padding may repeat.
        }
        auto longest = bpe_vocabulary("gpt-2", {}, {{std::string(kMaxTokenBytes, 'x'), 1}});
        CHECK(error_of(longest) == "");
        longest.at<Strings>(kTokens).back() += 'x';
        CHECK(names(error_of(longest), kTokens));
    }

    TEST_CASE("types and scores must match the tokens") {
        for (auto header : {bpe(), spm()}) {
            auto shorter = header;
            shorter.at<Ints>(kTypes).pop_back();
            CHECK(names(error_of(shorter), kTypes));
            auto longer = header;
            longer.at<Ints>(kTypes).push_back(1);
            CHECK(names(error_of(longer), kTypes));
            auto strange = header;
            strange.at<Ints>(kTypes)[7] = 7;
            CHECK(names(error_of(strange), kTypes));
            strange.at<Ints>(kTypes)[7] = -1;
            CHECK(names(error_of(strange), kTypes));
            CHECK(names(error_of(HeaderBuilder(header).set(kTypes, Strings{"a"})), kTypes));
        }
        auto scores = spm();
        scores.at<Floats>(kScores).pop_back();
        CHECK(names(error_of(scores), kScores));
        CHECK(names(error_of(spm().erase(kScores)), kScores));
        CHECK(names(error_of(spm().set(kScores, Ints{1})), kScores));
        scores = spm();
        scores.at<Floats>(kScores)[3] = std::numeric_limits<float>::quiet_NaN();
        CHECK(names(error_of(scores), kScores));
    }

    TEST_CASE("merges must be two tokens that make a third") {
        CHECK(names(error_of(bpe().erase(kMerges)), kMerges));
        CHECK(names(error_of(bpe().set(kMerges, Floats{1.0F})), kMerges));
        for (const char* merge : {"ab", "a ", " a", "a b c", "", " ", "zz a", "a zz", "b a"}) {
            CAPTURE(merge);
            auto header = bpe();
            header.at<Strings>(kMerges)[1] = merge;
            CHECK(names(error_of(header), kMerges));
        }
    }

    TEST_CASE("ids must be in range; -1 means none") {
        for (const char* role : {"bos", "eos", "eot", "eom", "unknown"}) {
            const std::string key = "tokenizer.ggml." + std::string(role) + "_token_id";
            CAPTURE(key);
            CHECK(names(error_of(bpe().set(key, std::uint32_t{258})), key));
            CHECK(error_of(bpe().set(key, std::uint32_t{257})) == "");
            CHECK(error_of(bpe().set(key, std::uint32_t{0xFFFFFFFF})) == "");
            CHECK(error_of(bpe().set(key, std::int32_t{-1})) == "");
            CHECK(names(error_of(bpe().set(key, std::int32_t{-2})), key));
            CHECK(names(error_of(bpe().set(key, std::string("2"))), key));
        }
        CHECK(names(error_of(bpe().set("tokenizer.ggml.add_bos_token", true)),
                    "tokenizer.ggml.add_bos_token"));
        CHECK(names(error_of(bpe().set("tokenizer.ggml.add_eos_token", true)),
                    "tokenizer.ggml.add_eos_token"));
        CHECK(names(error_of(bpe().set("tokenizer.ggml.add_bos_token", std::uint32_t{1})),
                    "tokenizer.ggml.add_bos_token"));
    }

    TEST_CASE("byte tokens must be there where nothing can take their place") {
        auto header = spm();
        header.at<Strings>(kTokens)[3 + 0x41] = "[PAD]";
        CHECK(names(error_of(header), kTokens));  // typed as a byte, which it is not
        header.at<Ints>(kTypes)[3 + 0x41] = 1;
        CHECK(error_of(header) == "");
        header.set("tokenizer.ggml.unknown_token_id", std::uint32_t{0xFFFFFFFF});
        CHECK(error_of(header).find("<0x41>") != std::string::npos);
        auto letters = bpe();
        letters.at<Strings>(kTokens)[0x41] = "[PAD]";
        CHECK(names(error_of(letters), kTokens));
        CHECK(error_of(letters).find("0x41") != std::string::npos);
    }

    TEST_CASE("special tokens are bounded together") {
        std::vector<std::pair<std::string, std::int32_t>> special;
        for (int i = 0; i < 200; ++i) {
            special.emplace_back(std::to_string(i) + std::string(kMaxTokenBytes - 3, 'x'), 3);
        }
        CHECK(names(error_of(bpe_vocabulary("gpt-2", {}, special)), kTypes));
    }

    TEST_CASE("known end tokens end a generation unless they are ordinary text") {
        const auto is_end = [](const HeaderBuilder& header, std::string_view token) {
            const auto tokenizer = header.tokenizer();
            for (TokenId id = 0; id < static_cast<TokenId>(tokenizer->size()); ++id) {
                if (tokenizer->text(id) == token) {
                    // What ends a generation is never shown.
                    if (tokenizer->is_end(id)) CHECK(tokenizer->piece(id).empty());
                    return tokenizer->is_end(id);
                }
            }
            FAIL("no such token");
            return false;
        };
        for (const std::int32_t type : {1, 3, 4}) {
            CAPTURE(type);
            const auto header = bpe_vocabulary(
                "gpt-2", {}, {{"<|im_end|>", type}, {"<|eot_id|>", type}, {"<other>", type}});
            CHECK(is_end(header, "<|im_end|>"));
            CHECK(is_end(header, "<|eot_id|>"));
            CHECK_FALSE(is_end(header, "<other>"));
        }
        // Here merges yield "</s>", as in vocabularies that have seen web pages.
        CHECK_FALSE(
            is_end(bpe_vocabulary("gpt-2", {{"<", "/"}, {"s", ">"}, {"</", "s>"}}), "</s>"));
        CHECK(is_end(bpe_vocabulary("gpt-2", {}, {{"</s>", 3}}), "</s>"));
        const auto done = bpe_vocabulary("gpt-2", {}, {{"<done>", 1}})
                              .set("tokenizer.ggml.eot_token_id", std::uint32_t{256});
        CHECK(is_end(done, "<done>"));
        CHECK(is_end(spm_vocabulary({"a"}, {{"<|end|>", 3}}), "<|end|>"));
        // In the harmony format <|end|> ends a message only.
        const auto harmony =
            bpe_vocabulary("gpt-4o", {}, {{"<|return|>", 3}, {"<|call|>", 3}, {"<|end|>", 3}});
        CHECK(is_end(harmony, "<|return|>"));
        CHECK(is_end(harmony, "<|call|>"));
        CHECK_FALSE(is_end(harmony, "<|end|>"));
    }
}

}  // namespace
}  // namespace shoal::model::vocabulary_test
