// Sums in one hop and in two: the same bits everywhere, near float64, in as many bytes as they say.
#include "daemon/exec/all_reduce.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>
#include <zmq.hpp>

#include "daemon/engine/exchange_collective.hpp"
#include "mesh/exchange/data_plane.hpp"
#include "mesh/exchange/frame.hpp"
#include "mesh/exchange/memory_exchange.hpp"

namespace shoal::exec {
namespace {

constexpr PayloadType kTypes[] = {PayloadType::q8_0, PayloadType::q16, PayloadType::f16,
                                  PayloadType::f32};
/// More rows than a step has: sums are rounded as in two hops and travel in one.
constexpr std::uint32_t kNeverReached = 1000;

struct Shape {
    std::uint32_t devices, dim;
    std::size_t rows;
    std::uint32_t idle = ~0U;  ///< a rank without a share
};

std::vector<float> normal(std::size_t n, std::uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> values;
    std::vector<float> x(n);
    for (float& v : x) v = values(random);
    return x;
}

/// body(rank) in a thread of each rank.
void run_ranks(std::uint32_t ranks, const std::function<void(std::uint32_t)>& body) {
    std::vector<std::jthread> threads;
    for (std::uint32_t r = 0; r < ranks; ++r) threads.emplace_back([&body, r] { body(r); });
}

/// x of every rank after three all-reduces, each of other partial sums.
std::vector<std::vector<float>> reduced(const Shape& shape, PayloadType type,
                                        std::uint32_t scatter_rows, std::uint32_t threads) {
    auto exchanges = mesh::make_memory_exchange(shape.devices);
    std::vector<std::vector<float>> all(shape.devices);
    run_ranks(shape.devices, [&](std::uint32_t rank) {
        EffortCounter effort;
        ExchangeCollective collective(*exchanges[rank], effort);
        ThreadPool pool(threads);
        // The portable kernels on one device, as if its CPU had no others.
        const kernels::Table& kernels =
            rank == 0 ? kernels::reference() : *kernels::table_for(kernels::best_isa());
        AllReduce reduce(kernels, type, shape.dim, shape.rows, threads, scatter_rows);
        const std::size_t n = shape.rows * shape.dim;
        std::vector<float> x = normal(n, 99);
        for (std::uint32_t i = 0; i < 3; ++i) {
            const std::vector<float> partial = normal(n, 10 * rank + i);
            const bool idle = rank == shape.idle;
            const Status status =
                reduce.exchange(collective, pool, shape.rows, idle ? nullptr : partial.data());
            if (status != Status::ok) return;
            pool.run(shape.rows, 2, [&](std::size_t b, std::size_t e, std::uint32_t worker) {
                reduce.add(b, e, x.data(), worker);
            });
        }
        all[rank] = std::move(x);
    });
    return all;
}

/// The largest error of the three all-reduces against float64.
double error(const Shape& shape, const std::vector<float>& x) {
    std::vector<double> exact(x.size());
    const std::vector<float> begun = normal(x.size(), 99);
    std::copy(begun.begin(), begun.end(), exact.begin());
    for (std::uint32_t rank = 0; rank < shape.devices; ++rank) {
        for (std::uint32_t i = 0; i < 3 && rank != shape.idle; ++i) {
            const std::vector<float> partial = normal(x.size(), 10 * rank + i);
            for (std::size_t k = 0; k < x.size(); ++k) exact[k] += partial[k];
        }
    }
    double most = 0;
    for (std::size_t k = 0; k < x.size(); ++k) most = std::max(most, std::abs(exact[k] - x[k]));
    return most;
}

// For normal partial sums: a step of each form, of each partial sum and of their sum, thrice.
double bound(PayloadType type, std::uint32_t devices) {
    const double sums = 3 * (devices + std::sqrt(devices));
    switch (type) {
        case PayloadType::q8_0:
            return sums * 5 / 254;
        case PayloadType::q16:
            return sums * 5 * 0x1p-15;
        case PayloadType::f16:
            return sums * 5 * 0x1p-11;
        case PayloadType::f32:
            return sums * 5 * 0x1p-22;
    }
    return 0;
}

/// A plan of others that say whatever they like.
struct Scripted final : Collective {
    std::vector<std::vector<std::byte>> parts, sums;
    std::uint32_t rank() const noexcept override { return 1; }
    std::uint32_t size() const noexcept override { return static_cast<std::uint32_t>(sums.size()); }
    Status all_gather(std::span<const std::byte>,
                      std::vector<std::span<const std::byte>>& theirs) override {
        theirs.assign(sums.begin(), sums.end());
        return Status::ok;
    }
    Status all_to_all(std::span<const std::span<const std::byte>>,
                      std::vector<std::span<const std::byte>>& theirs) override {
        theirs.assign(parts.begin(), parts.end());
        return Status::ok;
    }
    Status broadcast(std::span<const std::byte>, std::span<const std::byte>&) override {
        return Status::aborted;
    }
    Status gather(std::span<const std::byte>, std::vector<std::span<const std::byte>>&) override {
        return Status::aborted;
    }
};

}  // namespace

TEST_CASE("parts of columns cover them once, on steps, as evenly as these allow") {
    for (const std::uint32_t dim : {0U, 32U, 96U, 1504U, 2048U}) {
        for (std::uint32_t devices = 1; devices <= 9; ++devices) {
            CHECK(part_begin(dim, 32, devices, 0) == 0);
            CHECK(part_begin(dim, 32, devices, devices) == dim);
            for (std::uint32_t r = 0; r < devices; ++r) {
                const std::uint32_t begin = part_begin(dim, 32, devices, r);
                const std::uint32_t steps = (part_begin(dim, 32, devices, r + 1) - begin) / 32;
                CHECK(begin % 32 == 0);
                CHECK(steps >= dim / 32 / devices);
                CHECK(steps <= dim / 32 / devices + 1);
            }
        }
    }
}

TEST_CASE("sums in two hops and in one are the same bits on all devices, near float64") {
    std::vector<Shape> shapes;
    for (std::uint32_t devices = 2; devices <= 8; ++devices) shapes.push_back({devices, 320, 9});
    shapes.push_back({3, 64, 5});        // a part is empty
    shapes.push_back({8, 32, 1});        // all but one
    shapes.push_back({5, 100, 6});       // no multiple of 32
    shapes.push_back({4, 3, 4});         // fewer columns than devices
    shapes.push_back({4, 320, 9, 2});    // a share is empty
    shapes.push_back({3, 1504, 33, 0});  // 47 blocks, and the root has no share
    for (const Shape& shape : shapes) {
        for (const PayloadType type : kTypes) {
            CAPTURE(shape.devices);
            CAPTURE(shape.dim);
            CAPTURE(std::string(name(type)));
            const auto two = reduced(shape, type, 1, 1 + shape.devices % 3);
            REQUIRE(two[0].size() == shape.rows * shape.dim);
            for (const auto& x : two) CHECK(x == two[0]);
            CHECK(reduced(shape, type, kNeverReached, 2) == two);
            CHECK(reduced(shape, type, static_cast<std::uint32_t>(shape.rows), 1) == two);
            const auto each = reduced(shape, type, 0, 1);
            for (const auto& x : each) CHECK(x == each[0]);
            const bool f32 = type == PayloadType::f32 || shape.dim % 32 != 0;
            const double limit =
                bound(f32 && type != PayloadType::f16 ? PayloadType::f32 : type, shape.devices);
            CHECK(error(shape, two[0]) < limit);
            CHECK(error(shape, each[0]) < limit);
        }
    }
}

TEST_CASE("parts and sums of another length end the step") {
    ThreadPool pool(1);
    const std::vector<float> partial(2 * 64, 1.0F);
    const auto status = [&](std::vector<std::size_t> parts, std::vector<std::size_t> sums) {
        Scripted others;
        for (const std::size_t n : parts) others.parts.emplace_back(n);
        for (const std::size_t n : sums) others.sums.emplace_back(n);
        AllReduce reduce(kernels::reference(), PayloadType::q8_0, 64, 2, 1, 1);
        return reduce.exchange(others, pool, 2, partial.data());
    };
    // Of three devices the first has no column, the others a block each; two rows.
    CHECK(status({68, 68, 68}, {0, 68, 68}) == Status::ok);
    CHECK(status({0, 68, 0}, {0, 68, 68}) == Status::ok);
    for (const std::size_t wrong : {1U, 34U, 67U, 69U, 136U}) {
        CAPTURE(wrong);
        CHECK(status({68, 68, wrong}, {0, 68, 68}) == Status::malformed);
        CHECK(status({68, 68, 68}, {0, 68, wrong}) == Status::malformed);
    }
    CHECK(status({68, 68, 68}, {0, 68, 0}) == Status::malformed);
    CHECK(status({68, 68, 68}, {34, 68, 68}) == Status::malformed);
}

TEST_CASE("bytes on the wire are what the formula says, in one hop and in two") {
    constexpr std::uint32_t kDevices = 4, kDim = 320;
    constexpr std::size_t kRows = 12;
    constexpr std::uint64_t kTimes = 5;
    const std::size_t row = PayloadCode(kernels::reference(), PayloadType::q8_0, kDim).bytes(kDim);
    for (const bool two : {false, true}) {
        CAPTURE(two);
        std::vector<std::uint64_t> sent(kDevices);
        std::uint64_t repeated = 1;
        // What a loaded machine has asked for again would be counted, too.
        for (int attempt = 0; attempt < 5 && repeated != 0; ++attempt) {
            zmq::context_t context;
            std::vector<std::unique_ptr<mesh::DataPlane>> planes;
            std::vector<mesh::Peer> peers(kDevices);
            for (std::uint32_t r = 0; r < kDevices; ++r) {
                planes.push_back(std::make_unique<mesh::DataPlane>(context));
                peers[r].id.bytes.fill(static_cast<std::uint8_t>(r + 1));
                peers[r].endpoint = planes[r]->endpoint("127.0.0.1");
            }
            const auto sum_of = [&](std::uint32_t r, std::uint64_t mesh::LinkReport::*what) {
                std::uint64_t all = 0;
                for (const mesh::LinkReport& link : planes[r]->links()) all += link.*what;
                return all;
            };
            std::vector<std::uint64_t> again(kDevices, 1);
            // Planes belong to the threads that use them, all but links().
            run_ranks(kDevices, [&](std::uint32_t r) {
                auto joined = planes[r]->join({{1, {}}, 1}, r, peers, {}, {});
                if (!joined.exchange) return;
                EffortCounter effort;
                ExchangeCollective collective(*joined.exchange, effort);
                ThreadPool pool(1);
                AllReduce reduce(kernels::reference(), PayloadType::q8_0, kDim, kRows, 1,
                                 two ? 1 : kNeverReached);
                const std::vector<float> partial = normal(kRows * kDim, r);
                const std::uint64_t before = sum_of(r, &mesh::LinkReport::sent_bytes);
                for (std::uint64_t i = 0; i < kTimes; ++i) {
                    if (reduce.exchange(collective, pool, kRows, partial.data()) != Status::ok) {
                        return;
                    }
                }
                sent[r] = sum_of(r, &mesh::LinkReport::sent_bytes) - before;
                again[r] = sum_of(r, &mesh::LinkReport::resent);
            });
            repeated = 0;
            for (const std::uint64_t n : again) repeated += n;
        }
        REQUIRE(repeated == 0);
        std::uint64_t all = 0;
        for (const std::uint64_t bytes : sent) all += bytes / kTimes;
        // Of all devices together: (P-1) N each, or 2 (P-1)/P N each; and a head for each frame.
        constexpr std::uint64_t kPairs = kDevices * (kDevices - 1);
        const std::uint64_t n = kRows * row;
        CHECK(all == (two ? 2 * (kDevices - 1) * n : kPairs * n) +
                         (two ? 2 : 1) * kPairs * mesh::exchange::kHeaderBytes);
    }
}

}  // namespace shoal::exec
