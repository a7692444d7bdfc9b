// Results of decoding what came from outside.
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace shoal::mesh::wire {

/// What is wrong with a frame, for the log.
struct DecodeError {
    enum class Reason {
        too_large,
        truncated,
        wrong_version,
        unknown_type,
        bad_value,
        no_memory,  ///< on this side; the message may be fine
    } reason;
    std::string what;
};

/// A decoded value or the reason why there is none.
template <typename T>
class [[nodiscard]] DecodeResult {
  public:
    DecodeResult(T value) : value_(std::move(value)) {}
    DecodeResult(DecodeError error) : value_(std::move(error)) {}
    explicit operator bool() const noexcept { return value_.index() == 0; }
    T& operator*() noexcept { return *std::get_if<0>(&value_); }
    const T& operator*() const noexcept { return *std::get_if<0>(&value_); }
    T* operator->() noexcept { return std::get_if<0>(&value_); }
    const T* operator->() const noexcept { return std::get_if<0>(&value_); }
    const DecodeError& error() const noexcept { return *std::get_if<1>(&value_); }

  private:
    std::variant<T, DecodeError> value_;
};

}  // namespace shoal::mesh::wire
