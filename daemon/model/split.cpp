#include "daemon/model/split.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace shoal::model {
namespace {

constexpr std::size_t kDigits = 5;
constexpr std::string_view kOf = "-of-";
constexpr std::string_view kEnd = ".gguf";

// Five digits and nothing else.
std::optional<std::uint32_t> number_in(std::string_view text) noexcept {
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

}  // namespace

std::string SplitName::file(std::uint32_t which) const {
    return fmt::format("{}-{:05}{}{:05}{}", model, which, kOf, parts, kEnd);
}

std::optional<SplitName> split_name(const std::filesystem::path& file) {
    // From its end: "-00001", "-of-", "00003", ".gguf".
    constexpr std::size_t kTail = 1 + kDigits + kOf.size() + kDigits + kEnd.size();
    const std::string name = file.filename();
    if (name.size() <= kTail || !name.ends_with(kEnd)) return std::nullopt;
    const std::string_view tail = std::string_view(name).substr(name.size() - kTail);
    const auto part = number_in(tail.substr(1, kDigits));
    const auto parts = number_in(tail.substr(1 + kDigits + kOf.size(), kDigits));
    if (tail[0] != '-' || tail.substr(1 + kDigits, kOf.size()) != kOf || !part || !parts ||
        *part < 1 || *part > *parts || *parts < 2) {
        return std::nullopt;
    }
    return SplitName{name.substr(0, name.size() - kTail), *part, *parts};
}

std::string model_name(const std::filesystem::path& file) {
    const auto split = split_name(file);
    return split ? split->model : file.stem().string();
}

std::vector<std::filesystem::path> model_files(const std::filesystem::path& file) {
    const auto split = split_name(file);
    if (!split) return {file};
    std::vector<std::filesystem::path> files;
    // One more than can be read, for which it is refused.
    const std::uint32_t parts = std::min(split->parts, kMaxParts + 1);
    for (std::uint32_t part = 1; part <= parts; ++part) {
        files.push_back(std::filesystem::path(file).replace_filename(split->file(part)));
    }
    return files;
}

std::string arriving_name(std::string_view hash, std::uint32_t part) {
    return fmt::format("{}{}-{:05}", kArriving, hash, part);
}

FileStamp combined(const std::vector<FileStamp>& stamps) noexcept {
    if (stamps.size() == 1) return stamps[0];
    // FNV-1a over the words of all; the time of such a stamp is a number, no more.
    constexpr std::uint64_t kBasis = 14695981039346656037U;
    constexpr std::uint64_t kPrime = 1099511628211U;
    FileStamp all;
    std::uint64_t mixed = kBasis;
    for (const FileStamp& stamp : stamps) {
        all.bytes += stamp.bytes;
        mixed = (mixed ^ stamp.bytes) * kPrime;
        mixed = (mixed ^ static_cast<std::uint64_t>(stamp.changed)) * kPrime;
    }
    all.changed = static_cast<std::int64_t>(mixed);
    return all;
}

void check_part(const GgufHeader& header, std::uint32_t part, std::uint32_t parts) {
    const std::uint64_t count = header.get_uint_or(split_keys::kCount, 0);
    // A model that was put together again says that it has none.
    const bool is_part = count > 1;
    if (!is_part && parts == 1) return;
    if (!is_part) {
        throw ModelError(fmt::format(
            "{}: called part {} of {}, but it is a model's only file: give it another name",
            header.name(), part, parts));
    }
    const std::uint64_t number = header.get_uint(split_keys::kNumber);
    if (parts == 1) {
        throw ModelError(fmt::format(
            "{}: this is one of {} parts of a model; call them NAME-{:05}-of-{:05}.gguf, which "
            "would be this one, and so on, all in one folder",
            header.name(), count, number + 1, count));
    }
    if (count != parts || number != part - 1) {
        throw ModelError(fmt::format(
            "{}: called part {} of {}, but says that it is part {} of {}: give it its own name",
            header.name(), part, parts, number + 1, count));
    }
}

}  // namespace shoal::model
