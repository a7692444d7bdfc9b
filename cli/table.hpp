// Rows and columns as text.
#pragma once

#include <string>
#include <vector>

#include "cli/terminal.hpp"

namespace shoal::cli {

struct Column {
    std::string title;
    bool numeric = false;  ///< aligned at the right
    int importance = 0;    ///< where the terminal is too narrow, the least important goes first
};

/// Every row has one text for each column; empty means nothing to say. With box drawing on a
/// terminal that can show it, else plain columns two spaces apart.
struct Table {
    std::vector<Column> columns;
    std::vector<std::vector<std::string>> rows;

    std::string text(const Terminal& terminal) const;
};

/// "110", or "20 to 110" when the least and the most are not the same to three digits.
std::string span_text(double least, double most);

}  // namespace shoal::cli
