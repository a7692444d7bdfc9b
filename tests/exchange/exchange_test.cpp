// The behaviour that every implementation of Exchange shows.
#include <doctest/doctest.h>

#include <algorithm>
#include <future>
#include <latch>

#include "tests/exchange/fixtures.hpp"
#include "tests/instrumented.hpp"

namespace shoal::mesh::testing::exchange_test {
namespace {

using namespace std::chrono_literals;

/// Payload sizes differ between ranks and steps and include nothing at all.
std::size_t size_of(std::uint32_t rank, std::uint64_t step) {
    constexpr std::size_t kSizes[] = {0, 1, 63, 2176, 8192, 65536, 3, 4352, 200};
    return kSizes[(step * 5 + rank * 2) % std::size(kSizes)];
}

/// Another size for each pair of ranks, there and back.
std::size_t part_size(std::uint32_t from, std::uint32_t to, std::uint64_t step) {
    return size_of(from + 3 * to, step + from * to);
}

Parts parts_of(std::uint32_t rank, std::uint32_t size, std::uint64_t step) {
    return {rank, size, step, [&](std::uint32_t to) { return part_size(rank, to, step); }};
}

void expect_parts(const Views& theirs, const Exchange& exchange, std::uint64_t step) {
    const std::uint32_t me = exchange.rank();
    expect(theirs.size() == exchange.size(), "a view per rank");
    for (std::uint32_t r = 0; r < exchange.size(); ++r) {
        expect_pattern(theirs[r], way(r, me), step, part_size(r, me, step));
    }
}

/// One decode step as the executor does it: broadcast, all-gathers, gather.
void decode_step(Exchange& exchange, std::uint32_t root, std::uint64_t step, int gathers) {
    const std::uint32_t me = exchange.rank();
    Views theirs;
    std::span<const std::byte> received;
    const auto input = pattern(root, step, size_of(root, step));
    expect_ok(
        exchange.broadcast(root, me == root ? std::span(input) : std::span<std::byte>{}, received),
        step);
    expect_pattern(received, root, step, input.size());
    for (int i = 0; i < gathers; ++i) {
        const std::uint64_t tag = step * 1000 + i;
        expect_ok(exchange.all_gather(pattern(me, tag, size_of(me, tag)), theirs), step);
        expect(theirs.size() == exchange.size(), "a view per rank");
        for (std::uint32_t r = 0; r < exchange.size(); ++r) {
            expect_pattern(theirs[r], r, tag, size_of(r, tag));
        }
    }
    const std::uint64_t tag = step * 1000 + 999;
    expect_ok(exchange.gather(root, pattern(me, tag, 300 + me), theirs), step);
    if (me != root) return;
    for (std::uint32_t r = 0; r < exchange.size(); ++r) expect_pattern(theirs[r], r, tag, 300 + r);
}

}  // namespace

TEST_CASE_TEMPLATE("ranks of every count gather payloads of different sizes", Fixture,
                   MemoryFixture, ZmqFixture, CurveFixture, ZmtpFixture, SealedFixture) {
    for (std::uint32_t size = 1; size <= 8; ++size) {
        CAPTURE(size);
        Fixture fixture(size);
        run_ranks(size, [&](std::uint32_t rank) {
            const auto exchange = fixture.join(rank);
            expect(exchange->rank() == rank && exchange->size() == size, "rank and size");
            Views theirs;
            for (std::uint64_t step = 0; step < 40; ++step) {
                const auto mine = pattern(rank, step, size_of(rank, step));
                expect_ok(exchange->all_gather(mine, theirs), step);
                expect(theirs.size() == size, "a view per rank");
                for (std::uint32_t r = 0; r < size; ++r) {
                    expect_pattern(theirs[r], r, step, size_of(r, step));
                }
            }
        });
    }
}

TEST_CASE_TEMPLATE("ranks of every count send each other parts of different sizes", Fixture,
                   MemoryFixture, ZmqFixture, CurveFixture, ZmtpFixture, SealedFixture) {
    for (std::uint32_t size = 1; size <= 8; ++size) {
        CAPTURE(size);
        Fixture fixture(size);
        run_ranks(size, [&](std::uint32_t rank) {
            const auto exchange = fixture.join(rank);
            Views theirs;
            for (std::uint64_t step = 0; step < 40; ++step) {
                const Parts mine = parts_of(rank, size, step);
                expect_ok(exchange->all_to_all(mine.views, theirs), step);
                expect_parts(theirs, *exchange, step);
                expect(theirs[rank].data() == mine.views[rank].data(), "its own part, not a copy");
            }
        });
    }
}

TEST_CASE_TEMPLATE("thousands of lock-step exchanges keep their order", Fixture, MemoryFixture,
                   ZmqFixture, CurveFixture, ZmtpFixture, SealedFixture) {
    constexpr std::uint32_t kSize = 3;
    Fixture fixture(kSize);
    run_ranks(kSize, [&](std::uint32_t rank) {
        const auto exchange = fixture.join(rank);
        Views theirs;
        for (std::uint64_t step = 0; step < tests::by_speed(4000U, 1000U); ++step) {
            if (step % 3 == 0) {
                const Parts mine(rank, kSize, step, [&](std::uint32_t r) { return 1 + r; });
                expect_ok(exchange->all_to_all(mine.views, theirs), step);
                for (std::uint32_t r = 0; r < kSize; ++r) {
                    expect_pattern(theirs[r], way(r, rank), step, 1 + rank);
                }
            }
            const std::size_t bytes = 16 + (step * 7 + rank) % 50;
            expect_ok(exchange->all_gather(pattern(rank, step, bytes), theirs), step);
            for (std::uint32_t r = 0; r < kSize; ++r) {
                expect_pattern(theirs[r], r, step, 16 + (step * 7 + r) % 50);
            }
        }
    });
}

TEST_CASE_TEMPLATE("decode steps interleave broadcast, all-gather and gather", Fixture,
                   MemoryFixture, ZmqFixture, CurveFixture, ZmtpFixture, SealedFixture) {
    constexpr std::uint32_t kSize = 4;
    Fixture fixture(kSize);
    run_ranks(kSize, [&](std::uint32_t rank) {
        const auto exchange = fixture.join(rank);
        for (std::uint64_t step = 0; step < 60; ++step) decode_step(*exchange, 0, step, 4);
        // The root may change between steps, though a plan never does that.
        for (std::uint64_t step = 60; step < 100; ++step) {
            decode_step(*exchange, static_cast<std::uint32_t>(step) % kSize, step, 2);
        }
    });
}

TEST_CASE_TEMPLATE("a fast root cannot overrun slow receivers", Fixture, MemoryFixture, ZmqFixture,
                   CurveFixture, ZmtpFixture, SealedFixture) {
    constexpr std::uint32_t kSize = 3;
    constexpr std::uint64_t kSteps = 100;
    Fixture fixture(kSize);
    run_ranks(kSize, [&](std::uint32_t rank) {
        const auto exchange = fixture.join(rank);
        std::span<const std::byte> received;
        for (std::uint64_t step = 0; step < kSteps; ++step) {
            if (rank == 1 && step % 10 == 0) std::this_thread::sleep_for(1ms);
            expect_ok(exchange->broadcast(0, pattern(0, step, 100), received), step);
            expect_pattern(received, 0, step, 100);
        }
        // The other direction: many senders, one slow receiver.
        Views theirs;
        for (std::uint64_t step = 0; step < kSteps; ++step) {
            if (rank == 0 && step % 10 == 0) std::this_thread::sleep_for(1ms);
            expect_ok(exchange->gather(0, pattern(rank, step, 50 + rank), theirs), step);
            for (std::uint32_t r = 0; rank == 0 && r < kSize; ++r) {
                expect_pattern(theirs[r], r, step, 50 + r);
            }
        }
        expect_ok(exchange->all_gather(pattern(rank, kSteps, 5), theirs), kSteps);
    });
}

TEST_CASE_TEMPLATE("views stay valid until the next call", Fixture, MemoryFixture, ZmqFixture,
                   CurveFixture, ZmtpFixture, SealedFixture) {
    constexpr std::uint32_t kSize = 3;
    Fixture fixture(kSize);
    run_ranks(kSize, [&](std::uint32_t rank) {
        const auto exchange = fixture.join(rank);
        Views theirs;
        for (std::uint64_t step = 0; step < 50; ++step) {
            expect_ok(exchange->all_gather(pattern(rank, step, 3000), theirs), step);
            // The others may be a call ahead by now.
            if (step % 10 == rank) std::this_thread::sleep_for(2ms);
            for (std::uint32_t r = 0; r < kSize; ++r) expect_pattern(theirs[r], r, step, 3000);
            const Parts mine = parts_of(rank, kSize, step);
            expect_ok(exchange->all_to_all(mine.views, theirs), step);
            if (step % 10 == rank) std::this_thread::sleep_for(2ms);
            expect_parts(theirs, *exchange, step);
        }
    });
}

namespace {

/// Blocks ranks 1 and 2 in `call`, stops everything, and returns how long the slower one took.
template <typename Fixture>
Clock::duration time_of_stop(const std::string& call) {
    constexpr std::uint32_t kSize = 3;
    Fixture fixture(kSize);
    std::latch blocked(kSize);
    Clock::time_point stopped, ended[kSize];
    run_ranks(kSize, [&](std::uint32_t rank) {
        const auto exchange = fixture.join(rank);
        Views theirs;
        expect_ok(exchange->all_gather(pattern(rank, 1, 8), theirs), 1);
        blocked.arrive_and_wait();
        if (rank == 0) {  // does not take part in the next collective
            std::this_thread::sleep_for(30ms);
            stopped = Clock::now();
            fixture.abort();
            return;
        }
        std::span<const std::byte> received;
        const auto blocked_call = [&] {
            if (call == "broadcast") return exchange->broadcast(0, {}, received);
            if (call == "all_to_all") return exchange->all_to_all(Views(kSize), theirs);
            if (call == "all_gather") return exchange->all_gather(pattern(rank, 2, 8), theirs);
            // Both wait as receivers, one gather each.
            return exchange->gather(rank, pattern(rank, 2, 8), theirs);
        };
        expect(blocked_call() == ExchangeStatus::aborted, "the blocked call is aborted");
        ended[rank] = Clock::now();
        expect(blocked_call() == ExchangeStatus::aborted, "and so is every later one");
    });
    return std::max(ended[1], ended[2]) - stopped;
}

}  // namespace

TEST_CASE_TEMPLATE("a stop ends every blocked call at once", Fixture, MemoryFixture, ZmqFixture,
                   CurveFixture, ZmtpFixture, SealedFixture) {
    for (const char* call : {"broadcast", "all_gather", "all_to_all", "gather"}) {
        CAPTURE(call);
        // A loaded machine may keep a thread waiting for its turn, but hardly five times.
        auto fastest = Clock::duration::max();
        for (int i = 0; i < 5 && fastest >= 50ms; ++i) {
            fastest = std::min(fastest, time_of_stop<Fixture>(call));
        }
        CHECK(fastest < 50ms);
    }
}

TEST_CASE_TEMPLATE("a silent peer times out, a root that idles does not", Fixture, MemoryFixture,
                   ZmqFixture, CurveFixture, ZmtpFixture, SealedFixture) {
    constexpr std::uint32_t kSize = 3;
    Fixture fixture(kSize, 80ms);
    std::promise<void> promise;
    const auto finished = promise.get_future().share();
    std::atomic<int> left = kSize - 1;
    std::atomic<int> timed_out = 0;
    run_ranks(kSize, [&](std::uint32_t rank) {
        const auto exchange = fixture.join(rank);
        std::span<const std::byte> received;
        if (rank == 0) std::this_thread::sleep_for(250ms);
        expect_ok(exchange->broadcast(0, pattern(0, 1, 9), received), 1);
        if (rank == 0) {  // silent from here on
            finished.wait();
            return;
        }
        Views theirs;
        const auto start = Clock::now();
        const auto status = exchange->all_gather(pattern(rank, 2, 9), theirs);
        // Whoever notices first abandons the plan and tells the other.
        expect(status != ExchangeStatus::ok, "a silent peer is noticed");
        if (status == ExchangeStatus::timed_out) {
            ++timed_out;
            expect(Clock::now() - start >= 80ms, "not before the limit");
        }
        expect(Clock::now() - start < 5s, "at the limit");
        if (--left == 0) promise.set_value();
    });
    CHECK(timed_out >= 1);
}

TEST_CASE_TEMPLATE("who leaves the plan aborts the others", Fixture, MemoryFixture, ZmqFixture,
                   CurveFixture, ZmtpFixture, SealedFixture) {
    constexpr std::uint32_t kSize = 3;
    Fixture fixture(kSize);
    run_ranks(kSize, [&](std::uint32_t rank) {
        auto exchange = fixture.join(rank);
        Views theirs;
        expect_ok(exchange->all_gather(pattern(rank, 1, 8), theirs), 1);
        if (rank == 2) {
            exchange.reset();
            return;
        }
        const auto start = Clock::now();
        expect(exchange->all_gather(pattern(rank, 2, 8), theirs) == ExchangeStatus::aborted,
               "aborted");
        expect(Clock::now() - start < 5s, "long before the silence limit");
    });
}

TEST_CASE_TEMPLATE("who leaves after its last collective harms nobody", Fixture, MemoryFixture,
                   ZmqFixture, CurveFixture, ZmtpFixture, SealedFixture) {
    for (int round = 0; round < 20; ++round) {
        constexpr std::uint32_t kSize = 3;
        Fixture fixture(kSize);
        run_ranks(kSize, [&](std::uint32_t rank) {
            auto exchange = fixture.join(rank);
            Views theirs;
            if (rank == static_cast<std::uint32_t>(round) % kSize) {
                std::this_thread::sleep_for(1ms);
            }
            for (std::uint64_t step = 0; step < 3; ++step) {
                expect_ok(exchange->all_gather(pattern(rank, step, 8), theirs), step);
                for (std::uint32_t r = 0; r < kSize; ++r) expect_pattern(theirs[r], r, step, 8);
            }
        });
    }
}

}  // namespace shoal::mesh::testing::exchange_test
