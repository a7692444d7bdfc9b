// What a device that wants in and the one that invited it say to each other (mesh/PROTOCOL.md,
// First contact).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "mesh/joining/invitation.hpp"
#include "mesh/wire/codec.hpp"

namespace shoal::mesh::joining {

inline constexpr std::uint8_t kJoinVersion = 1;
inline constexpr std::size_t kMaxFrameBytes = 512;
inline constexpr std::uint16_t kMaxNameBytes = 255;

using Proof = std::array<std::uint8_t, 32>;

/// That whoever holds `joiner` knows the secret, for the eyes of `inviter`.
Proof prove(const Secret& secret, const PublicKey& inviter, const PublicKey& joiner) noexcept;

struct Knock {
    Proof proof{};
    std::string name;  ///< the joiner's, for people
    bool operator==(const Knock&) const = default;
};
struct Welcome {
    std::array<std::uint8_t, 32> cluster_key{};
    std::string name;  ///< the inviter's, for people
    bool operator==(const Welcome&) const = default;
};
struct Refusal {
    enum class Reason : std::uint8_t { wrong = 1, used = 2, expired = 3, busy = 4, version = 5 };
    Reason reason = Reason::wrong;
    bool operator==(const Refusal&) const = default;
};
using JoinFrame = std::variant<Knock, Welcome, Refusal>;

std::vector<std::byte> encode(const JoinFrame& frame);
/// Bytes behind the last field are ignored, so that a later version may append some.
wire::DecodeResult<JoinFrame> decode_join_frame(std::span<const std::byte> bytes) noexcept;

}  // namespace shoal::mesh::joining
