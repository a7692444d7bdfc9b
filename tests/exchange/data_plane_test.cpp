// Joining and leaving plans, and who may take part.
#include "mesh/exchange/data_plane.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>

#include "mesh/exchange/frame.hpp"
#include "tests/exchange/fixtures.hpp"
#include "tests/exchange/zmtp/strict_libcrypto.hpp"

namespace shoal::mesh::testing::data_plane_test {

using namespace std::chrono_literals;

TEST_SUITE_BEGIN("data_plane");

TEST_CASE("an endpoint names the port that was bound") {
    zmq::context_t context;
    DataPlane plane(context);
    CHECK(plane.port() != 0);
    const std::string port = std::to_string(plane.port());
    CHECK(plane.endpoint("10.77.0.2") == "tcp://10.77.0.2:" + port);
    CHECK(plane.endpoint("fe80::1%eth0") == "tcp://[fe80::1%eth0]:" + port);
    CHECK(plane.endpoint("[::1]") == "tcp://[::1]:" + port);
}

TEST_CASE("an address that cannot be bound is named") {
    zmq::context_t context;
    DataPlane first(context, {"127.0.0.1"});
    const std::string port = std::to_string(first.port());
    try {
        DataPlane second(context, {"127.0.0.1", first.port()});
        FAIL("two sockets on one port");
    } catch (const std::runtime_error& error) {
        CHECK(std::string(error.what()).find("tcp://127.0.0.1:" + port) != std::string::npos);
    }
    CHECK_THROWS_AS(DataPlane(context, {"no such address"}), std::runtime_error);
}

TEST_CASE("devices whose libcrypto has one cipher alone meet under it") {
    for (const char* cipher : {"AES-256-GCM", "ChaCha20-Poly1305"}) {
        CAPTURE(cipher);
        const StrictLibcrypto strict(cipher);
        SealedFixture fixture(2);
        run_ranks(2, [&](std::uint32_t rank) {
            const auto exchange = fixture.join(rank);
            Views theirs;
            expect_ok(exchange->all_gather(pattern(rank, 1, 3000), theirs), 1);
            expect_pattern(theirs[1 - rank], 1 - rank, 1, 3000);
            expect_ok(exchange->gather(0, {}, theirs), 2);
            end_together(fixture, *exchange);
        });
        CHECK(fixture.planes[0]->links().at(0).cipher == cipher);
    }
}

TEST_CASE("without a cipher the data plane says so before anything, unless it needs none") {
    const StrictLibcrypto strict(nullptr);
    CHECK_THROWS_WITH_AS(SealedFixture(2), doctest::Contains("libcrypto refuses all ciphers"),
                         std::runtime_error);
    CHECK_NOTHROW(CurveFixture(2));
    CHECK_NOTHROW(ZmtpFixture(2));
}

TEST_CASE_TEMPLATE("the next plan begins at once", Fixture, CurveFixture, SealedFixture) {
    constexpr std::uint32_t kSize = 3;
    constexpr int kPlans = 30;
    Fixture fixture(kSize);
    std::vector<PlanId> plans;
    for (int i = 0; i < kPlans; ++i) plans.push_back(new_plan());
    run_ranks(kSize, [&](std::uint32_t rank) {
        for (int i = 0; i < kPlans; ++i) {
            // Ranks move: the same device is another rank of the next plan.
            auto peers = fixture.peers;
            std::rotate(peers.begin(), peers.begin() + i % kSize, peers.end());
            const std::uint32_t me = (rank + kSize - static_cast<std::uint32_t>(i) % kSize) % kSize;
            auto joined = fixture.planes[rank]->join(plans[static_cast<std::size_t>(i)], me, peers,
                                                     fixture.options, {});
            expect(joined.exchange != nullptr, joined.why.what);
            Views theirs;
            for (std::uint64_t step = 0; step < 5; ++step) {
                expect_ok(joined.exchange->all_gather(pattern(me, step, 300), theirs), step);
                for (std::uint32_t r = 0; r < kSize; ++r) {
                    expect_pattern(theirs[r], r, step, 300);
                }
            }
        }
    });
    for (const auto& plane : fixture.planes) {
        CHECK(plane->stats().malformed == 0);
        CHECK(plane->stats().foreign == 0);
    }
}

TEST_CASE_TEMPLATE("links tell what went over them, during a plan and after it", Fixture,
                   CurveFixture, SealedFixture, ZmtpFixture) {
    constexpr std::uint64_t kSteps = 20;
    constexpr std::size_t kSize = 500;
    Fixture fixture(2);
    CHECK(fixture.planes[0]->links().empty());
    run_ranks(2, [&](std::uint32_t rank) {
        const auto exchange = fixture.join(rank);
        Views theirs;
        for (std::uint64_t step = 0; step < kSteps; ++step) {
            // One is waited for.
            if (rank == 1) std::this_thread::sleep_for(2ms);
            expect_ok(exchange->all_gather(pattern(rank, step, kSize), theirs), step);
        }
        expect_ok(exchange->gather(0, {}, theirs), 0);
        end_together(fixture, *exchange);
    });
    const auto links = fixture.planes[0]->links();
    REQUIRE(links.size() == 1);
    const LinkReport& link = links[0];
    CHECK(link.peer == fixture.peers[1].id);
    CHECK(link.transport == (std::is_same_v<Fixture, CurveFixture> ? "libzmq" : "zmtp"));
    CHECK((link.cipher == "none") == (std::is_same_v<Fixture, ZmtpFixture>));
    // The payloads, and of each frame its header; the hellos besides.
    const std::uint64_t frames = kSteps * (kSize + exchange::kHeaderBytes);
    CHECK(link.sent_bytes >= frames);
    CHECK(link.sent_bytes < 2 * frames);
    CHECK(link.received_bytes >= frames);
    CHECK(link.received_bytes < 2 * frames);
    CHECK(link.collectives >= kSteps);
    CHECK(link.wait_p50_us > 1000);
    CHECK(fixture.planes[1]->links().at(0).wait_p50_us < link.wait_p50_us);
    // The next plan, in which the ranks are others, counts on.
    std::swap(fixture.peers[0], fixture.peers[1]);
    fixture.plan = new_plan();
    run_ranks(2, [&](std::uint32_t rank) {
        auto joined =
            fixture.planes[1 - rank]->join(fixture.plan, rank, fixture.peers, fixture.options, {});
        expect(joined.exchange != nullptr, joined.why.what);
        Views theirs;
        expect_ok(joined.exchange->all_gather(pattern(rank, 1, kSize), theirs), 1);
    });
    const LinkReport both = fixture.planes[0]->links().at(0);
    CHECK(both.peer == link.peer);
    CHECK(both.sent_bytes > link.sent_bytes + kSize);
    CHECK(both.sent_bytes < 2 * frames);
    CHECK(both.received_bytes > link.received_bytes + kSize);
    CHECK(both.collectives > link.collectives);
    CHECK(both.collectives < link.collectives + kSteps);
}

TEST_CASE_TEMPLATE("devices meet over IPv6", Fixture, ZmqFixture, CurveFixture, ZmtpFixture,
                   SealedFixture) {
    if (!std::ifstream("/proc/net/if_inet6").is_open()) {
        MESSAGE("there is no IPv6 here");
        return;
    }
    Fixture fixture(2);
    for (std::size_t r = 0; r < 2; ++r) {
        fixture.peers[r].endpoint = fixture.planes[r]->endpoint("::1");
    }
    run_ranks(2, [&](std::uint32_t rank) {
        const auto exchange = fixture.join(rank);
        Views theirs;
        expect_ok(exchange->all_gather(pattern(rank, 1, 300), theirs), 1);
        expect_ok(exchange->gather(0, {}, theirs), 0);
        end_together(fixture, *exchange);
    });
}

TEST_CASE_TEMPLATE("a plan is joined once", Fixture, ZmqFixture, ZmtpFixture) {
    Fixture fixture(2);
    run_ranks(2, [&](std::uint32_t rank) { fixture.join(rank); });
    CHECK_THROWS_AS(fixture.join(0), std::invalid_argument);
}

TEST_CASE_TEMPLATE("a rank outside the plan is refused", Fixture, ZmqFixture, ZmtpFixture) {
    Fixture fixture(2);
    CHECK_THROWS_AS((void)fixture.planes[0]->join(fixture.plan, 2, fixture.peers, {}, {}),
                    std::invalid_argument);
    CHECK_THROWS_AS((void)fixture.planes[0]->join(fixture.plan, 0, {}, {}, {}),
                    std::invalid_argument);
    const std::vector<Peer> many(exchange::kMaxRanks + 1);
    CHECK_THROWS_AS((void)fixture.planes[0]->join(fixture.plan, 0, many, {}, {}),
                    std::invalid_argument);
}

TEST_CASE_TEMPLATE("a plan of one device needs nobody", Fixture, ZmqFixture, ZmtpFixture) {
    Fixture fixture(1);
    fixture.peers[0].endpoint = "not an endpoint";
    std::stop_source stop;
    const auto joined =
        fixture.planes[0]->join(fixture.plan, 0, fixture.peers, {}, stop.get_token());
    REQUIRE(joined.exchange);
    Views theirs;
    CHECK(joined.exchange->gather(0, pattern(0, 1, 9), theirs) == ExchangeStatus::ok);
    expect_pattern(theirs.at(0), 0, 1, 9);
    std::span<const std::byte> received;
    CHECK(joined.exchange->broadcast(0, pattern(0, 2, 9), received) == ExchangeStatus::ok);
    expect_pattern(received, 0, 2, 9);
    stop.request_stop();
    CHECK(joined.exchange->all_gather({}, theirs) == ExchangeStatus::aborted);
}

TEST_CASE_TEMPLATE("a join without one of the devices times out and names it", Fixture, ZmqFixture,
                   ZmtpFixture) {
    Fixture fixture(3);
    fixture.options.timeout = 200ms;
    std::atomic<int> named{0};
    run_ranks(2, [&](std::uint32_t rank) {
        const auto joined =
            fixture.planes[rank]->join(fixture.plan, rank, fixture.peers, fixture.options, {});
        expect(!joined.exchange && joined.status == ExchangeStatus::timed_out, "timed out");
        if (joined.why.what.find("rank 2") != std::string::npos) ++named;
    });
    CHECK(named == 2);
}

TEST_CASE_TEMPLATE("a stop ends a join at once", Fixture, ZmqFixture, ZmtpFixture) {
    Fixture fixture(2);
    std::stop_source stop;
    Clock::time_point stopped;
    std::jthread stopper([&] {
        std::this_thread::sleep_for(30ms);
        stopped = Clock::now();
        stop.request_stop();
    });
    const auto joined =
        fixture.planes[0]->join(fixture.plan, 0, fixture.peers, fixture.options, stop.get_token());
    const auto ended = Clock::now();
    stopper.join();
    CHECK(joined.status == ExchangeStatus::aborted);
    CHECK(ended - stopped < 50ms);
}

TEST_CASE_TEMPLATE("an endpoint that is none is refused by name", Fixture, ZmqFixture,
                   ZmtpFixture) {
    Fixture fixture(2);
    fixture.peers[1].endpoint = "carrier pigeon";
    const auto joined =
        fixture.planes[0]->join(fixture.plan, 0, fixture.peers, fixture.options, {});
    CHECK(joined.status == ExchangeStatus::aborted);
    CHECK(joined.why.what.find("carrier pigeon") != std::string::npos);
}

TEST_CASE_TEMPLATE("a payload beyond the limit is refused before anything is sent", Fixture,
                   ZmqFixture, ZmtpFixture) {
    Fixture fixture(2);
    run_ranks(2, [&](std::uint32_t rank) {
        const auto exchange = fixture.join(rank);
        const std::vector<std::byte> huge(exchange::kMaxPayloadBytes + 1);
        Views theirs;
        Views parts(2, std::span(huge).first(100));
        parts[1 - rank] = huge;
        for (const bool apart : {false, true}) {
            try {
                if (apart) {
                    (void)exchange->all_to_all(parts, theirs);
                } else {
                    (void)exchange->all_gather(huge, theirs);
                }
                expect(false, "an error");
            } catch (const std::length_error&) {
            }
        }
        parts[1 - rank] = std::span(huge).first(rank);
        expect_ok(exchange->all_to_all(parts, theirs), 1);
        expect(theirs[1 - rank].size() == 1 - rank, "nothing of it came");
    });
}

TEST_CASE_TEMPLATE("a device with another key than the plan says gets nothing", Fixture,
                   CurveFixture, SealedFixture) {
    Fixture fixture(2);
    fixture.options.timeout = 300ms;
    auto peers = fixture.peers;
    peers[1].public_key = generate_identity().public_key;
    run_ranks(2, [&](std::uint32_t rank) {
        const auto joined = fixture.planes[rank]->join(
            fixture.plan, rank, rank == 0 ? peers : fixture.peers, fixture.options, {});
        expect(!joined.exchange, "no plan with a wrong key");
    });
}

TEST_CASE_TEMPLATE("a device that is not on the allow-list stays out, and gets in once it is",
                   Fixture, CurveFixture, SealedFixture) {
    Fixture fixture(2);
    for (const auto& context : fixture.contexts) context->revoke(fixture.peers[1].public_key);
    fixture.options.timeout = 300ms;
    run_ranks(2, [&](std::uint32_t rank) {
        const auto joined =
            fixture.planes[rank]->join(fixture.plan, rank, fixture.peers, fixture.options, {});
        expect(!joined.exchange && joined.status != ExchangeStatus::ok, "not allowed");
    });
    fixture.options.timeout = 5s;
    fixture.plan = new_plan();
    run_ranks(2, [&](std::uint32_t rank) {
        if (rank == 0) {
            std::this_thread::sleep_for(50ms);
            expect(fixture.contexts[0]->allow(fixture.peers[1].public_key), "allowed");
        }
        Views theirs;
        expect_ok(fixture.join(rank)->all_gather({}, theirs), 1);
    });
}

TEST_CASE("a member of the cluster cannot subscribe in the name of another device") {
    CurveFixture fixture(3);
    fixture.options.timeout = 300ms;
    // Rank 2's device is allowed in and asks for what rank 1 is to get.
    zmq::socket_t spy(fixture.contexts[2]->zmq(), zmq::socket_type::sub);
    fixture.contexts[2]->configure_client(spy, fixture.peers[0].public_key, kDataIoThread);
    for (const std::uint32_t to : {exchange::kEveryone, 1u}) {
        const auto topic = exchange::topic(fixture.plan, to);
        spy.set(zmq::sockopt::subscribe, zmq::const_buffer(topic.data(), topic.size()));
    }
    spy.connect(fixture.peers[0].endpoint);
    fixture.peers.pop_back();
    const auto joined =
        fixture.planes[0]->join(fixture.plan, 0, fixture.peers, fixture.options, {});
    CHECK(joined.status == ExchangeStatus::timed_out);
    CHECK(joined.why.what.find("no subscription came from rank 1") != std::string::npos);
    // It does not keep the true one out either.
    fixture.plan = new_plan();
    fixture.options.timeout = 5s;
    for (const std::uint32_t to : {exchange::kEveryone, 1u}) {
        const auto topic = exchange::topic(fixture.plan, to);
        spy.set(zmq::sockopt::subscribe, zmq::const_buffer(topic.data(), topic.size()));
    }
    run_ranks(2, [&](std::uint32_t rank) {
        if (rank == 1) std::this_thread::sleep_for(50ms);
        Views theirs;
        expect_ok(fixture.join(rank)->all_gather({}, theirs), 1);
    });
}

TEST_SUITE_END();

}  // namespace shoal::mesh::testing::data_plane_test
