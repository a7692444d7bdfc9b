// A bounds-checked reader of a GGUF header's little-endian fields. Internal to this folder.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "daemon/model/gguf.hpp"

namespace shoal::model {

/// The header goes on behind the bytes that are here: there may be more in the file.
class MoreNeeded : public ModelError {
  public:
    using ModelError::ModelError;
};

/// What is being read, put into words only when it turns out to be wrong.
struct Field {
    std::string_view part;        ///< "version", "length", "type", "value", ...
    std::string_view owner = {};  ///< "key" or "tensor"; empty for a field of the file itself
    std::uint64_t number = 0;     ///< the owner's number in the file, from 1
    std::string_view name = {};   ///< the owner's name, once it is known
    std::uint64_t item = 0;       ///< the array item or dimension, from 1; 0 for none

    std::string describe() const;
};

/// Walks the bytes of a header from front to back. Owned by one parse.
class Cursor {
  public:
    /// `bytes` is the beginning of a file of `file_bytes` bytes. All must outlive the cursor.
    /// Sees at most the first kMaxHeaderBytes of them.
    Cursor(std::span<const std::byte> bytes, std::uint64_t file_bytes, const std::string& name);

    std::uint64_t offset() const noexcept { return offset_; }
    std::uint64_t remaining() const noexcept { return bytes_.size() - offset_; }
    std::uint64_t file_bytes() const noexcept { return file_bytes_; }
    /// The first bytes, up to `count` of them, as text.
    std::string_view beginning(std::size_t count) const noexcept {
        return {reinterpret_cast<const char*>(bytes_.data()), std::min(count, bytes_.size())};
    }
    std::span<const std::byte> since(std::uint64_t begin) const noexcept {
        return bytes_.subspan(begin, offset_ - begin);
    }

    /// The next unsigned number. Throws ModelError when the bytes end before.
    template <class T>
    T number(const Field& field) {
        static_assert(std::is_unsigned_v<T>);
        need(sizeof(T), field);
        T value = 0;
        for (std::size_t i = 0; i < sizeof(T); ++i) {
            value = static_cast<T>(
                value | static_cast<T>(std::to_integer<T>(bytes_[offset_ + i]) << (8 * i)));
        }
        offset_ += sizeof(T);
        return value;
    }

    /// A number that may be at most `limit`.
    template <class T>
    T number_up_to(T limit, const Field& field) {
        const std::uint64_t at = offset_;
        const T value = number<T>(field);
        if (value > limit) fail_limit(field, at, value, limit);
        return value;
    }

    /// A length and that many bytes; a view into the parsed bytes.
    std::string_view string(std::uint64_t limit, Field field);

    /// Throws unless `count` bytes follow.
    void need(std::uint64_t count, const Field& field) const {
        if (count > remaining()) fail_short(field, count);
    }

    [[noreturn]] void fail(const Field& field, std::uint64_t at, std::string_view what) const;

  private:
    [[noreturn]] void fail_short(const Field& field, std::uint64_t count) const;
    [[noreturn]] void fail_limit(const Field& field, std::uint64_t at, std::uint64_t value,
                                 std::uint64_t limit) const;

    std::span<const std::byte> bytes_;
    std::uint64_t file_bytes_;
    const std::string& name_;
    std::uint64_t offset_ = 0;
};

}  // namespace shoal::model
