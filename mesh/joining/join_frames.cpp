#include "mesh/joining/join_frames.hpp"

#include <sodium.h>

#include <string_view>

#include "mesh/wire/bytes.hpp"

namespace shoal::mesh::joining {

namespace {

enum Type : std::uint8_t { kKnock = 1, kWelcome = 2, kRefusal = 3 };
constexpr std::string_view kContext = "shoal join 1";

using Reason = wire::DecodeError::Reason;

JoinFrame read_body(std::uint8_t type, wire::Reader& in) {
    switch (type) {
        case kKnock: {
            Knock knock;
            knock.proof = in.bytes<sizeof(Proof)>("proof");
            knock.name = in.text(kMaxNameBytes, "name");
            return knock;
        }
        case kWelcome: {
            Welcome welcome;
            welcome.cluster_key = in.bytes<sizeof welcome.cluster_key>("cluster key");
            welcome.name = in.text(kMaxNameBytes, "name");
            return welcome;
        }
        case kRefusal: {
            const auto reason = in.integer<std::uint8_t>("reason");
            if (reason < 1 || reason > 5) in.fail(Reason::bad_value, "reason");
            return Refusal{static_cast<Refusal::Reason>(reason)};
        }
        default:
            in.fail(Reason::unknown_type, "type");
            return Refusal{};
    }
}

}  // namespace

Proof prove(const Secret& secret, const PublicKey& inviter, const PublicKey& joiner) noexcept {
    Proof proof{};
    crypto_generichash_state state;
    crypto_generichash_init(&state, secret.data(), secret.size(), proof.size());
    crypto_generichash_update(&state, reinterpret_cast<const std::uint8_t*>(kContext.data()),
                              kContext.size());
    crypto_generichash_update(&state, inviter.data(), inviter.size());
    crypto_generichash_update(&state, joiner.data(), joiner.size());
    crypto_generichash_final(&state, proof.data(), proof.size());
    sodium_memzero(&state, sizeof state);
    return proof;
}

std::vector<std::byte> encode(const JoinFrame& frame) {
    std::vector<std::byte> bytes;
    wire::Writer out(bytes);
    out.integer(kJoinVersion);
    if (const auto* knock = std::get_if<Knock>(&frame)) {
        out.integer(std::uint8_t{kKnock});
        out.bytes(knock->proof);
        out.text(knock->name, kMaxNameBytes);
    } else if (const auto* welcome = std::get_if<Welcome>(&frame)) {
        out.integer(std::uint8_t{kWelcome});
        out.bytes(welcome->cluster_key);
        out.text(welcome->name, kMaxNameBytes);
    } else {
        out.integer(std::uint8_t{kRefusal});
        out.integer(static_cast<std::uint8_t>(std::get<Refusal>(frame).reason));
    }
    return bytes;
}

wire::DecodeResult<JoinFrame> decode_join_frame(std::span<const std::byte> bytes) noexcept {
    if (bytes.size() > kMaxFrameBytes) return wire::DecodeError{Reason::too_large, "frame"};
    wire::Reader in(bytes);
    const auto version = in.integer<std::uint8_t>("version");
    if (!in.error() && version != kJoinVersion) in.fail(Reason::wrong_version, "version");
    const auto type = in.integer<std::uint8_t>("type");
    JoinFrame frame = in.error() ? JoinFrame{} : read_body(type, in);
    if (in.error()) return *in.error();
    return frame;
}

}  // namespace shoal::mesh::joining
