// Who is let in, on a clock of the test's.
#include "mesh/joining/invitations.hpp"

#include <doctest/doctest.h>

#include <string>

namespace invitations_test {

using namespace shoal::mesh;
using namespace shoal::mesh::joining;
using namespace std::chrono_literals;
using Verdict = Invitations::Verdict;

namespace {

PublicKey device(std::uint32_t number) {
    PublicKey key{};
    for (std::size_t i = 0; i < 4; ++i) key[i] = static_cast<std::uint8_t>(number >> (8 * i));
    return key;
}

struct Inviter {
    const PublicKey own = device(1'000'000);
    std::uint8_t drawn = 0;
    Time now{std::chrono::hours(1)};
    Invitations invitations{own, [this](std::span<std::uint8_t> bytes) {
                                ++drawn;
                                std::fill(bytes.begin(), bytes.end(), drawn);
                            }};

    Secret made() {
        const auto secret = invitations.make(now);
        REQUIRE(secret.has_value());
        return *secret;
    }
    Verdict knocks(std::uint32_t number, const Secret& secret, const std::string& host = "") {
        const PublicKey key = device(number);
        return invitations.judge(key, host.empty() ? std::to_string(number) : host,
                                 prove(secret, own, key), now);
    }
    bool open() const { return invitations.any_open(now); }
};

const Secret kGuess{0xff};

}  // namespace

TEST_SUITE("invitations") {
    TEST_CASE_FIXTURE(Inviter, "a secret lets in one device, which may ask again for a moment") {
        const Secret secret = made();
        CHECK(knocks(1, secret) == Verdict::welcome);
        CHECK(knocks(2, secret) == Verdict::used);
        now += 29s;
        CHECK(knocks(1, secret) == Verdict::once_more);
        CHECK(open());
        now += 1s;
        CHECK_FALSE(open());
        // As long as another one keeps the door open, it is told apart from a guess.
        const Secret other = made();
        CHECK(knocks(3, secret) == Verdict::used);
        CHECK(knocks(1, secret) == Verdict::used);
        CHECK(knocks(3, other) == Verdict::welcome);
    }

    TEST_CASE_FIXTURE(Inviter, "a proof that was made by another device is of no use") {
        const Secret secret = made();
        const Proof overheard = prove(secret, own, device(1));
        CHECK(invitations.judge(device(2), "b", overheard, now) == Verdict::wrong);
        CHECK(invitations.judge(device(1), "a", overheard, now) == Verdict::welcome);
        // Nor one for another inviter.
        const Secret second = made();
        CHECK(invitations.judge(device(3), "c", prove(second, device(9), device(3)), now) ==
              Verdict::wrong);
    }

    TEST_CASE_FIXTURE(Inviter, "ten minutes later it is over") {
        const Secret secret = made();
        CHECK(invitations.next_deadline(now) == now + 10min);
        now += 10min - 1ms;
        CHECK(open());
        const Secret later = made();
        now += 1ms;
        CHECK(knocks(1, secret) == Verdict::expired);
        // That was no guess: the device may come in by the new one.
        CHECK(knocks(1, later) == Verdict::welcome);
        now += 30s;
        CHECK_FALSE(open());
        CHECK(invitations.next_deadline(now) == Time::max());
    }

    TEST_CASE_FIXTURE(Inviter, "a device that guessed wrong is wrong, whatever it says then") {
        const Secret secret = made();
        CHECK(knocks(1, kGuess) == Verdict::wrong);
        CHECK(knocks(1, secret) == Verdict::wrong);
        CHECK(knocks(2, secret) == Verdict::welcome);
        now += 30s;
        // With nothing open any more that is forgotten.
        CHECK(knocks(1, made()) == Verdict::welcome);
    }

    TEST_CASE_FIXTURE(Inviter, "the hundredth wrong secret closes all invitations") {
        const Secret secret = made();
        for (std::uint32_t i = 1; i < kMaxWrong; ++i) {
            REQUIRE(knocks(i, kGuess) == Verdict::wrong);
            now += 50ms;
        }
        CHECK(open());
        CHECK(knocks(kMaxWrong, kGuess) == Verdict::wrong_all_closed);
        CHECK_FALSE(open());
        CHECK(knocks(kMaxWrong + 1, secret) == Verdict::expired);
    }

    TEST_CASE_FIXTURE(Inviter, "who knocks too often waits, and others do not wait for him") {
        const Secret secret = made();
        for (int i = 0; i < 5; ++i) CHECK(knocks(7, kGuess, "flood") == Verdict::wrong);
        for (int i = 0; i < 100; ++i) CHECK(knocks(7, kGuess, "flood") == Verdict::busy);
        // New keys are no new address.
        CHECK(knocks(8, secret, "flood") == Verdict::busy);
        CHECK(knocks(9, secret, "elsewhere") == Verdict::welcome);
        now += 1s;
        CHECK(knocks(8, secret, "flood") == Verdict::used);
    }

    TEST_CASE_FIXTURE(Inviter, "a flood from everywhere gets no more than its share of guesses") {
        made();
        int judged = 0;
        for (std::uint32_t i = 0; i < 10'000; ++i) {
            if (i % 1000 == 0) now += 100ms;
            // Each from an address of its own, with a device of a few.
            const Verdict verdict = knocks(i % 50, kGuess, std::to_string(i));
            if (verdict != Verdict::busy) ++judged;
        }
        // In the first second: the burst of 40 and 20 more.
        CHECK(judged <= 61);
        CHECK(judged >= 40);
        CHECK(open());
    }

    TEST_CASE_FIXTURE(Inviter, "eight are open at most, and each is its own secret") {
        std::set<Secret> secrets;
        for (std::size_t i = 0; i < kMaxOpen; ++i) secrets.insert(made());
        CHECK(secrets.size() == kMaxOpen);
        CHECK_FALSE(invitations.make(now));
        CHECK(knocks(1, *secrets.begin()) == Verdict::welcome);
        CHECK_FALSE(invitations.make(now));
        now += 30s;
        CHECK(invitations.make(now));
    }

    TEST_CASE_FIXTURE(Inviter, "nothing is remembered for ever") {
        const Secret first = made();
        for (std::size_t i = 0; i < 3 * kMaxRemembered; ++i) {
            now += 10min;
            made();
        }
        CHECK(knocks(1, first) == Verdict::wrong);
        now += 10min + 1h;
        const Secret last = made();
        CHECK(knocks(2, last) == Verdict::welcome);
    }
}

}  // namespace invitations_test
