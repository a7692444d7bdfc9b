#include "daemon/model/tokenizer/utf8.hpp"

#include <cassert>

namespace shoal::model {
namespace {

struct Lead {
    unsigned size;            ///< bytes of the character, 0 when no character begins so
    unsigned char low, high;  ///< the range of its second byte
};

constexpr Lead lead_of(unsigned char byte) noexcept {
    if (byte < 0x80) return {1, 0, 0};
    if (byte < 0xC2) return {0, 0, 0};  // a continuation byte, or an overlong form
    if (byte < 0xE0) return {2, 0x80, 0xBF};
    if (byte == 0xE0) return {3, 0xA0, 0xBF};  // below: overlong
    if (byte == 0xED) return {3, 0x80, 0x9F};  // above: surrogates
    if (byte < 0xF0) return {3, 0x80, 0xBF};
    if (byte == 0xF0) return {4, 0x90, 0xBF};  // below: overlong
    if (byte < 0xF4) return {4, 0x80, 0xBF};
    if (byte == 0xF4) return {4, 0x80, 0x8F};  // above: beyond U+10FFFF
    return {0, 0, 0};
}

}  // namespace

Utf8Step utf8_step(std::string_view bytes) noexcept {
    assert(!bytes.empty());
    Lead lead = lead_of(static_cast<unsigned char>(bytes[0]));
    if (lead.size == 0) return {1, Utf8Step::Kind::invalid};
    for (unsigned i = 1; i < lead.size; ++i) {
        if (i == bytes.size()) {
            return {static_cast<std::uint8_t>(i), Utf8Step::Kind::incomplete};
        }
        const auto byte = static_cast<unsigned char>(bytes[i]);
        if (byte < lead.low || byte > lead.high) {
            return {static_cast<std::uint8_t>(i), Utf8Step::Kind::invalid};
        }
        lead.low = 0x80;
        lead.high = 0xBF;
    }
    return {static_cast<std::uint8_t>(lead.size), Utf8Step::Kind::valid};
}

std::size_t valid_utf8_prefix(std::string_view bytes) noexcept {
    std::size_t size = 0;
    while (size < bytes.size()) {
        const Utf8Step step = utf8_step(bytes.substr(size));
        if (step.kind != Utf8Step::Kind::valid) break;
        size += step.size;
    }
    return size;
}

std::string_view utf8_prefix(std::string_view bytes, std::size_t limit) noexcept {
    assert(limit >= 4);
    if (bytes.size() <= limit) return bytes;
    std::size_t end = limit;
    while (end > limit - 3 && !begins_character(bytes[end])) --end;
    return bytes.substr(0, end);
}

}  // namespace shoal::model
