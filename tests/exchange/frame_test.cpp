#include "mesh/exchange/frame.hpp"

#include <doctest/doctest.h>

#include <random>
#include <vector>

namespace shoal::mesh::exchange::frame_test {

TEST_SUITE_BEGIN("frame");

namespace {

FrameHeader sample() {
    FrameHeader header;
    header.plan.term.counter = 0x0102030405060708;
    for (std::uint8_t i = 0; i < 16; ++i) header.plan.term.candidate.bytes[i] = 0xa0 + i;
    header.plan.number = 0x11223344;
    header.to = 0x0155;
    header.from = 0x0266;
    header.kind = FrameKind::data;
    header.length = 5;
    header.op = 0xf1f2f3f4f5f6f7f8;
    return header;
}

std::vector<std::byte> frame_of(const FrameHeader& header, std::size_t payload) {
    std::vector<std::byte> frame(kHeaderBytes + payload, std::byte{0x7e});
    encode(header, std::span<std::byte, kHeaderBytes>(frame.data(), kHeaderBytes));
    return frame;
}

FrameError error_of(std::span<const std::byte> frame) {
    FrameHeader ignored;
    return decode(frame, ignored);
}

}  // namespace

TEST_CASE("the bytes of a header are those of the protocol") {
    const std::uint8_t expected[kHeaderBytes] = {
        1,                                                // version
        8,    7,    6,    5,    4,    3,    2,    1,      // counter of the term
        0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,   // candidate
        0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,   //
        0x44, 0x33, 0x22, 0x11,                           // number
        0x56, 0x01,                                       // to: rank + 1
        0x66, 0x02,                                       // from
        1,    0,    0,                                    // kind, flags, reserved
        5,    0,    0,    0,                              // length
        0xf8, 0xf7, 0xf6, 0xf5, 0xf4, 0xf3, 0xf2, 0xf1};  // op
    const auto frame = frame_of(sample(), 5);
    for (std::size_t i = 0; i < kHeaderBytes; ++i) {
        CAPTURE(i);
        CHECK(std::to_integer<int>(frame[i]) == expected[i]);
    }
}

TEST_CASE("what is encoded is decoded") {
    for (const auto kind :
         {FrameKind::data, FrameKind::nack, FrameKind::ack, FrameKind::probe, FrameKind::abandon}) {
        for (const std::uint32_t to : {kEveryone, 0u, kMaxRanks - 1}) {
            FrameHeader header = sample();
            header.kind = kind;
            header.to = to;
            header.length = kind == FrameKind::data ? 5 : 0;
            header.flags = kind == FrameKind::nack ? kFlagCertain : 0;
            FrameHeader got;
            REQUIRE(decode(frame_of(header, header.length), got) == FrameError::none);
            CHECK(got == header);
        }
    }
}

TEST_CASE("every way to be malformed is told apart") {
    const auto valid = frame_of(sample(), 5);
    CHECK(error_of(valid) == FrameError::none);
    const auto with = [&](std::size_t at, int value) {
        auto frame = valid;
        frame[at] = static_cast<std::byte>(value);
        return error_of(frame);
    };
    CHECK(error_of({}) == FrameError::truncated);
    CHECK(error_of(std::span(valid).first(kHeaderBytes - 1)) == FrameError::truncated);
    CHECK(with(0, 2) == FrameError::wrong_version);
    CHECK(with(33, 0) == FrameError::unknown_kind);
    CHECK(with(33, 6) == FrameError::unknown_kind);
    CHECK(with(33, 2) == FrameError::bad_length);  // a nack with a payload
    CHECK(with(34, 2) == FrameError::bad_value);   // an unknown flag
    CHECK(with(35, 1) == FrameError::bad_value);   // reserved
    CHECK(with(36, 4) == FrameError::bad_length);
    CHECK(with(36, 6) == FrameError::bad_length);
    CHECK(with(39, 0xff) == FrameError::bad_length);
    CHECK(with(30, 0x04) == FrameError::bad_value);  // to: beyond kMaxRanks
    CHECK(with(32, 0x04) == FrameError::bad_value);  // from: beyond kMaxRanks
    CHECK(error_of(std::span(valid).first(valid.size() - 1)) == FrameError::bad_length);
}

TEST_CASE("a payload at the limit passes and one byte more does not") {
    FrameHeader header = sample();
    header.length = kMaxPayloadBytes;
    auto frame = frame_of(header, kMaxPayloadBytes);
    CHECK(error_of(frame) == FrameError::none);
    frame.emplace_back();
    frame[36] = std::byte{1};  // the length field agrees with the size
    CHECK(error_of(frame) == FrameError::bad_length);
}

TEST_CASE("a failed decode leaves the header alone") {
    FrameHeader header = sample();
    auto frame = frame_of(sample(), 5);
    frame[35] = std::byte{9};
    frame[40] = std::byte{0};
    CHECK(decode(frame, header) == FrameError::bad_value);
    CHECK(header == sample());
}

TEST_CASE("random bytes are decoded or refused, and what is decoded encodes to the same") {
    std::mt19937 random(5);
    int decoded = 0;
    for (int i = 0; i < 200000; ++i) {
        std::vector<std::byte> frame(random() % 60);
        for (auto& byte : frame) byte = static_cast<std::byte>(random());
        if (frame.size() >= kHeaderBytes && i % 2 == 0) {  // else almost none is valid
            frame[0] = std::byte{kFrameVersion};
            frame[30] = frame[32] = frame[34] = frame[35] = std::byte{0};
            frame[33] = static_cast<std::byte>(random() % 7);
            frame[36] = static_cast<std::byte>(frame.size() - kHeaderBytes);
            frame[37] = frame[38] = frame[39] = std::byte{0};
        }
        FrameHeader header;
        if (decode(frame, header) != FrameError::none) continue;
        ++decoded;
        std::array<std::byte, kHeaderBytes> again{};
        encode(header, again);
        REQUIRE(std::equal(again.begin(), again.end(), frame.begin()));
    }
    CHECK(decoded > 1000);
}

TEST_CASE("a topic is the start of the frames it selects") {
    const auto header = sample();
    const auto frame = frame_of(header, 5);
    const auto bytes = topic(header.plan, header.to);
    CHECK(std::equal(bytes.begin(), bytes.end(), frame.begin()));
    std::uint32_t to = 0;
    REQUIRE(parse_topic(bytes, header.plan, to));
    CHECK(to == header.to);
    REQUIRE(parse_topic(topic(header.plan, kEveryone), header.plan, to));
    CHECK(to == kEveryone);
    // Everyone's topic sorts first: a peer's own topic then tells that both are in place.
    CHECK(topic(header.plan, kEveryone) < topic(header.plan, 0));
}

TEST_CASE("topics of other plans and other things are none of ours") {
    const auto plan = sample().plan;
    std::uint32_t to = 0;
    auto other = plan;
    ++other.number;
    CHECK_FALSE(parse_topic(topic(other, 1), plan, to));
    other = plan;
    ++other.term.counter;
    CHECK_FALSE(parse_topic(topic(other, 1), plan, to));
    other = plan;
    other.term.candidate.bytes[15] ^= 1;
    CHECK_FALSE(parse_topic(topic(other, 1), plan, to));
    auto bytes = topic(plan, 1);
    CHECK_FALSE(parse_topic(std::span(bytes).first(kTopicBytes - 1), plan, to));
    CHECK_FALSE(parse_topic({}, plan, to));
    bytes[30] = std::byte{0xff};
    CHECK_FALSE(parse_topic(bytes, plan, to));
}

TEST_SUITE_END();

}  // namespace shoal::mesh::exchange::frame_test
