#include "daemon/http/dialects/shoal/exposition.hpp"

#include <fmt/format.h>

#include <iterator>

namespace shoal::http::native {
namespace {

/// A label's value may be any text; these three stand for themselves no more.
std::string escaped(std::string_view value) {
    std::string out;
    for (const char c : value) {
        if (c == '\\' || c == '"') out += '\\';
        if (c == '\n') {
            out += "\\n";
        } else {
            out += c;
        }
    }
    return out;
}

}  // namespace

void Exposition::metric(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name,
                   type);
}

void Exposition::sample(double value, Labels labels) {
    text_ += name_;
    char before = '{';
    for (const auto& [label, of] : labels) {
        fmt::format_to(std::back_inserter(text_), "{}{}=\"{}\"", before, label, escaped(of));
        before = ',';
    }
    if (labels.size() > 0) text_ += '}';
    fmt::format_to(std::back_inserter(text_), " {}\n", value);
}

}  // namespace shoal::http::native
