// From a template's source to tokens. Internal to this folder.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::jinja {

struct Token {
    enum class Kind : std::uint8_t {
        data,  ///< text between the tags, with what the tags strip of it taken away
        variable_begin,
        variable_end,
        block_begin,
        block_end,
        name,
        string,   ///< text: its value
        integer,  ///< text: its digits as std::from_chars reads them, with 0x and so on before
        real,
        sign,  ///< an operator or bracket
        end
    };
    Kind kind = Kind::end;
    std::uint32_t line = 0;
    std::string text;

    bool is_name(std::string_view name) const noexcept {
        return kind == Kind::name && text == name;
    }
    bool is_sign(std::string_view sign) const noexcept {
        return kind == Kind::sign && text == sign;
    }
};

/// The tokens, with one of Kind::end at the end. `source` is UTF-8 with "\n" as its only line end
/// (see unified_lines). Tags take the line end behind them and the blanks before them in their
/// line, as jinja2's trim_blocks and lstrip_blocks. Throws Failure, with its line, for what is no
/// token and for a tag that is not closed.
std::vector<Token> tokens_of(std::string_view source);

/// With "\n" for "\r\n" and "\r", and without one line end at the end.
std::string unified_lines(std::string_view source);

}  // namespace shoal::jinja
