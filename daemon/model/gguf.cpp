#include "daemon/model/gguf.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <limits>
#include <utility>

#include "daemon/model/gguf_names.hpp"
#include "daemon/model/gguf_parser.hpp"

namespace shoal::model {
namespace {

const char* kind(const MetaValue& value) noexcept {
    switch (value.index()) {
        case 0:
            return "a boolean";
        case 1:
            return "a signed integer";
        case 2:
            return "an unsigned integer";
        case 3:
            return "a float";
        case 4:
            return "a string";
        default:
            return "an array";
    }
}

[[noreturn]] void fail_kind(const std::string& name, std::string_view key, const MetaValue& value,
                            const char* wanted) {
    throw ModelError(
        fmt::format("{}: key {} is {}, expected {}", name, quote(key), kind(value), wanted));
}

[[noreturn]] void fail_missing(const std::string& name, std::string_view what,
                               std::string_view which) {
    throw ModelError(fmt::format("{}: {} {} is missing", name, what, quote(which)));
}

}  // namespace

GgufHeader GgufHeader::parse(std::span<const std::byte> bytes, std::uint64_t file_bytes,
                             const std::string& name) {
    ParsedGguf parsed = parse_gguf(bytes, file_bytes, name);
    GgufHeader header;
    header.name_ = name;
    header.metadata_ = std::move(parsed.metadata);
    header.tensors_ = std::move(parsed.tensors);
    header.tensor_index_ = std::move(parsed.tensor_index);
    header.header_bytes_ = parsed.header_bytes;
    return header;
}

GgufHeader GgufHeader::of(std::vector<TensorInfo> tensors, std::string name) {
    GgufHeader header;
    header.name_ = std::move(name);
    header.tensors_ = std::move(tensors);
    for (std::size_t i = 0; i < header.tensors_.size(); ++i) {
        header.tensor_index_.emplace(header.tensors_[i].name, i);
    }
    return header;
}

const MetaValue* GgufHeader::find(std::string_view key) const noexcept {
    const auto found = metadata_.find(key);
    return found == metadata_.end() ? nullptr : &found->second;
}

const std::map<std::string, MetaValue, std::less<>>& GgufHeader::metadata() const noexcept {
    return metadata_;
}

std::uint64_t GgufHeader::get_uint(std::string_view key) const {
    const MetaValue* value = find(key);
    if (value == nullptr) fail_missing(name_, "key", key);
    if (const auto* number = std::get_if<std::uint64_t>(value)) return *number;
    // Some converters write counts and ids as signed numbers.
    if (const auto* number = std::get_if<std::int64_t>(value)) {
        if (*number >= 0) return static_cast<std::uint64_t>(*number);
        throw ModelError(fmt::format("{}: key {} is {}, expected an unsigned integer", name_,
                                     quote(key), *number));
    }
    fail_kind(name_, key, *value, "an unsigned integer");
}

std::uint64_t GgufHeader::get_uint_or(std::string_view key, std::uint64_t fallback) const {
    return find(key) == nullptr ? fallback : get_uint(key);
}

double GgufHeader::get_float(std::string_view key) const {
    const MetaValue* value = find(key);
    if (value == nullptr) fail_missing(name_, "key", key);
    if (const auto* number = std::get_if<double>(value)) return *number;
    if (const auto* number = std::get_if<std::uint64_t>(value)) {
        return static_cast<double>(*number);
    }
    if (const auto* number = std::get_if<std::int64_t>(value)) return static_cast<double>(*number);
    fail_kind(name_, key, *value, "a float");
}

double GgufHeader::get_float_or(std::string_view key, double fallback) const {
    return find(key) == nullptr ? fallback : get_float(key);
}

bool GgufHeader::get_bool_or(std::string_view key, bool fallback) const {
    const MetaValue* value = find(key);
    if (value == nullptr) return fallback;
    if (const auto* flag = std::get_if<bool>(value)) return *flag;
    fail_kind(name_, key, *value, "a boolean");
}

std::string_view GgufHeader::get_string(std::string_view key) const {
    const MetaValue* value = find(key);
    if (value == nullptr) fail_missing(name_, "key", key);
    if (const auto* text = std::get_if<std::string_view>(value)) return *text;
    fail_kind(name_, key, *value, "a string");
}

std::string_view GgufHeader::get_string_or(std::string_view key, std::string_view fallback) const {
    return find(key) == nullptr ? fallback : get_string(key);
}

const MetaArray* GgufHeader::find_array(std::string_view key) const {
    const MetaValue* value = find(key);
    if (value == nullptr) return nullptr;
    if (const auto* array = std::get_if<MetaArray>(value)) return array;
    fail_kind(name_, key, *value, "an array");
}

const std::vector<TensorInfo>& GgufHeader::tensors() const noexcept {
    return tensors_;
}

const TensorInfo* GgufHeader::find_tensor(std::string_view name) const noexcept {
    const auto found = tensor_index_.find(name);
    return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

const TensorInfo& GgufHeader::tensor(std::string_view name) const {
    const TensorInfo* info = find_tensor(name);
    if (info == nullptr) fail_missing(name_, "tensor", name);
    return *info;
}

const std::string& GgufHeader::name() const noexcept {
    return name_;
}

std::uint64_t GgufHeader::header_bytes() const noexcept {
    return header_bytes_;
}

std::uint64_t parameter_count(const GgufHeader& header) noexcept {
    // Tensors do not overlap and take at least 4 bits an element: the sum cannot overflow.
    std::uint64_t count = 0;
    for (const TensorInfo& info : header.tensors()) count += info.cols * info.rows;
    return count;
}

std::string quantisation_name(const GgufHeader& header) {
    const MetaValue* value = header.find("general.file_type");
    if (const auto* number = value == nullptr ? nullptr : std::get_if<std::uint64_t>(value)) {
        if (const std::string_view name = file_type_name(*number); !name.empty()) {
            return std::string{name};
        }
    }
    std::map<kernels::DType, std::uint64_t> weights;
    for (const TensorInfo& info : header.tensors()) weights[info.type] += info.cols * info.rows;
    if (weights.empty()) return "none";
    const auto most = std::max_element(weights.begin(), weights.end(),
                                       [](auto& a, auto& b) { return a.second < b.second; });
    return std::string{tensor_type_name(static_cast<std::uint32_t>(most->first))};
}

}  // namespace shoal::model
