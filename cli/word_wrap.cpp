#include "cli/word_wrap.hpp"

#include <fmt/format.h>
#include <wchar.h>

#include <algorithm>

namespace shoal::cli {
namespace {

constexpr std::size_t kTab = 8;
/// A fence stands behind at most three spaces.
constexpr std::size_t kFenceBytes = 6;
constexpr char32_t kInvalid = 0xFFFD;

/// The first character; a byte that begins none is one of its own.
std::string_view first_of(std::string_view text) noexcept {
    const auto lead = static_cast<unsigned char>(text[0]);
    const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    std::size_t size = 1;
    while (size < std::min(length, text.size()) &&
           (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) {
        ++size;
    }
    return text.substr(0, size);
}

char32_t code_of(std::string_view bytes) noexcept {
    if (bytes.size() == 1) {
        const auto byte = static_cast<unsigned char>(bytes[0]);
        return byte < 0x80 ? byte : kInvalid;
    }
    char32_t code = static_cast<unsigned char>(bytes[0]) & (0xFF >> (bytes.size() + 1));
    for (const char c : bytes.substr(1)) code = code << 6 | (static_cast<unsigned char>(c) & 0x3F);
    return code;
}

bool is_fence(std::string_view line) noexcept {
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    return line.starts_with("```") || line.starts_with("~~~");
}

}  // namespace

std::size_t columns_of(char32_t code) noexcept {
    const int columns = wcwidth(static_cast<wchar_t>(code));
    // What the C library does not know is most likely a new letter.
    return columns < 0 ? 1 : static_cast<std::size_t>(columns);
}

std::string WordWrap::add(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const std::string_view bytes = first_of(text);
        add_character(bytes, code_of(bytes), out);
        text.remove_prefix(bytes.size());
    }
    return out;
}

void WordWrap::reset() {
    end_line();
    code_ = false;
}

void WordWrap::end_line() {
    if (is_fence(line_start_)) code_ = !code_;
    line_start_.clear();
    column_ = 0;
    begin_word(0);
    word_begins_line_ = true;
}

void WordWrap::begin_word(std::size_t columns) {
    word_.clear();
    word_columns_ = 0;
    column_ += columns;
    word_begins_line_ = false;
}

void WordWrap::add_character(std::string_view bytes, char32_t code, std::string& out) {
    if (code == '\n') {
        out += '\n';
        end_line();
        return;
    }
    if (line_start_.size() < kFenceBytes) line_start_ += bytes;
    if (width_ == 0 || code_ || is_fence(line_start_)) {
        out += bytes;
        return;
    }
    if (code == ' ' || code == '\t') {
        const std::size_t columns = code == ' ' ? 1 : kTab - column_ % kTab;
        // A space at the end of a full line is the break.
        if (column_ + columns > width_) {
            out += '\n';
            column_ = 0;
            begin_word(0);
            word_begins_line_ = true;
            return;
        }
        out += bytes;
        begin_word(columns);
        return;
    }
    const std::size_t columns = columns_of(code);
    // Between wide characters, as of Chinese, a line may be broken anywhere.
    if (columns == 2) begin_word(0);
    add_visible(bytes, columns, out);
    if (columns == 2) begin_word(0);
}

void WordWrap::add_visible(std::string_view bytes, std::size_t columns, std::string& out) {
    if (column_ + columns > width_) {
        if (word_columns_ > 0 && !word_begins_line_) {
            // Back to where the word begins, and the rest of the line is erased.
            out += fmt::format("\033[{}D\033[K", word_columns_);
        } else {
            // A word longer than a line is cut.
            word_.clear();
            word_columns_ = 0;
        }
        out += '\n';
        out += word_;
        column_ = word_columns_;
        word_begins_line_ = true;
    }
    out += bytes;
    word_ += bytes;
    word_columns_ += columns;
    column_ += columns;
}

}  // namespace shoal::cli
