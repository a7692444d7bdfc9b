#include "mesh/messages/plan.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <stdexcept>
#include <string>

namespace shoal::mesh::messages {
namespace {

PlanOffer sample_offer() {
    PlanOffer offer;
    offer.plan = {7, {1, 2, 3}, 4};
    offer.model = {9, 8, 7};
    offer.model_name = "stories";
    offer.file_bytes = 1ULL << 40;
    offer.kv_type = "f16";
    offer.collectives = "q8_0";
    offer.kv_positions = 4096;
    offer.max_rows = 256;
    offer.max_outputs = 16;
    offer.scatter_rows = 22;
    offer.sequence_rows = 64;
    PlanDevice device;
    device.id = {5};
    device.public_key = {6};
    device.endpoint = "tcp://*:1234";
    device.slice = {{1, 2}, {3, 4}, {5, 6}, {7, 8}};
    device.row_share = 9;
    device.whole_bytes = 10;
    device.wants_file = true;
    offer.devices = {device, device};
    return offer;
}

bool contains(std::span<const std::byte> bytes, const std::string& hex) {
    std::vector<std::byte> wanted;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
        wanted.push_back(std::byte(std::stoul(hex.substr(i, 2), nullptr, 16)));
    }
    return std::search(bytes.begin(), bytes.end(), wanted.begin(), wanted.end()) != bytes.end();
}

DeviceProfile sample_profile() {
    return {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}, {10, 11, 12}, {13, 14, 15}, 16, 17, 18, 1e-5};
}

std::vector<PlanFrame> samples() {
    const PlanRef plan{7, {1, 2, 3}, 4};
    return {
        {0, sample_offer()},
        {0, PlanProgress{plan, "fetching", 10, 20}},
        {0, PlanLoaded{plan, 1, 2, 3, 4, true}},
        {0, PlanStart{plan, 5, true}},
        {0, PlanEnd{plan, "why", Fault::peers, {{8}, {9}}}},
        {12, PieceRequest{{1}, "blk.0.attn_q.weight", 1, 2, 3, 4, 5, 6}},
        {12, PieceReply{{std::byte{1}, std::byte{0xff}}, 99, ""}},
        {0, Announcement{{{{1}, "name", "llama", "Q4_0", 5, 6, 7}},
                         true,
                         {{"disk-full", Severity::error, "0a", "no room", "make some"}},
                         {{8}, {9}},
                         3,
                         4,
                         0.5,
                         {},
                         sample_profile(),
                         47480}},
        {0, LinkTest{plan, {{{8}, {9}, 4001}, {{1}, {2}, 4002}}}},
        {0, LinkResult{plan, "", 1e-4, 1e8, 2e8, "zmtp", "AES-256-OCB"}},
        {13, FileRequest{{1}, 2, 1ULL << 40, 4}},
        {13, FileReply{{std::byte{1}, std::byte{0xff}}, 1ULL << 40, 3, true, "why"}},
    };
}

}  // namespace

TEST_CASE("every plan message survives the wire") {
    for (const PlanFrame& frame : samples()) {
        CAPTURE(frame.body.index());
        const auto bytes = encode(frame);
        const auto got = decode_plan(bytes);
        REQUIRE(got);
        CHECK(got->id == frame.id);
        CHECK(got->body.index() == frame.body.index());
        CHECK(encode(*got) == bytes);
    }
    const auto got = decode_plan(encode({0, sample_offer()}));
    const auto& offer = std::get<PlanOffer>(got->body);
    CHECK(offer.plan == sample_offer().plan);
    CHECK(offer.file_bytes == 1ULL << 40);
    REQUIRE(offer.devices.size() == 2);
    CHECK(offer.devices[1].endpoint == "tcp://*:1234");
    CHECK(offer.devices[1].slice == sample_offer().devices[1].slice);
}

TEST_CASE("a device's profile travels with its announcement, and is missing in an older one") {
    Announcement said;
    said.profile = sample_profile();
    const auto got = decode_plan(encode({0, said}));
    REQUIRE(got);
    CHECK(std::get<Announcement>(got->body).profile == sample_profile());
    // [1, 7, 0, {0: []}], as a version without profiles could say it.
    const auto older = decode_plan(std::as_bytes(std::span("\x94\x01\x07\x00\x81\x00\x90", 7)));
    REQUIRE(older);
    CHECK(std::get<Announcement>(older->body).profile == DeviceProfile());
}

TEST_CASE("an offer's device has these bytes: its slice is eight numbers with keys of their own") {
    const std::string id = "00c41005" + std::string(30, '0');
    const std::string key = "01c42006" + std::string(62, '0');
    const std::string endpoint = "02ac7463703a2f2f2a3a31323334";
    const std::string slice =
        "0301040205030604070508060907"
        "0a08";
    const std::string rows = "0b090c0a0dc3";
    CHECK(contains(encode({0, sample_offer()}), "8e" + id + key + endpoint + slice + rows));
}

TEST_CASE("a truncated plan message is refused") {
    for (const PlanFrame& frame : samples()) {
        const auto bytes = encode(frame);
        for (std::size_t n = 0; n < bytes.size(); ++n) CHECK_FALSE(decode_plan({bytes.data(), n}));
    }
}

TEST_CASE("a plan message beyond a limit is neither sent nor taken") {
    PlanOffer offer = sample_offer();
    offer.model_name.assign(kMaxText + 1, 'x');
    CHECK_THROWS_AS(encode(PlanFrame{0, offer}), std::length_error);
    offer = sample_offer();
    offer.devices.resize(kMaxPlanDevices + 1);
    CHECK_THROWS_AS(encode(PlanFrame{0, offer}), std::length_error);
    PieceReply reply;
    reply.data.resize(kMaxPieceBytes + 1);
    CHECK_THROWS_AS(encode(PlanFrame{1, reply}), std::length_error);
    FileReply file;
    file.data.resize(kMaxPieceBytes + 1);
    CHECK_THROWS_AS(encode(PlanFrame{1, file}), std::length_error);
}

TEST_CASE("ids and keys of the wrong length are refused") {
    auto bytes = encode({0, PlanStart{{7, {1, 2, 3}, 4}}});
    // A binary of 16 bytes is marked 0xc4 0x10.
    for (std::size_t i = 0; i + 1 < bytes.size(); ++i) {
        if (bytes[i] != std::byte{0xc4} || bytes[i + 1] != std::byte{0x10}) continue;
        bytes[i + 1] = std::byte{0x0f};
        bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(i) + 2);
        break;
    }
    const auto got = decode_plan(bytes);
    REQUIRE_FALSE(got);
    CHECK(got.error().what.find("16 bytes") != std::string::npos);
}

TEST_CASE("damaged plan messages never crash the decoder") {
    std::mt19937 random(3);
    std::vector<std::vector<std::byte>> good;
    for (const PlanFrame& frame : samples()) good.push_back(encode(frame));
    for (int i = 0; i < 20000; ++i) {
        auto bytes = good[random() % good.size()];
        for (int k = 0; k < 2; ++k)
            bytes[random() % bytes.size()] = static_cast<std::byte>(random());
        static_cast<void>(decode_plan(bytes));
    }
}

}  // namespace shoal::mesh::messages
