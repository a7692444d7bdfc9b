#include "daemon/plan/link_record.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>
#include <vector>

namespace shoal {
namespace {

using LinkJson = nlohmann::ordered_json;

// Counts the formats: of another one links are measured anew.
constexpr int kLinksFormat = 1;
constexpr std::size_t kMostLinkText = 256;

std::string link_text(const LinkJson& json, const char* name) {
    const LinkJson& value = json.at(name);
    if (!value.is_string() || value.get_ref<const std::string&>().size() > kMostLinkText) {
        throw std::runtime_error(std::string(name) + " is no short text");
    }
    return value.get<std::string>();
}

double link_number(const LinkJson& json, const char* name) {
    const LinkJson& value = json.at(name);
    if (!value.is_number()) throw std::runtime_error(std::string(name) + " is no number");
    return value.get<double>();
}

mesh::DeviceId link_device(const LinkJson& json, const char* name) {
    const auto id = mesh::DeviceId::from_hex(link_text(json, name));
    if (!id) throw std::runtime_error(std::string(name) + " is no device");
    return *id;
}

}  // namespace

std::string to_text(const KnownLinks& links) {
    std::vector<const KnownLinks::value_type*> kept;
    for (const auto& entry : links) kept.push_back(&entry);
    // Dates are in order as texts are.
    std::ranges::stable_sort(kept, std::ranges::greater(),
                             [](const auto* entry) { return entry->second.date; });
    if (kept.size() > kMaxKeptLinks) kept.resize(kMaxKeptLinks);
    std::string lines;
    for (const auto* entry : kept) {
        const auto& [pair, link] = *entry;
        const LinkJson json = {{"first", pair.first.hex()},
                               {"second", pair.second.hex()},
                               {"exchange_seconds", link.there.exchange_seconds},
                               {"there_bytes_per_second", link.there.bytes_per_second},
                               {"back_bytes_per_second", link.back.bytes_per_second},
                               {"date", link.date},
                               {"first_address", link.first_address},
                               {"second_address", link.second_address},
                               {"transport", link.transport},
                               {"cipher", link.cipher}};
        lines += (lines.empty() ? "\n" : ",\n") +
                 json.dump(-1, ' ', false, LinkJson::error_handler_t::replace);
    }
    return "{\"format\":" + std::to_string(kLinksFormat) + ",\"links\":[" + lines + "]}\n";
}

KnownLinks links_from_text(std::string_view text) {
    try {
        const LinkJson json = LinkJson::parse(text);
        if (json.at("format").get<int>() != kLinksFormat) {
            throw std::runtime_error("it has another format");
        }
        const LinkJson& list = json.at("links");
        if (!list.is_array() || list.size() > kMaxKeptLinks) {
            throw std::runtime_error("links is no list of this size");
        }
        KnownLinks links;
        for (const LinkJson& entry : list) {
            const auto first = link_device(entry, "first"), second = link_device(entry, "second");
            KnownLink link;
            const double exchange = link_number(entry, "exchange_seconds");
            link.there = {exchange, link_number(entry, "there_bytes_per_second")};
            link.back = {exchange, link_number(entry, "back_bytes_per_second")};
            link.date = link_text(entry, "date");
            link.first_address = link_text(entry, "first_address");
            link.second_address = link_text(entry, "second_address");
            link.transport = link_text(entry, "transport");
            link.cipher = link_text(entry, "cipher");
            if (!(first < second) || !plausible(link.there) || !plausible(link.back)) {
                throw std::runtime_error("no link does that");
            }
            links[{first, second}] = std::move(link);
        }
        return links;
    } catch (const nlohmann::json::exception& error) {
        throw std::runtime_error(error.what());
    }
}

}  // namespace shoal
