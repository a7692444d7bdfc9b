// What every implementation of Exchange is tested with.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <zmq.hpp>

#include "mesh/exchange/data_plane.hpp"
#include "mesh/exchange/exchange.hpp"
#include "mesh/exchange/memory_exchange.hpp"
#include "mesh/transport/identity_store.hpp"
#include "mesh/transport/zmq_context.hpp"
#include "tests/exchange/pattern.hpp"

namespace shoal::mesh::testing {

using Clock = std::chrono::steady_clock;
using Views = std::vector<std::span<const std::byte>>;

inline void expect_ok(ExchangeStatus status, std::uint64_t step) {
    expect(status == ExchangeStatus::ok, "step " + std::to_string(step) + " ended with status " +
                                             std::to_string(static_cast<int>(status)));
}

/// Runs body(rank) in one thread per rank and rethrows the first failure.
inline void run_ranks(std::uint32_t size, const std::function<void(std::uint32_t)>& body) {
    std::vector<std::exception_ptr> failures(size);
    {
        std::vector<std::jthread> threads;
        for (std::uint32_t rank = 0; rank < size; ++rank) {
            threads.emplace_back([&, rank] {
                try {
                    body(rank);
                } catch (...) {
                    failures[rank] = std::current_exception();
                }
            });
        }
    }
    for (const auto& failure : failures) {
        if (failure) std::rethrow_exception(failure);
    }
}

/// A group of threads over MemoryExchange.
class MemoryFixture {
  public:
    static constexpr const char* kName = "memory";

    explicit MemoryFixture(std::uint32_t size,
                           std::chrono::milliseconds silence_limit = std::chrono::seconds(10))
        : group_(size, {silence_limit, stop_.get_token()}) {}

    /// Called in the thread of `rank`.
    std::unique_ptr<Exchange> join(std::uint32_t rank) { return group_.member(rank); }
    /// Stops all ranks.
    void abort() { stop_.request_stop(); }

  private:
    std::stop_source stop_;
    MemoryGroup group_;
};

/// A plan that no other test uses.
inline PlanId new_plan() {
    static std::atomic<std::uint32_t> number{0};
    PlanId plan{{7, {}}, ++number};
    plan.term.candidate.bytes.fill(0xa5);
    return plan;
}

/// Devices over sockets of 127.0.0.1, in clear. All share a context.
class ClearFixture {
  public:
    explicit ClearFixture(DataTransport transport, std::uint32_t size,
                          std::chrono::milliseconds silence_limit) {
        options.silence_limit = silence_limit;
        for (std::uint32_t r = 0; r < size; ++r) {
            planes.push_back(
                std::make_unique<DataPlane>(context_, DataPlaneOptions{.transport = transport}));
            Peer peer;
            peer.id.bytes.fill(static_cast<std::uint8_t>(r + 1));
            peer.endpoint = planes.back()->endpoint("127.0.0.1");
            peers.push_back(std::move(peer));
        }
    }
    std::unique_ptr<Exchange> join(std::uint32_t rank) { return join(rank, plan); }
    std::unique_ptr<Exchange> join(std::uint32_t rank, const PlanId& id) {
        auto result = planes[rank]->join(id, rank, peers, options, stop_.get_token());
        if (!result.exchange) throw std::runtime_error("cannot join: " + result.why.what);
        return std::move(result.exchange);
    }
    void abort() { stop_.request_stop(); }

  private:
    zmq::context_t context_{1};  // outlives the planes
    std::stop_source stop_;

  public:
    PlanId plan = new_plan();
    JoinOptions options;
    std::vector<Peer> peers;
    std::vector<std::unique_ptr<DataPlane>> planes;
    std::atomic<std::uint32_t> at_the_end{0};  // ranks, see end_together
};

/// The same encrypted; every device has a context and an identity of its own.
class SecureFixture {
  public:
    explicit SecureFixture(DataTransport transport, std::uint32_t size,
                           std::chrono::milliseconds silence_limit) {
        options.silence_limit = silence_limit;
        for (std::uint32_t r = 0; r < size; ++r) {
            const Identity identity = generate_identity();
            contexts.push_back(std::make_unique<ZmqContext>(identity));
            planes.push_back(std::make_unique<DataPlane>(*contexts.back(),
                                                         DataPlaneOptions{.transport = transport}));
            peers.push_back(
                {identity.id, identity.public_key, planes.back()->endpoint("127.0.0.1")});
        }
        for (const auto& context : contexts) {
            for (const Peer& peer : peers) {
                if (!context->allow(peer.public_key)) throw std::runtime_error("allow-list full");
            }
        }
    }
    std::unique_ptr<Exchange> join(std::uint32_t rank) {
        auto result = planes[rank]->join(plan, rank, peers, options, stop_.get_token());
        if (!result.exchange) throw std::runtime_error("cannot join: " + result.why.what);
        return std::move(result.exchange);
    }
    void abort() { stop_.request_stop(); }

    PlanId plan = new_plan();
    JoinOptions options;
    std::vector<Peer> peers;
    std::vector<std::unique_ptr<ZmqContext>> contexts;  // outlive the planes
    std::vector<std::unique_ptr<DataPlane>> planes;
    std::atomic<std::uint32_t> at_the_end{0};  // ranks, see end_together

  private:
    std::stop_source stop_;
};

template <typename Base, DataTransport kTransport>
class Over : public Base {
  public:
    explicit Over(std::uint32_t size,
                  std::chrono::milliseconds silence_limit = std::chrono::seconds(10))
        : Base(kTransport, size, silence_limit) {}
};
using ZmqFixture = Over<ClearFixture, DataTransport::libzmq>;
using CurveFixture = Over<SecureFixture, DataTransport::libzmq>;
using ZmtpFixture = Over<ClearFixture, DataTransport::zmtp>;
using SealedFixture = Over<SecureFixture, DataTransport::zmtp>;

/// After a gather to rank 0: a rank that left at once could not repeat its part if that was lost.
template <typename Fixture>
void end_together(Fixture& fixture, Exchange& exchange) {
    if (exchange.rank() == 0) {
        // A part may be here before who sent it knows that it is on its way whole.
        const auto limit = Clock::now() + std::chrono::seconds(10);
        while (fixture.at_the_end + 1 < exchange.size() && Clock::now() < limit) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        fixture.abort();
    } else {
        ++fixture.at_the_end;
        std::span<const std::byte> received;
        expect(exchange.broadcast(0, {}, received) == ExchangeStatus::aborted, "the end");
    }
}

}  // namespace shoal::mesh::testing
