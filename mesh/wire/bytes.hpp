// Writing and reading fixed binary formats: little-endian, every length checked.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/wire/codec.hpp"

namespace shoal::mesh::wire {

/// Appends values to a buffer.
class Writer {
  public:
    explicit Writer(std::vector<std::byte>& out) noexcept : out_(out) {}

    template <std::unsigned_integral T>
    void integer(T value) {
        for (std::size_t i = 0; i < sizeof value; ++i) {
            out_.push_back(static_cast<std::byte>(value >> (8 * i) & 0xff));
        }
    }
    void real(double value) { integer(std::bit_cast<std::uint64_t>(value)); }
    template <std::size_t N>
    void bytes(const std::array<std::uint8_t, N>& value) {
        for (const std::uint8_t byte : value) out_.push_back(static_cast<std::byte>(byte));
    }
    void bytes(std::span<const std::byte> value) {
        out_.insert(out_.end(), value.begin(), value.end());
    }
    /// A 16-bit length and the text, cut after `limit` bytes: a name that is too long for the
    /// wire is shown short rather than not at all.
    void text(std::string_view value, std::uint16_t limit) {
        value = value.substr(0, limit);
        integer(static_cast<std::uint16_t>(value.size()));
        for (const char c : value) out_.push_back(static_cast<std::byte>(c));
    }

  private:
    std::vector<std::byte>& out_;
};

/// Takes values from the front of a buffer. After the first failure every value is zero or
/// empty and error() says what was wrong, so a decoder checks once, at its end.
class Reader {
  public:
    explicit Reader(std::span<const std::byte> in) noexcept : in_(in) {}

    template <std::unsigned_integral T>
    T integer(const char* what) {
        const auto raw = take(sizeof(T), what);
        T value = 0;
        for (std::size_t i = raw.size(); i-- > 0;) {
            value = static_cast<T>(static_cast<std::uint64_t>(value) << 8 |
                                   std::to_integer<std::uint64_t>(raw[i]));
        }
        return value;
    }
    double real(const char* what) { return std::bit_cast<double>(integer<std::uint64_t>(what)); }
    template <std::size_t N>
    std::array<std::uint8_t, N> bytes(const char* what) {
        std::array<std::uint8_t, N> value{};
        const auto raw = take(N, what);
        std::transform(raw.begin(), raw.end(), value.begin(),
                       [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
        return value;
    }
    /// The next `length` bytes, a view into the buffer.
    std::span<const std::byte> take(std::size_t length, const char* what) {
        if (!error_ && length > in_.size()) fail(DecodeError::Reason::truncated, what);
        if (error_) return {};
        const auto taken = in_.first(length);
        in_ = in_.subspan(length);
        return taken;
    }
    std::string text(std::uint16_t limit, const char* what) {
        const auto length = integer<std::uint16_t>(what);
        if (length > limit) fail(DecodeError::Reason::too_large, what);
        const auto raw = take(length, what);
        std::string value(raw.size(), '\0');
        std::transform(raw.begin(), raw.end(), value.begin(),
                       [](std::byte b) { return static_cast<char>(b); });
        return value;
    }
    std::span<const std::byte> rest() const noexcept { return in_; }

    void fail(DecodeError::Reason reason, const char* what) {
        if (!error_) error_ = DecodeError{reason, what};
    }
    const std::optional<DecodeError>& error() const noexcept { return error_; }

  private:
    std::span<const std::byte> in_;
    std::optional<DecodeError> error_;
};

}  // namespace shoal::mesh::wire
