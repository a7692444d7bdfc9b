// Two devices over sockets, of which a test makes the other by hand.
#pragma once

#include <chrono>
#include <functional>
#include <stop_token>
#include <type_traits>

#include "tests/exchange/fixtures.hpp"
#include "tests/exchange/raw_peer.hpp"

namespace shoal::mesh::testing {

/// Rank 0 is real, rank 1 made by hand; joined when `body` runs.
struct Duo {
    explicit Duo(DataTransport transport,
                 std::chrono::milliseconds silence_limit = std::chrono::seconds(5))
        : plane(context, DataPlaneOptions{.bind = "127.0.0.1", .transport = transport}) {
        ids[0].bytes.fill(1);
        ids[1].bytes.fill(2);
        options.silence_limit = silence_limit;
        options.timeout = std::chrono::seconds(5);
        raw.connect(plane.endpoint("127.0.0.1"));
    }
    /// `real` runs in a thread of its own with the exchange of rank 0.
    void run(const std::function<void(Exchange&)>& real, const std::function<void()>& by_hand) {
        run_ranks(2, [&](std::uint32_t rank) {
            if (rank == 0) {
                auto joined = plane.join(
                    plan, 0,
                    {{ids[0], {}, plane.endpoint("127.0.0.1")}, {ids[1], {}, raw.endpoint()}},
                    options, stop.get_token());
                expect(joined.exchange != nullptr, joined.why.what);
                real(*joined.exchange);
            } else {
                raw.await_subscriptions(2);
                raw.send_hello(2, ids[1]);
                expect(raw.receive(exchange::FrameKind::data).op == 1, "the hello comes first");
                by_hand();
            }
        });
    }

    zmq::context_t context{1};
    PlanId plan = new_plan();
    DeviceId ids[2];
    DataPlane plane;
    RawPeer raw{context, 1, plan};
    JoinOptions options;
    std::stop_source stop;
};

template <DataTransport kTransport>
using By = std::integral_constant<DataTransport, kTransport>;
using Libzmq = By<DataTransport::libzmq>;
using Zmtp = By<DataTransport::zmtp>;

inline void gather_and_check(Exchange& exchange, std::uint64_t op, std::size_t size) {
    Views theirs;
    expect_ok(exchange.all_gather(pattern(0, op, size), theirs), op);
    expect_pattern(theirs[1], 1, op, size);
}

}  // namespace shoal::mesh::testing
