#include "mesh/exchange/frame.hpp"

#include <algorithm>
#include <cassert>

#include "mesh/exchange/little_endian.hpp"

namespace shoal::mesh::exchange {

namespace {

constexpr std::size_t kPlanAt = 1, kToAt = 29, kFromAt = 31, kKindAt = 33, kFlagsAt = 34,
                      kLengthAt = 36, kOpAt = 40;
constexpr std::size_t kPlanBytes = kToAt - kPlanAt;

void put_topic(const PlanId& plan, std::uint32_t to, std::byte* out) noexcept {
    out[0] = static_cast<std::byte>(kFrameVersion);
    put<std::uint64_t>(out + kPlanAt, plan.term.counter);
    std::transform(plan.term.candidate.bytes.begin(), plan.term.candidate.bytes.end(),
                   out + kPlanAt + 8, [](std::uint8_t b) { return static_cast<std::byte>(b); });
    put<std::uint32_t>(out + kPlanAt + 24, plan.number);
    // libzmq repeats subscriptions to a new connection in the order of their bytes. Everyone's
    // topic sorts first, so who sees a rank's own topic knows that the other is in place too.
    put<std::uint16_t>(out + kToAt, static_cast<std::uint16_t>(to == kEveryone ? 0 : to + 1));
}

/// False when the number on the wire is no rank.
bool get_to(const std::byte* in, std::uint32_t& to) noexcept {
    const auto value = get<std::uint16_t>(in);
    to = value == 0 ? kEveryone : value - 1u;
    return value <= kMaxRanks;
}

}  // namespace

void encode(const FrameHeader& header, std::span<std::byte, kHeaderBytes> out) noexcept {
    assert(header.length <= kMaxPayloadBytes && header.from < kMaxRanks);
    assert(header.to == kEveryone || header.to < kMaxRanks);
    put_topic(header.plan, header.to, out.data());
    put<std::uint16_t>(out.data() + kFromAt, static_cast<std::uint16_t>(header.from));
    out[kKindAt] = static_cast<std::byte>(header.kind);
    out[kFlagsAt] = static_cast<std::byte>(header.flags);
    out[kSealAt] = std::byte{0};
    put<std::uint32_t>(out.data() + kLengthAt, header.length);
    put<std::uint64_t>(out.data() + kOpAt, header.op);
}

FrameError decode(std::span<const std::byte> frame, FrameHeader& header) noexcept {
    if (frame.size() < kHeaderBytes) return FrameError::truncated;
    const std::byte* in = frame.data();
    if (std::to_integer<std::uint8_t>(in[0]) != kFrameVersion) return FrameError::wrong_version;
    FrameHeader h;
    const auto kind = std::to_integer<std::uint8_t>(in[kKindAt]);
    if (kind < static_cast<std::uint8_t>(FrameKind::data) ||
        kind > static_cast<std::uint8_t>(FrameKind::abandon)) {
        return FrameError::unknown_kind;
    }
    h.kind = static_cast<FrameKind>(kind);
    h.length = get<std::uint32_t>(in + kLengthAt);
    if (h.length > kMaxPayloadBytes || h.length != frame.size() - kHeaderBytes ||
        (h.kind != FrameKind::data && h.length != 0)) {
        return FrameError::bad_length;
    }
    h.from = get<std::uint16_t>(in + kFromAt);
    h.flags = std::to_integer<std::uint8_t>(in[kFlagsAt]);
    if (!get_to(in + kToAt, h.to) || h.from >= kMaxRanks || in[kSealAt] != std::byte{0} ||
        (h.flags & ~kFlagCertain) != 0) {
        return FrameError::bad_value;
    }
    h.plan.term.counter = get<std::uint64_t>(in + kPlanAt);
    std::transform(in + kPlanAt + 8, in + kPlanAt + 24, h.plan.term.candidate.bytes.begin(),
                   [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
    h.plan.number = get<std::uint32_t>(in + kPlanAt + 24);
    h.op = get<std::uint64_t>(in + kOpAt);
    header = h;
    return FrameError::none;
}

std::array<std::byte, kTopicBytes> topic(const PlanId& plan, std::uint32_t to) noexcept {
    std::array<std::byte, kTopicBytes> bytes{};
    put_topic(plan, to, bytes.data());
    return bytes;
}

bool parse_topic(std::span<const std::byte> bytes, const PlanId& plan, std::uint32_t& to) noexcept {
    if (bytes.size() != kTopicBytes) return false;
    const auto own = topic(plan, kEveryone);
    return std::equal(own.begin(), own.begin() + kPlanAt + kPlanBytes, bytes.begin()) &&
           get_to(bytes.data() + kToAt, to);
}

std::string_view describe(FrameError error) noexcept {
    switch (error) {
        case FrameError::none:
            return "valid";
        case FrameError::truncated:
            return "shorter than its header";
        case FrameError::wrong_version:
            return "of an unknown version";
        case FrameError::unknown_kind:
            return "of an unknown kind";
        case FrameError::bad_length:
            return "of a wrong length";
        case FrameError::bad_value:
            return "with a value out of range";
    }
    return "invalid";
}

}  // namespace shoal::mesh::exchange
