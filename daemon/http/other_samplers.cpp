#include "daemon/http/other_samplers.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace shoal::http {
namespace {

struct Switch {
    std::string_view name;
    double off;
};
constexpr Switch kSwitches[] = {
    {"mirostat", 0},        {"typical_p", 1},      {"tfs_z", 1},
    {"xtc_probability", 0}, {"dynatemp_range", 0}, {"top_n_sigma", -1},
    {"min_keep", 0},        {"dry_multiplier", 0}, {"adaptive_target", -1}};

/// Of the above, and without effect while they are off.
constexpr std::string_view kSettings[] = {
    "mirostat_tau", "mirostat_eta",       "xtc_threshold",      "dynatemp_exponent",
    "dry_base",     "dry_allowed_length", "dry_penalty_last_n", "adaptive_decay"};

}  // namespace

bool take_other_sampler(const std::string& name, const Json& value, Problem& problem) {
    for (const Switch& sampler : kSwitches) {
        if (sampler.name != name) continue;
        if (!is_null(value) && (!value.is_number() || value.get<double>() != sampler.off)) {
            problem =
                wrong(name, value,
                      fmt::format("{}, which is off; there is no such sampler here", sampler.off));
        }
        return true;
    }
    for (const std::string_view setting : kSettings) {
        if (setting != name) continue;
        if (!is_null(value) && !value.is_number()) problem = wrong(name, value, "a number");
        return true;
    }
    return false;
}

}  // namespace shoal::http
