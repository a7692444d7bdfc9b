#include "daemon/http/sse.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace shoal::http {

std::string sse_event(const std::string& data) {
    return fmt::format("data: {}\n\n", data);
}

std::string sse_event(std::string_view name, const std::string& data) {
    return fmt::format("event: {}\ndata: {}\n\n", name, data);
}

std::string sse_progress(const mesh::messages::Progress& progress) {
    std::string what = progress.what;
    std::replace_if(
        what.begin(), what.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
    if (progress.total == 0) return fmt::format(": {}\n\n", what);
    return fmt::format(": {} {}/{}\n\n", what, progress.done, progress.total);
}

}  // namespace shoal::http
