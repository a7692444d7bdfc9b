#include <doctest/doctest.h>

#include <random>

#include "daemon/model/tokenizer/utf8.hpp"
#include "tests/tokenizer/small_vocabulary.hpp"

namespace shoal::model::detokenizer_test {
namespace {

/// A tokenizer whose pieces are given, to put any bytes into any piece.
class Pieces final : public Tokenizer {
  public:
    explicit Pieces(std::vector<std::string> pieces, bool strips = false)
        : pieces_(std::move(pieces)), strips_(strips) {}
    std::vector<TokenId> encode(std::string_view, const EncodeOptions&) const override {
        return {};
    }
    std::string_view piece(TokenId id) const noexcept override {
        if (id < 0 || static_cast<std::size_t>(id) >= pieces_.size()) return {};
        return pieces_[static_cast<std::size_t>(id)];
    }
    std::size_t size() const noexcept override { return pieces_.size(); }
    std::optional<TokenId> bos() const noexcept override { return std::nullopt; }
    bool is_end(TokenId) const noexcept override { return false; }
    bool strips_leading_space() const noexcept override { return strips_; }

  private:
    std::vector<std::string> pieces_;
    bool strips_;
};

/// Every output of push and flush, joined by '|'.
std::string stream(const std::vector<std::string>& pieces, bool strips = false,
                   bool at_start = true) {
    const Pieces tokenizer(pieces, strips);
    Detokenizer detokenizer(tokenizer, at_start);
    std::string out;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        out += detokenizer.push(static_cast<TokenId>(i)) + "|";
    }
    return out + detokenizer.flush();
}

std::string without_bars(std::string text) {
    std::erase(text, '|');
    return text;
}

TEST_SUITE("detokenizer") {
    TEST_CASE("a character comes out when it is complete") {
        CHECK(stream({"a", "\xF0", "\x9F", "\x98", "\x81", "b"}) == "a||||😁|b|");
        CHECK(stream({"h\xC3", "\xA9llo"}) == "h|éllo|");
        CHECK(stream({"\xE4\xBD", "\xA0\xE5\xA5", "\xBD"}) == "|你|好|");
    }

    TEST_CASE("an unfinished character becomes one replacement at the end") {
        CHECK(stream({"a\xF0\x9F\x98"}) == "a|\xEF\xBF\xBD");
        CHECK(stream({"a"}) == "a|");
        const Pieces tokenizer({"\xC3", "x"});
        Detokenizer detokenizer(tokenizer, true);
        CHECK(detokenizer.push(0).empty());
        CHECK(detokenizer.flush() == "\xEF\xBF\xBD");
        CHECK(detokenizer.flush().empty());
        CHECK(detokenizer.push(1) == "x");
    }

    TEST_CASE("each maximal part of broken text becomes one replacement") {
        // The example of The Unicode Standard, table 3-8.
        CHECK(stream({"a\xF1\x80\x80\xE1\x80\xC2"
                      "b\x80"
                      "c\x80\xBF"
                      "d"}) == "a���b�c��d|");
        CHECK(stream({"\xF1\x80", "\x80\xE1", "\x80\xC2", "b"}) == "|�|�|�b|");
        CHECK(stream({"\xED\xA0\x80"}) == "���|");
    }

    TEST_CASE("tokens without text change nothing") {
        CHECK(stream({"\xC3", "", "\xA9"}) == "||é|");
        const Pieces tokenizer({"a"});
        Detokenizer detokenizer(tokenizer, true);
        CHECK(detokenizer.push(-1).empty());
        CHECK(detokenizer.push(7).empty());
    }

    TEST_CASE("the leading space of a SentencePiece text is dropped, once") {
        CHECK(stream({" Once", " upon"}, true, true) == "Once| upon|");
        CHECK(stream({"  two"}, true, true) == " two|");
        CHECK(stream({"", " Once"}, true, true) == "|Once|");
        CHECK(stream({" ", " x"}, true, true) == "| x|");
        CHECK(stream({"Once", " upon"}, true, true) == "Once| upon|");
        CHECK(stream({" Once"}, true, false) == " Once|");
        CHECK(stream({" Once"}, false, true) == " Once|");
    }

    TEST_CASE("any split gives the text of the whole") {
        std::mt19937 random(3);
        const std::string_view parts[] = {"a",    " ",    "é",        "你",       "😁",
                                          "\xC3", "\x80", "\xE4\xBD", "\xF0\x9F", "\xFF"};
        for (int round = 0; round < 2000; ++round) {
            CAPTURE(round);
            std::string whole;
            for (auto i = random() % 12; i > 0; --i) whole += parts[random() % 10];
            std::vector<std::string> pieces;
            for (std::size_t at = 0; at < whole.size();) {
                const std::size_t size = 1 + random() % 4;
                pieces.push_back(whole.substr(at, size));
                at += size;
            }
            const std::string streamed = without_bars(stream(pieces));
            CHECK(streamed == without_bars(stream({whole})));
            CHECK(valid_utf8_prefix(streamed) == streamed.size());
            if (valid_utf8_prefix(whole) == whole.size()) CHECK(streamed == whole);
        }
    }
}

}  // namespace
}  // namespace shoal::model::detokenizer_test
