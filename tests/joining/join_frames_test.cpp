#include "mesh/joining/join_frames.hpp"

#include <doctest/doctest.h>

#include <string>

namespace join_frames_test {

using namespace shoal::mesh;
using namespace shoal::mesh::joining;
using Reason = wire::DecodeError::Reason;

TEST_SUITE("join frames") {
    TEST_CASE("frames come back as they were, cut short they do not") {
        Knock knock;
        knock.proof.fill(7);
        knock.name = "kitchen";
        Welcome welcome;
        welcome.cluster_key.fill(9);
        welcome.name = "desk";
        for (const JoinFrame& frame :
             {JoinFrame(knock), JoinFrame(welcome), JoinFrame(Refusal{Refusal::Reason::version})}) {
            auto bytes = encode(frame);
            const auto back = decode_join_frame(bytes);
            REQUIRE(static_cast<bool>(back));
            CHECK(*back == frame);
            for (std::size_t size = 0; size < bytes.size(); ++size) {
                CHECK_FALSE(static_cast<bool>(decode_join_frame(std::span(bytes).first(size))));
            }
            bytes.push_back(std::byte{1});
            CHECK(static_cast<bool>(decode_join_frame(bytes)));
        }
    }

    TEST_CASE("other versions, types, reasons and lengths are refused") {
        auto bytes = encode(Refusal{});
        bytes[0] = std::byte{2};
        CHECK(decode_join_frame(bytes).error().reason == Reason::wrong_version);
        bytes[0] = std::byte{1};
        bytes[2] = std::byte{6};
        CHECK(decode_join_frame(bytes).error().reason == Reason::bad_value);
        bytes[2] = std::byte{0};
        CHECK(decode_join_frame(bytes).error().reason == Reason::bad_value);
        bytes[1] = std::byte{4};
        CHECK(decode_join_frame(bytes).error().reason == Reason::unknown_type);
        auto longest = encode(Knock{{}, std::string(300, 'x')});
        const auto cut = decode_join_frame(longest);
        REQUIRE(static_cast<bool>(cut));
        CHECK(std::get<Knock>(*cut).name.size() == kMaxNameBytes);
        longest.resize(kMaxFrameBytes);
        CHECK(static_cast<bool>(decode_join_frame(longest)));
        longest.resize(kMaxFrameBytes + 1);
        CHECK(decode_join_frame(longest).error().reason == Reason::too_large);
    }

    TEST_CASE("a proof is of one secret, one inviter and one joiner") {
        Secret secret{};
        PublicKey inviter{}, joiner{};
        inviter[0] = 1;
        joiner[0] = 2;
        const Proof proof = prove(secret, inviter, joiner);
        CHECK(prove(secret, inviter, joiner) == proof);
        CHECK(prove(secret, joiner, inviter) != proof);
        joiner[31] = 1;
        CHECK(prove(secret, inviter, joiner) != proof);
        joiner[31] = 0;
        secret[15] = 1;
        CHECK(prove(secret, inviter, joiner) != proof);
    }
}

}  // namespace join_frames_test
