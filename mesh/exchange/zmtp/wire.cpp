#include "mesh/exchange/zmtp/wire.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace shoal::mesh::exchange::zmtp {

namespace {

constexpr std::uint8_t kLong = 2, kCommand = 4;
constexpr std::size_t kVersionAt = 10, kMechanismAt = 12, kMechanismBytes = 20, kServerAt = 32;

std::uint8_t octet(std::byte b) noexcept {
    return std::to_integer<std::uint8_t>(b);
}

std::uint64_t big_endian(std::span<const std::byte> bytes) noexcept {
    std::uint64_t value = 0;
    for (const std::byte b : bytes) value = value << 8 | octet(b);
    return value;
}

void append(std::vector<std::byte>& out, std::span<const std::byte> bytes) {
    out.insert(out.end(), bytes.begin(), bytes.end());
}

// The length of a frame in one octet, or in eight.
void append_head(std::vector<std::byte>& out, std::uint8_t flags, std::uint64_t length) {
    const bool is_long = length > 255;
    out.push_back(static_cast<std::byte>(flags | (is_long ? kLong : 0)));
    for (int shift = is_long ? 56 : 0; shift >= 0; shift -= 8) {
        out.push_back(static_cast<std::byte>(length >> shift & 0xff));
    }
}

}  // namespace

std::array<std::byte, kGreetingBytes> encode(const Greeting& greeting) noexcept {
    assert(greeting.mechanism.size() <= kMechanismBytes);
    std::array<std::byte, kGreetingBytes> bytes{};
    bytes[0] = std::byte{0xff};
    bytes[8] = std::byte{1};  // what versions before 3 take for a frame of one byte
    bytes[9] = std::byte{0x7f};
    bytes[kVersionAt] = std::byte{3};
    bytes[kVersionAt + 1] = static_cast<std::byte>(greeting.minor);
    std::memcpy(&bytes[kMechanismAt], greeting.mechanism.data(), greeting.mechanism.size());
    bytes[kServerAt] = static_cast<std::byte>(greeting.as_server ? 1 : 0);
    return bytes;
}

std::optional<Greeting> decode_greeting(std::span<const std::byte> bytes, std::string& why) {
    const auto refuse = [&](const char* reason) {
        why = reason;
        return std::nullopt;
    };
    const auto at = [&](std::size_t i) { return octet(bytes[i]); };
    if (!bytes.empty() && at(0) != 0xff) return refuse("it does not speak ZeroMQ");
    if (bytes.size() > 9 && (at(9) & 1) == 0) return refuse("it does not speak ZeroMQ");
    if (bytes.size() > kVersionAt && at(kVersionAt) < 3) {
        return refuse("it speaks a version of ZeroMQ's protocol before 3");
    }
    if (bytes.size() < kGreetingBytes) return Greeting{};
    Greeting greeting;
    // Later ones answer as the earlier of both.
    greeting.minor = at(kVersionAt) > 3 ? 1 : std::min<std::uint8_t>(at(kVersionAt + 1), 1);
    const auto name = text_of(bytes.subspan(kMechanismAt, kMechanismBytes));
    greeting.mechanism = name.substr(0, name.find('\0'));
    greeting.as_server = at(kServerAt) == 1;
    return greeting;
}

HeadState decode_head(std::span<const std::byte> bytes, Head& head) noexcept {
    if (bytes.empty()) return HeadState::incomplete;
    const std::uint8_t flags = octet(bytes[0]);
    if ((flags & ~(kLong | kCommand)) != 0) return HeadState::malformed;
    head.command = (flags & kCommand) != 0;
    head.size = (flags & kLong) != 0 ? kMaxHeadBytes : 2;
    if (bytes.size() < head.size) return HeadState::incomplete;
    head.length = big_endian(bytes.subspan(1, head.size - 1));
    return HeadState::valid;
}

std::size_t put_message_head(std::span<std::byte, kMaxHeadBytes> room,
                             std::uint64_t length) noexcept {
    const bool is_long = length > 255;
    for (std::size_t i = 0; i < 8; ++i) {
        room[kMaxHeadBytes - 1 - i] = static_cast<std::byte>(length >> (8 * i) & 0xff);
    }
    room[is_long ? 0 : kMaxHeadBytes - 2] = std::byte{is_long ? kLong : std::uint8_t{0}};
    return is_long ? kMaxHeadBytes : 2;
}

std::optional<Command> decode_command(std::span<const std::byte> body) noexcept {
    if (body.empty()) return std::nullopt;
    const std::size_t length = octet(body[0]);
    if (length == 0 || body.size() < 1 + length) return std::nullopt;
    return Command{text_of(body.subspan(1, length)), body.subspan(1 + length)};
}

void append_command(std::vector<std::byte>& out, std::string_view name,
                    std::span<const std::byte> data) {
    assert(!name.empty() && name.size() <= 255);
    append_head(out, kCommand, 1 + name.size() + data.size());
    out.push_back(static_cast<std::byte>(name.size()));
    append(out, bytes_of(name));
    append(out, data);
}

void append_message(std::vector<std::byte>& out, std::span<const std::byte> body) {
    append_head(out, 0, body.size());
    append(out, body);
}

std::optional<std::vector<Property>> decode_properties(std::span<const std::byte> data) {
    std::vector<Property> all;
    while (!data.empty()) {
        const std::size_t name = octet(data[0]);
        if (name == 0 || data.size() < 1 + name + 4) return std::nullopt;
        const std::uint64_t value = big_endian(data.subspan(1 + name, 4));
        if (data.size() - (1 + name + 4) < value) return std::nullopt;
        all.push_back({text_of(data.subspan(1, name)), data.subspan(1 + name + 4, value)});
        data = data.subspan(1 + name + 4 + value);
    }
    return all;
}

void append_property(std::vector<std::byte>& out, std::string_view name, std::string_view value) {
    assert(!name.empty() && name.size() <= 255);
    out.push_back(static_cast<std::byte>(name.size()));
    append(out, bytes_of(name));
    for (int shift = 24; shift >= 0; shift -= 8) {
        out.push_back(static_cast<std::byte>(value.size() >> shift & 0xff));
    }
    append(out, bytes_of(value));
}

}  // namespace shoal::mesh::exchange::zmtp
