// Records that travel, and how large their frames may be.
// A record lists its fields once, by a function fields(f, record), for encoder and decoder alike;
// request_fields.hpp shows the form. Private to the .cpp files of messages.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace shoal::mesh::messages {

constexpr std::uint64_t kVersion = 1;
/// A receiver that does not know a key below this refuses the message, because what it would
/// leave out could change the answer. It skips the others.
constexpr std::uint64_t kFirstOptionalKey = 64;
/// No field of this version has this key or a higher one.
constexpr std::uint64_t kKeysEnd = 128;
/// Bytes of the largest message.
constexpr std::size_t kMaxFrameBytes = 16u << 20;
constexpr std::uint32_t kMaxMapEntries = 4096;
constexpr std::uint32_t kMaxArrayEntries = 1u << 20;
/// frame, body, devices, device, q_heads is the deepest.
constexpr std::uint32_t kMaxDepth = 8;
/// What the largest message needs (two lists of ids or of pieces) and room for its fields. The
/// unpacker keeps 24 bytes for each, so this bounds its memory to about 50 MB.
constexpr std::size_t kMaxObjects = 2 * std::size_t{kMaxArrayEntries} + (1u << 16);

template <typename S, typename T>
concept Of = std::same_as<std::remove_const_t<S>, T>;

/// The first and last value of an enumeration that travels; specialised beside its fields.
template <typename T>
struct EnumRange;

/// A frame that says which of several attempts it belongs to.
template <typename T>
concept OfAttempt = requires(T& frame) {
    frame.attempt;
};

/// A type whose members are listed by fields().
template <typename T>
concept Record = requires(T& value) {
    fields([](auto&&...) {}, value);
};

constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();

}  // namespace shoal::mesh::messages
