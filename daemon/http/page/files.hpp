// The files of this folder that a browser gets, as embed.py put them into the program.
#pragma once

#include <span>
#include <string_view>

namespace shoal::http::page {

struct File {
    std::string_view name, text;
};

extern const std::span<const File> kFiles;

}  // namespace shoal::http::page
