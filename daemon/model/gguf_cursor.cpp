#include "daemon/model/gguf_cursor.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/model/gguf_limits.hpp"
#include "daemon/model/gguf_names.hpp"

namespace shoal::model {

std::string Field::describe() const {
    std::string text{part};
    if (item != 0) text += fmt::format(" {}", item);
    if (owner.empty()) return text;
    text += fmt::format(" of {} ", owner);
    text += name.empty() ? fmt::format("{}", number) : quote(name);
    return text;
}

Cursor::Cursor(std::span<const std::byte> bytes, std::uint64_t file_bytes, const std::string& name)
    : bytes_(bytes.first(
          std::min({std::uint64_t{bytes.size()}, file_bytes, limits::kMaxHeaderBytes}))),
      file_bytes_(file_bytes),
      name_(name) {}

std::string_view Cursor::string(std::uint64_t limit, Field field) {
    const std::string_view part = field.part;
    field.part = part == "value" ? "length of the value" : "length";
    const auto length = number_up_to<std::uint64_t>(limit, field);
    field.part = part;
    need(length, field);
    // A char may alias any object, so that text can be viewed where it stands.
    const auto* text = reinterpret_cast<const char*>(bytes_.data() + offset_);
    offset_ += length;
    return {text, static_cast<std::size_t>(length)};
}

void Cursor::fail(const Field& field, std::uint64_t at, std::string_view what) const {
    throw ModelError(fmt::format("{}: {} at byte {}: {}", name_, field.describe(), at, what));
}

void Cursor::fail_short(const Field& field, std::uint64_t count) const {
    if (bytes_.size() == limits::kMaxHeaderBytes) {
        fail(field, offset_,
             fmt::format("needs {} bytes, beyond the limit of {} bytes for a header", count,
                         limits::kMaxHeaderBytes));
    }
    if (bytes_.size() < file_bytes_) {
        throw MoreNeeded(fmt::format(
            "{}: {} at byte {}: needs {} bytes, but only the first {} bytes of the file are here",
            name_, field.describe(), offset_, count, bytes_.size()));
    }
    fail(field, offset_,
         fmt::format("needs {} bytes, but the file ends at byte {}: it is damaged, or its download "
                     "ended early",
                     count, file_bytes_));
}

void Cursor::fail_limit(const Field& field, std::uint64_t at, std::uint64_t value,
                        std::uint64_t limit) const {
    fail(field, at, fmt::format("{} is more than the limit of {}", value, limit));
}

}  // namespace shoal::model
