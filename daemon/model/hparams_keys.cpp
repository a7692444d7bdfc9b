#include "daemon/model/hparams_keys.hpp"

#include <fmt/format.h>

#include <optional>
#include <type_traits>
#include <variant>

#include "daemon/model/gguf_names.hpp"

namespace shoal::model {
namespace {

std::size_t size_of(const MetaArray& array) {
    return std::visit([](const auto& items) { return items.size(); }, array.items);
}

// A natural number of an array.
std::optional<std::uint64_t> item(const MetaArray& array, std::size_t index) {
    if (const auto* items = std::get_if<std::vector<std::uint64_t>>(&array.items)) {
        return (*items)[index];
    }
    const auto* items = std::get_if<std::vector<std::int64_t>>(&array.items);
    if (items == nullptr || (*items)[index] < 0) return std::nullopt;
    return static_cast<std::uint64_t>((*items)[index]);
}

}  // namespace

Keys::Keys(const GgufHeader& header, std::string_view architecture)
    : header_(header), prefix_(fmt::format("{}.", architecture)) {}

void Keys::fail(std::string_view key, std::string_view what) const {
    throw ModelError(fmt::format("{}: key {} {}", header_.name(), quote(full(key)), what));
}

const MetaArray* Keys::array(std::string_view key) const {
    const MetaValue* value = header_.find(full(key));
    return value == nullptr ? nullptr : std::get_if<MetaArray>(value);
}

// The value that an array has for every layer.
std::uint64_t Keys::same(std::string_view key, const MetaArray& each) const {
    std::size_t alike = 0;
    while (alike < size_of(each) && item(each, alike) == item(each, 0)) ++alike;
    const auto value = alike != 0 && alike == size_of(each) ? item(each, 0) : std::nullopt;
    if (value) return *value;
    fail(key, "is an array: values that differ from layer to layer are not supported");
}

std::uint32_t Keys::count(std::string_view key, std::uint32_t limit) const {
    const MetaArray* each = array(key);
    const std::uint64_t value = each == nullptr ? number(key) : same(key, *each);
    if (value == 0 || value > limit) {
        fail(key, fmt::format("is {}, expected 1 to {}", value, limit));
    }
    return static_cast<std::uint32_t>(value);
}

std::uint32_t Keys::count_or(std::string_view key, std::uint32_t limit,
                             std::uint32_t fallback) const {
    return has(key) ? count(key, limit) : fallback;
}

std::vector<std::uint32_t> Keys::counts(std::string_view key, std::uint32_t limit,
                                        std::uint32_t layers) const {
    const MetaArray* each = array(key);
    if (each == nullptr) return std::vector(layers, count(key, limit));
    if (size_of(*each) != layers) {
        fail(key, fmt::format("has {} items, expected one for each of {} layers", size_of(*each),
                              layers));
    }
    std::vector<std::uint32_t> out;
    for (std::uint32_t l = 0; l < layers; ++l) {
        const std::optional<std::uint64_t> value = item(*each, l);
        if (!value) fail(key, "is not an array of counts");
        if (*value == 0 || *value > limit) {
            fail(key, fmt::format("is {} for layer {}, expected 1 to {}", *value, l, limit));
        }
        out.push_back(static_cast<std::uint32_t>(*value));
    }
    return out;
}

double Keys::positive(std::string_view key, double limit) const {
    const double value = header_.get_float(full(key));
    // Compared as a float, because it is used as one; written so that NaN fails.
    if (!(static_cast<float>(value) > 0 && value <= limit)) {
        fail(key, fmt::format("is {}, expected more than 0 and at most {}", value, limit));
    }
    return value;
}

double Keys::positive_or(std::string_view key, double limit, double fallback) const {
    return has(key) ? positive(key, limit) : fallback;
}

std::string_view Keys::text_or(std::string_view key, std::string_view fallback) const {
    return header_.get_string_or(full(key), fallback);
}

bool Keys::differs_from(std::string_view key, double neutral) const {
    const MetaValue* value = header_.find(full(key));
    if (value == nullptr) return false;
    return std::visit(
        [neutral](const auto& v) {
            if constexpr (std::is_arithmetic_v<std::decay_t<decltype(v)>>) {
                return static_cast<double>(v) != neutral;
            } else {
                return true;
            }
        },
        *value);
}

}  // namespace shoal::model
