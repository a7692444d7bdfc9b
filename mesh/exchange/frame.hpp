// The frames of the data plane: a fixed header, little-endian, then the payload as it is.
//
//   offset  bytes  field
//        0      1  version, kFrameVersion
//        1      8  plan: counter of the term
//        9     16  plan: candidate of the term
//       25      4  plan: number
//       29      2  to: 0 for every rank, else the rank plus 1
//       31      2  from: the sender's rank
//       33      1  kind
//       34      1  flags
//       35      1  seal: 0; what seals a frame on its way has its mark here (zmtp/seal.hpp)
//       36      4  length of the payload in bytes
//       40      8  op: the number of a collective
//       48         payload
//
// The first kTopicBytes bytes are the ZeroMQ topic, so a frame is one message and one send, and
// libzmq itself drops frames of plans and ranks that nobody here subscribed to.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "mesh/wire/identity.hpp"

namespace shoal::mesh::exchange {

inline constexpr std::uint8_t kFrameVersion = 1;
inline constexpr std::size_t kTopicBytes = 31;
inline constexpr std::size_t kHeaderBytes = 48;
/// Where a sealed frame names its cipher (zmtp/seal.hpp); 0 in a frame that is not sealed.
inline constexpr std::size_t kSealAt = 35;
/// The longest payload: a prefill chunk of 1024 rows of 16384 floats.
inline constexpr std::size_t kMaxPayloadBytes = 64u << 20;
/// The most devices of a plan.
inline constexpr std::uint32_t kMaxRanks = 1024;

/// Receiver of a frame that is for every rank.
inline constexpr std::uint32_t kEveryone = 0xffffffff;

enum class FrameKind : std::uint8_t {
    data = 1,     ///< op: the collective that the payload belongs to
    nack = 2,     ///< op: the collective whose data the sender still lacks from the receiver
    ack = 3,      ///< op: the sender has everything of the receiver's before this collective
    probe = 4,    ///< op: the collective the sender is in; asks for an ack
    abandon = 5,  ///< op: the first collective that the sender takes no part in
};

/// The sender of a nack has seen later frames, so the one asked for is lost, not late.
inline constexpr std::uint8_t kFlagCertain = 1;

struct FrameHeader {
    PlanId plan;
    std::uint32_t to = kEveryone;  ///< kEveryone or a rank
    std::uint32_t from = 0;
    FrameKind kind = FrameKind::data;
    std::uint8_t flags = 0;
    std::uint32_t length = 0;
    std::uint64_t op = 0;
    bool operator==(const FrameHeader&) const = default;
};

/// Why a frame is dropped.
enum class FrameError : std::uint8_t {
    none,
    truncated,  ///< shorter than a header
    wrong_version,
    unknown_kind,
    bad_length,  ///< disagrees with the frame's size, too long, or a payload where none belongs
    bad_value,   ///< a rank, flag or reserved byte out of range
};

/// Requires: header.length <= kMaxPayloadBytes, ranks < kMaxRanks.
void encode(const FrameHeader& header, std::span<std::byte, kHeaderBytes> out) noexcept;

/// Checks a whole frame (header and payload) and fills `header` when it is valid.
[[nodiscard]] FrameError decode(std::span<const std::byte> frame, FrameHeader& header) noexcept;

/// What to subscribe to for frames of `plan` to `to`.
std::array<std::byte, kTopicBytes> topic(const PlanId& plan, std::uint32_t to) noexcept;

/// The receiver that a topic of `plan` names; false for a topic of anything else.
[[nodiscard]] bool parse_topic(std::span<const std::byte> bytes, const PlanId& plan,
                               std::uint32_t& to) noexcept;

/// For the log.
std::string_view describe(FrameError error) noexcept;

}  // namespace shoal::mesh::exchange
