#include "daemon/links/link_measurement.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "mesh/exchange/memory_exchange.hpp"

namespace link_measurement_test {

using namespace shoal;
using Bytes = std::span<const std::byte>;

namespace {

/// A link with a wait and a speed each way: whoever has sent goes on when the bytes are gone.
class SlowLink final : public mesh::Exchange {
  public:
    SlowLink(std::unique_ptr<mesh::Exchange> inner, double bytes_per_second,
             std::chrono::microseconds wait)
        : inner_(std::move(inner)), bytes_per_second_(bytes_per_second), wait_(wait) {}

    std::uint32_t rank() const noexcept override { return inner_->rank(); }
    std::uint32_t size() const noexcept override { return inner_->size(); }
    mesh::ExchangeStatus all_gather(Bytes mine, std::vector<Bytes>& theirs) override {
        std::this_thread::sleep_for(wait_);
        return inner_->all_gather(mine, theirs);
    }
    mesh::ExchangeStatus all_to_all(std::span<const Bytes> mine,
                                    std::vector<Bytes>& theirs) override {
        const std::size_t bytes = mine[1 - rank()].size();
        std::this_thread::sleep_for(
            wait_ + std::chrono::duration<double>(static_cast<double>(bytes) / bytes_per_second_));
        return inner_->all_to_all(mine, theirs);
    }
    mesh::ExchangeStatus broadcast(std::uint32_t root, Bytes payload, Bytes& received) override {
        return inner_->broadcast(root, payload, received);
    }
    mesh::ExchangeStatus gather(std::uint32_t root, Bytes mine,
                                std::vector<Bytes>& theirs) override {
        return inner_->gather(root, mine, theirs);
    }

  private:
    std::unique_ptr<mesh::Exchange> inner_;
    double bytes_per_second_;
    std::chrono::microseconds wait_;
};

struct Both {
    LinkMeasurement first, second;
    double seconds = 0;
};

Both measure(std::unique_ptr<mesh::Exchange> first, std::unique_ptr<mesh::Exchange> second) {
    const auto begin = std::chrono::steady_clock::now();
    auto other = std::async(std::launch::async, [&] { return measure_link(*second); });
    Both both;
    both.first = measure_link(*first);
    both.second = other.get();
    both.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return both;
}

}  // namespace

TEST_SUITE("link measurement") {
    TEST_CASE("a link is as slow as it is, each way") {
        auto members = mesh::make_memory_exchange(2);
        const Both both = measure(
            std::make_unique<SlowLink>(std::move(members[0]), 20e6, std::chrono::microseconds(500)),
            std::make_unique<SlowLink>(std::move(members[1]), 5e6, std::chrono::microseconds(500)));
        CHECK(both.first.error.empty());
        CHECK(both.second.error.empty());
        CHECK_FALSE(both.second.figures);
        REQUIRE(both.first.figures);
        const LinkFigures& f = *both.first.figures;
        // Sleeping takes longer than it was asked for, on a machine with other work by far, and what
        // was late then comes at once.
        CHECK(f.exchange_seconds >= 500e-6);
        CHECK(f.out_bytes_per_second > 20e6 / 4);
        CHECK(f.out_bytes_per_second < 20e6 * 3);
        CHECK(f.in_bytes_per_second > 5e6 / 4);
        CHECK(f.in_bytes_per_second < 5e6 * 3);
    }

    TEST_CASE("a link of any speed is measured soon") {
        auto quick = mesh::make_memory_exchange(2);
        const Both memory = measure(std::move(quick[0]), std::move(quick[1]));
        REQUIRE(memory.first.figures);
        CHECK(memory.first.figures->out_bytes_per_second > 1e6);
        auto slow = mesh::make_memory_exchange(2);
        const Both radio = measure(
            std::make_unique<SlowLink>(std::move(slow[0]), 200e3, std::chrono::milliseconds(20)),
            std::make_unique<SlowLink>(std::move(slow[1]), 200e3, std::chrono::milliseconds(20)));
        REQUIRE(radio.first.figures);
        CHECK(radio.first.figures->exchange_seconds >= 20e-3);
        CHECK(radio.first.figures->in_bytes_per_second < 300e3);
        CHECK(radio.seconds < 5);
    }

    TEST_CASE("when one goes, the other knows") {
        auto members = mesh::make_memory_exchange(2);
        auto one = std::move(members[0]);
        members.clear();
        const LinkMeasurement alone = measure_link(*one);
        CHECK_FALSE(alone.figures);
        CHECK_FALSE(alone.error.empty());
    }

    TEST_CASE("a device that says what makes no sense is not followed") {
        for (const int kind : {0, 9, 2}) {
            auto members = mesh::make_memory_exchange(2);
            auto other = std::async(std::launch::async, [&] { return measure_link(*members[1]); });
            std::vector<std::byte> said(LinkMeasurement::kSmallBytes);
            said[0] = static_cast<std::byte>(kind);
            said[4] = std::byte{0xFF};  // a burst of gigabytes
            std::vector<Bytes> theirs;
            CHECK(members[0]->all_gather(said, theirs) == mesh::ExchangeStatus::ok);
            CHECK(other.get().error == "the other device does something else");
        }
    }
}

}  // namespace link_measurement_test
