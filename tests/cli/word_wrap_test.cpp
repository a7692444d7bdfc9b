#include "cli/word_wrap.hpp"

#include <doctest/doctest.h>

#include <clocale>
#include <string>

namespace word_wrap_test {

using shoal::cli::WordWrap;

TEST_SUITE_BEGIN("cli/word_wrap");

namespace {

/// What a terminal shows after this was printed: "\033[<n>D\033[K" takes n characters back.
std::string shown(const std::string& printed) {
    std::string screen;
    for (std::size_t at = 0; at < printed.size();) {
        if (printed[at] != '\033') {
            screen += printed[at++];
            continue;
        }
        std::size_t end = 0;
        const auto columns = std::stoul(printed.substr(at + 2), &end);
        REQUIRE(printed.substr(at + 2 + end, 4) == "D\033[K");
        screen.resize(screen.size() - columns);
        at += end + 6;
    }
    return screen;
}

/// The text in pieces of so many bytes.
std::string wrapped(std::size_t columns, const std::string& text, std::size_t piece = 1) {
    WordWrap wrap(columns);
    std::string out;
    for (std::size_t at = 0; at < text.size(); at += piece) out += wrap.add(text.substr(at, piece));
    return shown(out);
}

struct Utf8 {
    Utf8() { std::setlocale(LC_CTYPE, "C.UTF-8"); }
    ~Utf8() { std::setlocale(LC_CTYPE, "C"); }
};

}  // namespace

TEST_CASE("lines break between words, however the text is cut into pieces") {
    for (const std::size_t piece : {1, 2, 3, 7, 100}) {
        // A space that comes at the end of a full line is the break; one before it stays.
        CHECK(wrapped(11, "one two three four", piece) == "one two \nthree four");
        CHECK(wrapped(11, "one two th", piece) == "one two th");
        CHECK(wrapped(11, "one two tha four", piece) == "one two \ntha four");
    }
    CHECK(wrapped(11, "0123456789 x") == "0123456789\nx");
    CHECK(wrapped(11, "a\nb\n\nc") == "a\nb\n\nc");
}

TEST_CASE("no line of prose is longer than the terminal is wide, less one column") {
    std::string text;
    for (int i = 0; i < 400; ++i)
        text += std::string(static_cast<std::size_t>(i * 7 % 13 + 1), 'a') + ' ';
    std::string line;
    const std::string all = wrapped(80, text, 3) + '\n';
    for (std::size_t at = 0, end = 0; (end = all.find('\n', at)) != std::string::npos;
         at = end + 1) {
        CHECK(end - at <= 79);
    }
}

TEST_CASE("a word longer than a line is cut, and none without a width") {
    CHECK(wrapped(5, "abcdefghij") == "abcd\nefgh\nij");
    CHECK(wrapped(5, "a bcdefghij") == "a \nbcde\nfghi\nj");
    CHECK(wrapped(0, std::string(300, 'x')) == std::string(300, 'x'));
}

TEST_CASE("code between fences stays whole") {
    const std::string code = "```\nint main() { return 0; }\n```\n";
    CHECK(wrapped(11, code + "one two three") == code + "one two \nthree");
    CHECK(wrapped(11, "  ~~~ c++ of mine\nlong long long long\n~~~") ==
          "  ~~~ c++ of mine\nlong long long long\n~~~");
}

TEST_CASE("wide characters take two columns and lines break between them") {
    const Utf8 utf8;
    CHECK(wrapped(6, "\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xb8\x96\xe7\x95\x8c", 3) ==
          "\xe4\xbd\xa0\xe5\xa5\xbd\n\xe4\xb8\x96\xe7\x95\x8c");
    // A combining accent takes none.
    CHECK(wrapped(4, "ae\xcc\x81z b", 100) == "ae\xcc\x81z\nb");
    CHECK(wrapped(5, "caf\xc3\xa9 x", 100) == "caf\xc3\xa9\nx");
}

TEST_SUITE_END();

}  // namespace word_wrap_test
