#include "daemon/model/tokenizer/byte_alphabet.hpp"

#include <array>
#include <cstdint>

namespace shoal::model {
namespace {

constexpr bool stands_for_itself(unsigned byte) noexcept {
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
}

constexpr unsigned kLetters = 0x144;  ///< one past the last letter

struct Alphabet {
    std::array<std::array<char, 2>, 256> utf8{};
    std::array<std::uint8_t, 256> size{};
    std::array<std::int16_t, kLetters> byte_of{};  ///< by code point; -1: none
};

constexpr Alphabet kAlphabet = [] {
    Alphabet alphabet;
    for (auto& byte : alphabet.byte_of) byte = -1;
    unsigned next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
        const unsigned letter = stands_for_itself(byte) ? byte : next++;
        alphabet.byte_of[letter] = static_cast<std::int16_t>(byte);
        if (letter < 0x80) {
            alphabet.utf8[byte] = {static_cast<char>(letter), 0};
            alphabet.size[byte] = 1;
        } else {
            alphabet.utf8[byte] = {static_cast<char>(0xC0 | letter >> 6),
                                   static_cast<char>(0x80 | (letter & 0x3F))};
            alphabet.size[byte] = 2;
        }
    }
    return alphabet;
}();

}  // namespace

std::string_view byte_to_letter(unsigned char byte) noexcept {
    return {kAlphabet.utf8[byte].data(), kAlphabet.size[byte]};
}

std::optional<std::string> letters_to_bytes(std::string_view letters) {
    std::string bytes;
    for (std::size_t i = 0; i < letters.size(); ++i) {
        unsigned letter = static_cast<unsigned char>(letters[i]);
        if (letter >= 0x80) {
            // Every letter beyond ASCII takes two bytes.
            if (letter < 0xC2 || letter > 0xC5 || i + 1 == letters.size()) return std::nullopt;
            const auto second = static_cast<unsigned char>(letters[++i]);
            if ((second & 0xC0) != 0x80) return std::nullopt;
            letter = (letter & 0x1F) << 6 | (second & 0x3F);
        }
        if (letter >= kLetters || kAlphabet.byte_of[letter] < 0) return std::nullopt;
        bytes += static_cast<char>(kAlphabet.byte_of[letter]);
    }
    return bytes;
}

}  // namespace shoal::model
