#include "daemon/http/dialects/shoal/exposition.hpp"

#include <fmt/format.h>

#include <iterator>
#include <nlohmann/json.hpp>

#include "daemon/http/json_output.hpp"

namespace shoal::http::native {

void Exposition::metric(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name,
                   type);
}

// Its buckets have all values up to their bounds, those of the ones before as well.
void Exposition::histogram(const Histogram& values, Labels labels) {
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < values.counts().size(); ++i) {
        count += values.counts()[i];
        const bool last = i == values.bounds().size();
        write("_bucket", labels, last ? "+Inf" : fmt::format("{}", values.bounds()[i]),
              static_cast<double>(count));
    }
    write("_sum", labels, "", values.sum());
    write("_count", labels, "", static_cast<double>(count));
}

// A label's value may be any text. JSON quotes it in the same way, and mends what is no UTF-8, for
// which Prometheus would refuse all.
void Exposition::write(std::string_view suffix, Labels labels, std::string_view bound,
                       double value) {
    text_.append(name_).append(suffix);
    char before = '{';
    const auto label = [&](std::string_view name, std::string_view of) {
        text_ += before;
        text_.append(name).append("=").append(dump(Json(of)));
        before = ',';
    };
    for (const auto& [name, of] : labels) label(name, of);
    if (!bound.empty()) label("le", bound);
    if (before == ',') text_ += '}';
    fmt::format_to(std::back_inserter(text_), " {}\n", value);
}

}  // namespace shoal::http::native
