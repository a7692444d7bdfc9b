// ZMTP 3.1 as bytes (rfc.zeromq.org/spec/37): the greeting, and frames, which are messages or
// commands. Pure; knows no sockets.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::mesh::exchange::zmtp {

inline constexpr std::size_t kGreetingBytes = 64;
/// The longest head of a frame: flags and a length of eight octets.
inline constexpr std::size_t kMaxHeadBytes = 9;

/// What both sides say first.
struct Greeting {
    std::uint8_t minor = 1;  ///< of version 3
    std::string mechanism;   ///< of security, at most 20 characters
    bool as_server = false;
};

std::array<std::byte, kGreetingBytes> encode(const Greeting& greeting) noexcept;
/// Nothing, with the reason in `why`, when these bytes are none that we can answer. `bytes` may be
/// fewer than a greeting has: then what is there of it is looked at.
std::optional<Greeting> decode_greeting(std::span<const std::byte> bytes, std::string& why);

/// What comes before the body of a frame.
struct Head {
    bool command = false;
    std::uint64_t length = 0;  ///< of the body
    std::size_t size = 0;      ///< of the head itself
};

enum class HeadState : std::uint8_t {
    incomplete,
    valid,
    malformed,  ///< reserved flags, or a part of several: nothing here is sent in parts
};
HeadState decode_head(std::span<const std::byte> bytes, Head& head) noexcept;

/// Writes the head of a message to the last of `room`'s bytes, right before where its body is;
/// returns how many those are.
std::size_t put_message_head(std::span<std::byte, kMaxHeadBytes> room,
                             std::uint64_t length) noexcept;

/// The body of a command: its name, and what belongs to it.
struct Command {
    std::string_view name;
    std::span<const std::byte> data;
};
/// Nothing when the body is no command. The views are of `body`.
std::optional<Command> decode_command(std::span<const std::byte> body) noexcept;
/// Appends a whole frame.
void append_command(std::vector<std::byte>& out, std::string_view name,
                    std::span<const std::byte> data);
void append_message(std::vector<std::byte>& out, std::span<const std::byte> body);

/// The metadata of a READY: name and value. Nothing when it is malformed.
struct Property {
    std::string_view name;
    std::span<const std::byte> value;
};
std::optional<std::vector<Property>> decode_properties(std::span<const std::byte> data);
void append_property(std::vector<std::byte>& out, std::string_view name, std::string_view value);

inline std::span<const std::byte> bytes_of(std::string_view text) noexcept {
    return std::as_bytes(std::span(text));
}
inline std::string_view text_of(std::span<const std::byte> bytes) noexcept {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace shoal::mesh::exchange::zmtp
