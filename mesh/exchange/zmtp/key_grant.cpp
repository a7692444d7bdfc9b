#include "mesh/exchange/zmtp/key_grant.hpp"

#include <algorithm>

#include "mesh/exchange/frame.hpp"
#include "mesh/wire/bytes.hpp"

namespace shoal::mesh::exchange::zmtp {

Bytes encode(const KeyGrant& grant, const PlanId& plan) {
    Bytes bytes;
    bytes.reserve(kTopicBytes + grant.key.size() + kCounterBytes);
    wire::Writer out(bytes);
    out.bytes(topic(plan, kEveryone));
    out.bytes(grant.key);
    out.integer(grant.counter);
    return bytes;
}

std::optional<KeyGrant> decode_key_grant(std::span<const std::byte> bytes, const PlanId& plan) {
    wire::Reader in(bytes);
    const bool of_plan = std::ranges::equal(in.take(kTopicBytes, "topic"), topic(plan, kEveryone));
    KeyGrant grant;
    grant.key = in.bytes<std::tuple_size_v<SealKey>>("key");
    grant.counter = in.integer<std::uint64_t>("counter");
    if (!of_plan || in.error() || !in.rest().empty()) return std::nullopt;
    return grant;
}

}  // namespace shoal::mesh::exchange::zmtp
