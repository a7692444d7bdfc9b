// What lock-step over sockets can meet: forged frames, lost ones, cut connections. The peer made by
// hand is libzmq's, so the port that speaks ZMTP itself is held to understand it, both ways.
#include <doctest/doctest.h>

#include "mesh/exchange/window.hpp"
#include "tests/exchange/cutting_proxy.hpp"
#include "tests/exchange/duo.hpp"
#include "tests/exchange/fixtures.hpp"

namespace shoal::mesh::testing::socket_port_test {

using namespace std::chrono_literals;
using exchange::FrameKind;
using exchange::kEveryone;

TEST_SUITE_BEGIN("socket_port");

TEST_CASE_TEMPLATE("malformed and forged frames are dropped and counted", Transport, Libzmq, Zmtp) {
    Duo duo(Transport::value);
    duo.run(
        [&](Exchange& exchange) {
            gather_and_check(exchange, 2, 100);
            gather_and_check(exchange, 3, 100);
        },
        [&] {
            const auto good = duo.raw.header(FrameKind::data, 2);
            auto forged = good;
            forged.from = 0;
            duo.raw.send(forged, pattern(9, 9, 100));
            forged.from = 5;
            duo.raw.send(forged, pattern(9, 9, 100));
            auto far = good;
            far.op = 1'000'000;
            duo.raw.send(far, pattern(9, 9, 100));
            far.op = 0;
            duo.raw.send(far);
            auto bytes = RawPeer::frame(good, pattern(9, 9, 100));  // the length field says 0
            duo.raw.send(bytes);
            bytes.resize(exchange::kTopicBytes);
            duo.raw.send(bytes);
            bytes.resize(exchange::kHeaderBytes);
            bytes[33] = std::byte{77};
            duo.raw.send(bytes);
            duo.raw.send_data(2, 100);
            duo.raw.send_data(2, 100);  // once more
            duo.raw.send_data(3, 100);
            expect(duo.raw.receive(FrameKind::data).op == 2, "its frame");
            expect(duo.raw.receive(FrameKind::data).op == 3, "its frame");
        });
    CHECK(duo.plane.stats().malformed == 7);
    CHECK(duo.plane.stats().duplicates == 1);
}

TEST_CASE_TEMPLATE("frames of another plan do not get in", Transport, Libzmq, Zmtp) {
    Duo duo(Transport::value);
    duo.run(
        [&](Exchange& exchange) {
            gather_and_check(exchange, 2, 100);
            gather_and_check(exchange, 3, 100);
        },
        [&] {
            auto old = duo.raw.header(FrameKind::data, 2);
            old.plan.number -= 1;
            duo.raw.send(old, pattern(9, 9, 100));
            old.kind = FrameKind::abandon;
            duo.raw.send(old);
            old = duo.raw.header(FrameKind::abandon, 2);
            old.plan.term.counter -= 1;
            duo.raw.send(old);
            duo.raw.send_data(2, 100);
            duo.raw.send_data(3, 100);
            duo.raw.receive(FrameKind::data);
            duo.raw.receive(FrameKind::data);
        });
}

TEST_CASE_TEMPLATE("a frame that was overtaken is asked for at once, and taken when it comes",
                   Transport, Libzmq, Zmtp) {
    Duo duo(Transport::value);
    duo.run(
        [&](Exchange& exchange) {
            gather_and_check(exchange, 2, 64);
            gather_and_check(exchange, 3, 64);
        },
        [&] {
            const auto start = Clock::now();
            expect(duo.raw.receive(FrameKind::data).op == 2, "its frame");
            duo.raw.send_data(3, 64);  // 2 was lost
            const auto nack = duo.raw.receive(FrameKind::nack);
            expect(nack.op == 2 && nack.to == 1, "2 is asked for");
            // The clock first: a loaded machine may well take the 20 ms of an unsure question.
            expect(nack.flags == exchange::kFlagCertain || Clock::now() - start > 20ms,
                   "as certainly lost");
            duo.raw.send_data(2, 64);
            expect(duo.raw.receive(FrameKind::data).op == 3, "and it goes on");
        });
    CHECK(duo.plane.stats().asked >= 1);
}

TEST_CASE_TEMPLATE("a frame that does not come is asked for again and again, more and more slowly",
                   Transport, Libzmq, Zmtp) {
    Duo duo(Transport::value);
    duo.run([&](Exchange& exchange) { gather_and_check(exchange, 2, 64); },
            [&] {
                duo.raw.receive(FrameKind::data);
                std::vector<Clock::time_point> asked;
                for (int i = 0; i < 5; ++i) {
                    expect(duo.raw.receive(FrameKind::nack).op == 2, "2 is asked for");
                    asked.push_back(Clock::now());
                }
                // 20, 40, 80, 160 ms apart, give or take what the machine adds.
                expect(asked[4] - asked[0] > 250ms, "the distance grows");
                duo.raw.send_data(2, 64);
            });
    CHECK(duo.plane.stats().asked >= 5);
}

TEST_CASE_TEMPLATE(
    "a frame is sent again to the peer that asks for it, but not while it may be on its way",
    Transport, Libzmq, Zmtp) {
    Duo duo(Transport::value);
    duo.run([&](Exchange& exchange) { gather_and_check(exchange, 2, 64); },
            [&] {
                expect(duo.raw.receive(FrameKind::data).to == kEveryone, "the frame");
                auto nack = duo.raw.header(FrameKind::nack, 2);
                nack.to = 0;
                nack.flags = exchange::kFlagCertain;
                duo.raw.send(nack);
                const auto again = duo.raw.receive(FrameKind::data);
                expect(again.op == 2 && again.to == 1, "to us alone");
                expect_pattern(duo.raw.payload, 0, 2, 64);
                for (int i = 0; i < 50; ++i) duo.raw.send(nack);
                nack.op = 3;  // not there yet
                duo.raw.send(nack);
                std::this_thread::sleep_for(5ms);
                duo.raw.send_data(2, 64);
            });
    CHECK(duo.plane.stats().resent >= 1);
    CHECK(duo.plane.stats().resent <= 25);
}

TEST_CASE_TEMPLATE("a sender without acknowledgements stops, probes and goes on", Transport, Libzmq,
                   Zmtp) {
    Duo duo(Transport::value);
    constexpr std::uint64_t kLast = 2 + 2 * exchange::kDepth;
    duo.run(
        [&](Exchange& exchange) {
            std::span<const std::byte> received;
            for (std::uint64_t op = 2; op <= kLast; ++op) {
                expect_ok(exchange.broadcast(0, pattern(0, op, 10), received), op);
            }
        },
        [&] {
            std::uint64_t acknowledged = 0;
            for (std::uint64_t op = 2; op <= kLast; ++op) {
                auto got = duo.raw.receive();
                expect(got.has_value(), "a frame comes");
                while (got->kind == FrameKind::probe) {
                    // A second one may have been under way when the answer came.
                    expect(acknowledged == op || op - acknowledged >= exchange::kDepth,
                           "only when it must");
                    auto ack = duo.raw.header(FrameKind::ack, op);
                    ack.to = 0;
                    acknowledged = op;
                    duo.raw.send(ack);
                    got = duo.raw.receive();
                }
                // The hello is acknowledged by op 2 at the earliest, so it counts as well.
                if (acknowledged == 0) expect(op <= 1 + exchange::kDepth, "not overrun");
                expect(got->kind == FrameKind::data && got->op == op, "in order");
            }
        });
}

TEST_CASE_TEMPLATE("a receiver that sends nothing acknowledges in time", Transport, Libzmq, Zmtp) {
    Duo duo(Transport::value);
    constexpr std::uint64_t kLast = 40;
    duo.run(
        [&](Exchange& exchange) {
            std::span<const std::byte> received;
            for (std::uint64_t op = 2; op <= kLast; ++op) {
                expect_ok(exchange.broadcast(1, {}, received), op);
                expect_pattern(received, 1, op, 10);
            }
        },
        [&] {
            std::uint64_t acknowledged = 2;
            for (std::uint64_t op = 2; op <= kLast; ++op) {
                while (op - acknowledged >= exchange::kDepth) {
                    acknowledged = duo.raw.receive(FrameKind::ack).op;
                }
                duo.raw.send_data(op, 10);
            }
            // It may be behind with reading now, so stay until it has all.
            duo.raw.receive(FrameKind::abandon);
        });
    CHECK(duo.plane.stats().malformed == 0);
}

TEST_CASE_TEMPLATE("a peer that answers but has nothing is not silent", Transport, Libzmq, Zmtp) {
    Duo duo(Transport::value, 1s);  // so long that a loaded machine does not reach it by itself
    duo.run([&](Exchange& exchange) { gather_and_check(exchange, 2, 64); },
            [&] {
                for (int i = 0; i < 14; ++i) {
                    std::this_thread::sleep_for(100ms);
                    auto ack = duo.raw.header(FrameKind::ack, 2);
                    ack.to = 0;
                    duo.raw.send(ack);
                }
                duo.raw.send_data(2, 64);
            });
}

TEST_CASE_TEMPLATE("a hello of another plan's size or of another device ends the join", Transport,
                   Libzmq, Zmtp) {
    for (const bool wrong_size : {true, false}) {
        CAPTURE(wrong_size);
        Duo duo(Transport::value);
        JoinResult joined;
        run_ranks(2, [&](std::uint32_t rank) {
            if (rank == 0) {
                joined = duo.plane.join(duo.plan, 0,
                                        {{duo.ids[0], {}, duo.plane.endpoint("127.0.0.1")},
                                         {duo.ids[1], {}, duo.raw.endpoint()}},
                                        duo.options, {});
            } else {
                duo.raw.await_subscriptions(2);
                duo.raw.send_hello(wrong_size ? 3 : 2, duo.ids[wrong_size ? 1 : 0]);
                duo.raw.receive(FrameKind::abandon);
            }
        });
        CHECK(joined.exchange == nullptr);
        CHECK(joined.status == ExchangeStatus::aborted);
        CHECK(joined.why.what.find("rank 1") != std::string::npos);
    }
}

TEST_CASE_TEMPLATE("connections that are cut all the time lose nothing", Fixture, ZmqFixture,
                   CurveFixture, ZmtpFixture, SealedFixture) {
    constexpr std::uint32_t kSize = 3;
    // As many steps as fit into the time, so that a loaded or instrumented run stays short.
    constexpr auto kTime = 1500ms;
    constexpr std::uint64_t kLeast = 100;
    constexpr std::uint64_t kGathers = 6;
    Fixture fixture(kSize);
    std::vector<std::unique_ptr<CuttingProxy>> proxies;
    for (std::uint32_t r = 0; r < kSize; ++r) {
        // Different periods, so that cuts meet in every combination.
        proxies.push_back(
            std::make_unique<CuttingProxy>(fixture.planes[r]->port(), 70ms + r * 9ms, 8192));
        fixture.peers[r].endpoint = proxies.back()->endpoint();
    }
    std::atomic<std::uint64_t> finished{0};
    std::uint64_t steps = 0;
    run_ranks(kSize, [&](std::uint32_t rank) {
        const auto exchange = fixture.join(rank);
        Views theirs;
        std::span<const std::byte> received;
        const auto start = Clock::now();
        bool last = false;
        for (std::uint64_t step = 1; !last; ++step) {
            if (rank == 0) steps = step;
            // One byte more says that it is the last step.
            last = step > kLeast && Clock::now() - start > kTime;
            expect_ok(exchange->broadcast(0, pattern(0, step, last ? 501 : 500), received), step);
            last = received.size() == 501;
            expect_pattern(received, 0, step, last ? 501 : 500);
            for (std::uint64_t i = 0; i < kGathers; ++i) {
                const std::size_t size = i == 3 ? 40000 : 2176;
                expect_ok(exchange->all_gather(pattern(rank, step * 10 + i, size), theirs), step);
                for (std::uint32_t r = 0; r < kSize; ++r) {
                    expect_pattern(theirs[r], r, step * 10 + i, size);
                }
            }
            const Parts mine(rank, kSize, step, [&](std::uint32_t r) { return 3000 * r + rank; });
            expect_ok(exchange->all_to_all(mine.views, theirs), step);
            for (std::uint32_t r = 0; r < kSize; ++r) {
                expect_pattern(theirs[r], way(r, rank), step, 3000 * rank + r);
            }
            expect_ok(exchange->gather(0, pattern(rank, step, 64), theirs), step);
            for (std::uint32_t r = 0; rank == 0 && r < kSize; ++r) {
                expect_pattern(theirs[r], r, step, 64);
            }
        }
        ++finished;
        end_together(fixture, *exchange);
    });
    CHECK(finished == kSize);
    int cuts = 0;
    for (const auto& proxy : proxies) cuts += proxy->cuts();
    std::uint64_t resent = 0;
    for (const auto& plane : fixture.planes) resent += plane->stats().resent;
    const std::uint64_t collectives = steps * (kGathers + 3);
    MESSAGE(collectives << " collectives, " << cuts << " connections cut, " << resent
                        << " frames resent");
    CHECK(cuts >= 10);
    CHECK(resent >= 1);
}

TEST_CASE_TEMPLATE("a peer whose connections freeze times out", Fixture, ZmqFixture, ZmtpFixture) {
    Fixture fixture(2, 200ms);
    CuttingProxy proxy(fixture.planes[1]->port(), 0ms);
    fixture.peers[1].endpoint = proxy.endpoint();
    std::atomic<int> failed{0};
    run_ranks(2, [&](std::uint32_t rank) {
        const auto exchange = fixture.join(rank);
        Views theirs;
        for (std::uint64_t step = 1;; ++step) {
            if (step == 100 && rank == 0) proxy.freeze();
            const auto start = Clock::now();
            const auto status = exchange->all_gather(pattern(rank, step, 200), theirs);
            if (status == ExchangeStatus::ok) continue;
            expect(step >= 100, "not before");
            // Rank 0 hears nothing any more; rank 1 hears rank 0 give up.
            if (rank == 0) {
                expect(status == ExchangeStatus::timed_out, "timed out");
                expect(Clock::now() - start < 5s, "at the limit");
                expect(exchange->failure().what.find("rank 1") != std::string::npos, "names it");
                expect(exchange->failure().missing == std::vector{fixture.peers[1].id}, "and who");
            }
            ++failed;
            return;
        }
    });
    CHECK(failed == 2);
}

TEST_CASE_TEMPLATE("a root whose connections are cut while it idles reaches everyone afterwards",
                   Fixture, ZmqFixture, ZmtpFixture) {
    constexpr std::uint32_t kSize = 3;
    Fixture fixture(kSize, 1s);
    std::vector<std::unique_ptr<CuttingProxy>> proxies;
    for (std::uint32_t r = 0; r < kSize; ++r) {
        proxies.push_back(std::make_unique<CuttingProxy>(fixture.planes[r]->port(), 0ms));
        fixture.peers[r].endpoint = proxies.back()->endpoint();
    }
    run_ranks(kSize, [&](std::uint32_t rank) {
        const auto exchange = fixture.join(rank);
        for (std::uint64_t step = 0; step < 4; ++step) {
            if (rank == 0) {
                for (const auto& proxy : proxies) proxy->cut_every(20ms);
                std::this_thread::sleep_for(100ms);
                for (const auto& proxy : proxies) proxy->cut_every(0ms);
            }
            std::span<const std::byte> received;
            expect_ok(exchange->broadcast(0, pattern(0, step, 99), received), step);
            expect_pattern(received, 0, step, 99);
            Views theirs;
            expect_ok(exchange->all_gather(pattern(rank, step, 99), theirs), step);
            for (std::uint32_t r = 0; r < kSize; ++r) expect_pattern(theirs[r], r, step, 99);
            expect_ok(exchange->gather(0, pattern(rank, step, 7), theirs), step);
        }
        end_together(fixture, *exchange);
    });
    CHECK(proxies[0]->cuts() > 0);
}

TEST_CASE_TEMPLATE("connections that break while they are made do not keep anyone out", Fixture,
                   CurveFixture, SealedFixture) {
    constexpr std::uint32_t kSize = 3;
    Fixture fixture(kSize);
    std::vector<std::unique_ptr<CuttingProxy>> proxies;
    for (std::uint32_t r = 0; r < kSize; ++r) {
        // Shorter than a handshake takes on most machines, at least now and then.
        proxies.push_back(std::make_unique<CuttingProxy>(fixture.planes[r]->port(), 1ms));
        fixture.peers[r].endpoint = proxies.back()->endpoint();
    }
    std::jthread relief([&] {
        std::this_thread::sleep_for(150ms);
        for (const auto& proxy : proxies) proxy->cut_every(0ms);
    });
    run_ranks(kSize, [&](std::uint32_t rank) {
        const auto exchange = fixture.join(rank);
        Views theirs;
        expect_ok(exchange->all_gather(pattern(rank, 1, 99), theirs), 1);
        for (std::uint32_t r = 0; r < kSize; ++r) expect_pattern(theirs[r], r, 1, 99);
        expect_ok(exchange->gather(0, {}, theirs), 2);
        end_together(fixture, *exchange);
    });
    CHECK(proxies[0]->cuts() > 0);
}

TEST_SUITE_END();

}  // namespace shoal::mesh::testing::socket_port_test
