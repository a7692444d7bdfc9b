#include "cli/qr.hpp"

#include <qrencode.h>

#include <algorithm>
#include <memory>

namespace shoal::cli {
namespace {

constexpr int kQuietZone = 4;

/// Whether a module is dark; around the code they are light.
bool is_dark(const QRcode& code, int x, int y) {
    if (x < 0 || y < 0 || x >= code.width || y >= code.width) return false;
    return (code.data[y * code.width + x] & 1) != 0;
}

}  // namespace

std::string qr_text(std::string_view text, const Terminal& terminal) {
    if (!terminal.interactive || !terminal.unicode) return "";
    // Capitals take fewer bits, and invitations may be written in them.
    std::string capitals(text);
    std::ranges::transform(capitals, capitals.begin(), [](char c) {
        return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    });
    const std::unique_ptr<QRcode, decltype(&QRcode_free)> code(
        QRcode_encodeString(capitals.c_str(), 0, QR_ECLEVEL_L, QR_MODE_8, 1), &QRcode_free);
    if (!code || terminal.columns < static_cast<std::size_t>(code->width + 2 * kQuietZone))
        return "";
    // Without colour a dark terminal is likelier, whose blocks are light.
    const bool blocks_are_dark = terminal.color;
    std::string out;
    for (int y = -kQuietZone; y < code->width + kQuietZone; y += 2) {
        if (terminal.color) out += "\x1b[38;5;16;48;5;231m";
        for (int x = -kQuietZone; x < code->width + kQuietZone; ++x) {
            const bool upper = is_dark(*code, x, y) == blocks_are_dark;
            const bool lower = is_dark(*code, x, y + 1) == blocks_are_dark;
            out += upper ? (lower ? "\u2588" : "\u2580") : (lower ? "\u2584" : " ");
        }
        out += terminal.color ? "\x1b[0m\n" : "\n";
    }
    return out;
}

}  // namespace shoal::cli
