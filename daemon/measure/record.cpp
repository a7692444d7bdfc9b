#include "daemon/measure/record.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

namespace shoal::measure {
namespace {

using Json = nlohmann::ordered_json;
using planner::DeviceProfile;

// Counts the formats: another one is measured anew.
constexpr int kFormat = 1;
constexpr std::size_t kMostCpus = 4096;
constexpr std::size_t kMostText = 256;

constexpr std::array<std::pair<const char*, double DeviceProfile::*>, 4> kNumbers{
    {{"attend_one", &DeviceProfile::attend_one},
     {"attend_many", &DeviceProfile::attend_many},
     {"elements", &DeviceProfile::elements},
     {"layer_seconds", &DeviceProfile::layer_seconds}}};

Json json_of(const DeviceProfile& profile) {
    Json products = Json::object();
    for (const planner::Family family : planner::kFamilies) {
        const planner::Rates& r = profile.of(family);
        products[planner::name(family)] = {
            {"one_row", r.one_row}, {"many_rows", r.many_rows}, {"in_file", r.in_file}};
    }
    Json json = {{"products", std::move(products)}};
    for (const auto& [name, number] : kNumbers) json[name] = profile.*number;
    return json;
}

double number_in(const Json& json, const char* name) {
    const Json& value = json.at(name);
    if (!value.is_number()) throw std::runtime_error(std::string(name) + " is no number");
    return value.get<double>();
}

std::uint64_t count_in(const Json& value, std::uint64_t most) {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > most) {
        throw std::runtime_error(value.dump() + " is no number from 0 to " + std::to_string(most));
    }
    return value.get<std::uint64_t>();
}

std::string text_in(const Json& json, const char* name) {
    const Json& value = json.at(name);
    if (!value.is_string() || value.get_ref<const std::string&>().size() > kMostText) {
        throw std::runtime_error(std::string(name) + " is no short text");
    }
    return value.get<std::string>();
}

DeviceProfile profile_in(const Json& json) {
    DeviceProfile profile;
    for (const planner::Family family : planner::kFamilies) {
        const Json& r = json.at("products").at(planner::name(family));
        profile.rates[static_cast<std::size_t>(family)] = {
            number_in(r, "one_row"), number_in(r, "many_rows"), number_in(r, "in_file")};
    }
    for (const auto& [name, number] : kNumbers) profile.*number = number_in(json, name);
    if (!planner::plausible(profile)) {
        throw std::runtime_error("no device has such a profile");
    }
    return profile;
}

Conditions conditions_in(const Json& json) {
    Conditions c;
    c.cpu = text_in(json, "cpu");
    c.isa = text_in(json, "isa");
    c.threads = static_cast<std::uint32_t>(count_in(json.at("threads"), UINT32_MAX));
    const Json& cpus = json.at("cpus");
    if (!cpus.is_array() || cpus.size() > kMostCpus) {
        throw std::runtime_error("cpus is no short list");
    }
    for (const Json& cpu : cpus) {
        c.cpus.push_back(static_cast<std::uint32_t>(count_in(cpu, UINT32_MAX)));
    }
    c.memory_total = count_in(json.at("memory_total"), UINT64_MAX);
    c.version = text_in(json, "version");
    return c;
}

// What can be printed, so that it is the same after a file has had it.
std::string plain(std::string_view text) {
    std::string out(text.substr(0, kMostText));
    for (char& c : out) {
        if (c < ' ' || c > '~') c = '?';
    }
    return out;
}

std::string_view trimmed(std::string_view text) {
    // The device tree's texts end with a zero byte.
    constexpr std::string_view kSpace(" \t\r\n\0", 5);
    const auto first = text.find_first_not_of(kSpace);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

}  // namespace

bool Conditions::same_as(const Conditions& other) const noexcept {
    const std::uint64_t more = std::max(memory_total, other.memory_total);
    const std::uint64_t less = std::min(memory_total, other.memory_total);
    return cpu == other.cpu && isa == other.isa && threads == other.threads && cpus == other.cpus &&
           version == other.version && more - less <= more / 32;
}

std::string to_text(const Record& record) {
    const Conditions& c = record.conditions;
    const Json json = {{"format", kFormat},
                       {"date", record.date},
                       {"conditions",
                        {{"cpu", c.cpu},
                         {"isa", c.isa},
                         {"threads", c.threads},
                         {"cpus", c.cpus},
                         {"memory_total", c.memory_total},
                         {"version", c.version}}},
                       {"profile", json_of(record.profile)}};
    return json.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

Record from_text(std::string_view text) {
    try {
        const Json json = Json::parse(text);
        if (count_in(json.at("format"), INT32_MAX) != kFormat) {
            throw std::runtime_error("it has another format");
        }
        return {profile_in(json.at("profile")), conditions_in(json.at("conditions")),
                text_in(json, "date")};
    } catch (const nlohmann::json::exception& error) {
        throw std::runtime_error(error.what());
    }
}

std::string cpu_model(std::string_view cpuinfo, std::string_view board) {
    if (const std::string_view name = trimmed(board); !name.empty()) return plain(name);
    constexpr std::string_view kKey = "model name";
    for (std::size_t at = 0; at < cpuinfo.size();) {
        const std::string_view rest = cpuinfo.substr(at);
        const std::string_view line = rest.substr(0, rest.find('\n'));
        const auto colon = line.find(':');
        if (line.starts_with(kKey) && colon != std::string_view::npos) {
            return plain(trimmed(line.substr(colon + 1)));
        }
        at += line.size() + 1;
    }
    return "";
}

}  // namespace shoal::measure
