// A text as a QR code on a terminal.
#pragma once

#include <string>
#include <string_view>

#include "cli/terminal.hpp"

namespace shoal::cli {

/// Two rows of modules to a line, dark on light where the terminal has colour, with the quiet zone
/// around. Empty when the terminal cannot show it: it is none, too narrow, or has no block
/// characters; or when the text is too long for a code.
std::string qr_text(std::string_view text, const Terminal& terminal);

}  // namespace shoal::cli
