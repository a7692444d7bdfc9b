#include "daemon/plan/situation.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "tests/daemon/plan/candidates.hpp"

namespace situation_test {

using namespace shoal;
using namespace shoal::tests;

namespace {

std::vector<mesh::DeviceId> ids(const std::vector<Candidate>& devices) {
    std::vector<mesh::DeviceId> out;
    for (const Candidate& c : devices) out.push_back(c.member.id);
    return out;
}

std::vector<mesh::DeviceId> devices(std::initializer_list<std::uint8_t> numbers) {
    std::vector<mesh::DeviceId> out;
    for (const std::uint8_t n : numbers) out.push_back(device_id(n));
    return out;
}

}  // namespace

TEST_SUITE("choose") {
    TEST_CASE("all devices take part, suspicious ones as well") {
        Situation situation{candidates(3), {}};
        situation.devices[1].suspicious = true;
        const Choice choice = choose(situation);
        CHECK(ids(choice.taking.devices) == devices({1, 2, 3}));
        CHECK(choice.left_out.empty());
    }

    TEST_CASE("a device with a fault is left out with it, but we never are") {
        Situation situation{candidates(3), {}};
        situation.devices[0].fault = "it failed";
        situation.devices[1].fault = "the disk is full";
        const Choice choice = choose(situation);
        CHECK(ids(choice.taking.devices) == devices({1, 3}));
        REQUIRE(choice.left_out.size() == 1);
        CHECK(choice.left_out.at(device_id(2)).reason == "the disk is full");
    }

    TEST_CASE("one of two without a connection is left out, and the other named") {
        const Choice choice = choose({candidates(3), {apart(2, 3)}});
        CHECK(ids(choice.taking.devices) == devices({1, 2}));  // equally fast: the lower id
        CHECK(choice.left_out.at(device_id(3)).reason ==
              "there is no connection between it and device 2");
        CHECK(choice.taking.apart.empty());
    }

    TEST_CASE("of two without a connection the one that takes part already stays") {
        const Choice choice = choose({candidates(3), {apart(2, 3)}, {device_id(1), device_id(3)}});
        CHECK(ids(choice.taking.devices) == devices({1, 3}));
    }

    TEST_CASE("nobody is left out for a connection to one that is left out for a fault") {
        Situation situation{candidates(4), {apart(2, 4), apart(3, 4)}};
        situation.devices[3].fault = "no room";
        CHECK(ids(choose(situation).taking.devices) == devices({1, 2, 3}));
    }

    TEST_CASE("a plan is for the same devices, with those on probation or without") {
        struct Row {
            std::vector<mesh::DeviceId> before;
            bool suspicious;  // is device 3
            bool with, without;
        };
        const Row rows[] = {
            {devices({1, 2, 3}), false, true, true}, {devices({1, 2, 3}), true, true, true},
            {devices({1, 2}), false, false, false},  {devices({1, 2}), true, false, true},
            {devices({1, 3}), false, false, false},  {devices({1, 2, 3, 4}), true, false, false},
        };
        for (const Row& row : rows) {
            CAPTURE(&row - rows);
            Situation situation{candidates(3), {}};
            situation.devices[2].suspicious = row.suspicious;
            const Choice choice = choose(situation);
            const std::set<mesh::DeviceId> before(row.before.begin(), row.before.end());
            CHECK(same_devices(choice, before, true) == row.with);
            CHECK(same_devices(choice, before, false) == row.without);
        }
    }
}

TEST_SUITE("smaller side") {
    TEST_CASE(
        "of two that do not hear each other the newer goes, then the slower, never the first") {
        auto all = candidates(3);
        all[1].member.description.speed = 5;
        all[2].member.description.speed = 9;
        CHECK(smaller_side(all, {apart(2, 3)}, {}) == devices({2}));
        CHECK(smaller_side(all, {apart(2, 3)}, {device_id(2)}) == devices({3}));
        CHECK(smaller_side(all, {apart(1, 3)}, {}) == devices({3}));
        CHECK(smaller_side(all, {}, {}).empty());
        CHECK(smaller_side(all, {apart(8, 9)}, {}).empty());
    }

    TEST_CASE("one that nobody hears goes rather than all others") {
        CHECK(smaller_side(candidates(5), {apart(4, 2), apart(4, 3), apart(4, 5)}, {}) ==
              devices({4}));
    }

    TEST_CASE("whatever the pairs, none is left whole and the first stays") {
        std::mt19937 random(11);
        for (int n = 0; n < 500; ++n) {
            const auto count = static_cast<std::uint8_t>(2 + random() % 8);
            std::vector<Pair> pairs;
            for (std::uint8_t a = 1; a <= count; ++a) {
                for (std::uint8_t b = a + 1; b <= count; ++b) {
                    if (random() % 4 == 0) pairs.push_back(apart(a, b));
                }
            }
            const auto out = smaller_side(candidates(count), pairs, {});
            const auto leaves = [&](const mesh::DeviceId& id) {
                return std::find(out.begin(), out.end(), id) != out.end();
            };
            CHECK_FALSE(leaves(device_id(1)));
            for (const auto& [a, b] : pairs) CHECK((leaves(a) || leaves(b)));
        }
    }
}

}  // namespace situation_test
