#include "cli/terminal.hpp"

#include <doctest/doctest.h>

namespace terminal_test {

using namespace shoal::cli;

TEST_SUITE_BEGIN("cli/terminal");

TEST_CASE("text loses what commands a terminal and keeps the rest") {
    CHECK(harmless("a\tb\nc") == "a\tb\nc");
    CHECK(harmless("\x1b]0;title\x07") == "?]0;title?");
    CHECK(harmless("caf\xc3\xa9 \xe2\x94\x80") == "caf\xc3\xa9 \xe2\x94\x80");
    CHECK(harmless("\xc2\x9b"
                   "2J") == "?2J");
    CHECK(harmless("\xc2\xa0") == "\xc2\xa0");
    CHECK(harmless("\xc2") == "\xc2");
    CHECK(one_line("a\nb\tc\r") == "a b c?");
}

TEST_CASE("sizes and times have three digits or so") {
    CHECK(bytes_text(0) == "0 B");
    CHECK(bytes_text(1023) == "1023 B");
    CHECK(bytes_text(1024) == "1.0 KiB");
    CHECK(bytes_text(10 << 10) == "10 KiB");
    CHECK(bytes_text(1023 << 10) == "1.0 MiB");
    CHECK(bytes_text(std::uint64_t{3} << 40) == "3.0 TiB");
    CHECK(bytes_text(~std::uint64_t{0}) == "16777216 TiB");
    CHECK(seconds_text(0.314) == "0.31 s");
    CHECK(seconds_text(9.996) == "10.0 s");
    CHECK(seconds_text(119.96) == "2 min 0 s");
    CHECK(seconds_text(200) == "3 min 20 s");
    CHECK(seconds_text(-1) == "?");
}

TEST_CASE("the width of a text is counted in characters") {
    CHECK(display_width("") == 0);
    CHECK(display_width("caf\xc3\xa9") == 4);
    CHECK(display_width("\xe2\x94\x80\xe2\x94\x80") == 2);
    CHECK(display_width("\x1b[1;31mbad\x1b[0m!") == 4);
}

TEST_CASE("lines are broken between words, and a word that is too long stays whole") {
    Terminal terminal{.interactive = true, .columns = 10};
    CHECK(wrapped(terminal, "", 2).empty());
    CHECK(wrapped(terminal, "one two th", 2) == "one two th");
    CHECK(wrapped(terminal, "one two three four", 2) == "one two\n  three\n  four");
    CHECK(wrapped(terminal, "a  bcdefghijklmnop q", 1) == "a \n bcdefghijklmnop\n q");
    terminal.interactive = false;
    CHECK(wrapped(terminal, "one two three four", 2) == "one two three four");
}

TEST_CASE("a style is shown where there is colour") {
    CHECK(styled({.color = true}, Style::bad, "x") == "\x1b[31mx\x1b[0m");
    CHECK(styled({.color = true}, Style::plain, "x") == "x");
    CHECK(styled({.interactive = true}, Style::bad, "x") == "x");
}

TEST_SUITE_END();

}  // namespace terminal_test
