// Text that arrives piece by piece, in lines that fit the terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace shoal::cli {

/// Columns that a code point takes: 2 for wide characters, 0 for those that join the one before.
/// By the locale's LC_CTYPE.
std::size_t columns_of(char32_t code) noexcept;

/// Breaks lines between words as the text comes. What is begun is shown at once; a word that turns
/// out too long for its line is taken back and stands on the next. Lines between fences (``` or
/// ~~~) are code and stay whole, however long. Owned by one thread.
class WordWrap {
  public:
    /// `columns`: of the terminal; 0: lines are not broken. One column stays free, so that the
    /// cursor never waits beyond the last one.
    explicit WordWrap(std::size_t columns) : width_(columns > 1 ? columns - 1 : 0) {}

    /// What to print for the next piece, which is harmless text of whole UTF-8 characters.
    std::string add(std::string_view text);
    /// As after a newline.
    void reset();

  private:
    void add_character(std::string_view bytes, char32_t code, std::string& out);
    void add_visible(std::string_view bytes, std::size_t columns, std::string& out);
    void end_line();
    void begin_word(std::size_t columns);

    std::size_t width_;
    std::size_t column_ = 0;
    std::string word_;              ///< that ends at the cursor
    std::size_t word_columns_ = 0;  ///< of it
    bool word_begins_line_ = true;
    std::string line_start_;  ///< enough of the line to know a fence
    bool code_ = false;
};

}  // namespace shoal::cli
