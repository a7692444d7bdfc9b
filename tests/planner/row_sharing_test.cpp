// Who takes how many rows of long prompts, and when that pays.
#include "daemon/planner/row_sharing.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "tests/instrumented.hpp"
#include "tests/planner/random_cluster.hpp"

namespace shoal::tests {

using planner::Alternative;
using planner::Chooser;
using planner::Cluster;
using planner::Terms;

namespace {

constexpr std::uint64_t kRowBuffers = std::uint64_t{16} << 20;

Terms sharing_terms(bool always) {
    Terms terms;
    terms.demand = [](std::size_t devices) {
        return shard::Demand{2048, 256, (std::uint64_t{8} << 20) / devices};
    };
    const auto buffers = [](std::span<const shard::Slice>, std::span<const std::uint32_t> shares,
                            std::size_t rank) { return shares[rank] == 0 ? 4096 : kRowBuffers; };
    terms.rows = planner::RowTerms{buffers, always};
    return terms;
}

// Boards with the file, equal and without a limit of memory.
Cluster boards(std::size_t count) {
    Cluster cluster;
    cluster.devices.assign(
        count, {"board", planner::DeviceProfile::guess(11e9), 0, 1, /* whole_file */ true});
    return cluster;
}

std::optional<Alternative> among_all(const planner::ShapedModel& model, const Cluster& cluster,
                                     const Terms& terms) {
    std::vector<std::size_t> members(cluster.devices.size());
    std::iota(members.begin(), members.end(), 0);
    return Chooser(model.header, model.hparams, cluster, terms).among(members);
}

const planner::Shape k8B{"Llama-3.1-8B", 32, 4096, 32, 8, 128, 14336, 128256};

}  // namespace

TEST_CASE("rows go to those that have file and memory, within it, and only where it pays") {
    std::size_t shared = 0, unshared = 0, without = 0;
    for (std::uint32_t seed = 0; seed < by_speed(600U, 60U); ++seed) {
        CAPTURE(seed);
        Random random(seed);
        const auto model = planner::model_of(random_shape(random, 8));
        Cluster cluster = random_cluster(random, random.whole(2, 6));
        const auto layers = shard::whole_layer_bytes(model.header, model.hparams);
        const shard::SliceSizes sizes(model.header, model.hparams);
        const std::uint64_t all = sizes.weight_bytes(shard::whole_slice(model.hparams));
        for (auto& device : cluster.devices) {
            device.whole_file = random.whole(0, 3) != 0;
            if (random.whole(0, 1) == 0) {
                device.memory_bytes =
                    static_cast<std::uint64_t>(double(all) * random.between(0.5, 4));
            }
        }
        const bool always = seed % 3 == 0;
        Terms terms = sharing_terms(always);
        terms.overlap = false;  // Halves have to be worth something of their own.
        const auto some = among_all(model, cluster, terms);
        if (!some) continue;
        Terms tensor = terms;
        tensor.rows.reset();
        const auto plain = among_all(model, cluster, tensor);
        if (!always) CHECK(some->seconds <= plain->seconds * 1.001);
        if (!some->sharing) {
            ++unshared;
            continue;
        }
        ++shared;
        CHECK(some->sharing->from >= 1);
        const shard::Demand demand = terms.demand(some->members.size());
        std::uint64_t rows = 0;
        for (std::size_t r = 0; r < some->members.size(); ++r) {
            const auto& device = cluster.devices[some->members[r]];
            const std::uint64_t whole = some->sharing->whole_bytes[r];
            const bool takes = some->sharing->shares[r] != 0;
            rows += some->sharing->shares[r];
            without += takes ? 0 : 1;
            CHECK((device.whole_file || !takes));
            CHECK(whole <= layers.all);
            CHECK(whole >= (!takes ? 0 : always ? layers.largest : layers.all));
            if (device.memory_bytes == 0) continue;
            CHECK(sizes.weight_bytes(some->slices[r]) + demand.buffer_bytes + whole +
                      shard::kv_bytes(model.hparams, some->slices[r], demand.kv_positions,
                                      demand.kv_head_bytes) +
                      (takes ? kRowBuffers : 4096) <=
                  device.memory_bytes);
        }
        CHECK(rows > 0);
    }
    CHECK(shared > by_speed(150U, 15U));
    CHECK(unshared > by_speed(50U, 5U));
    CHECK(without > by_speed(50U, 5U));
}

TEST_CASE("equal devices take equal rows, and a slow network makes it worth more") {
    const auto model = planner::model_of(k8B);
    const auto gain = [&](double bytes_per_second) {
        Cluster cluster = boards(4);
        cluster.usual.bytes_per_second = bytes_per_second;
        const auto some = among_all(model, cluster, sharing_terms(false));
        REQUIRE(some);
        REQUIRE(some->sharing);
        for (const std::uint32_t share : some->sharing->shares) {
            CHECK(share == some->sharing->shares[0]);
        }
        const std::vector<std::size_t> members{0, 1, 2, 3};
        const planner::ModelWork work = planner::work_of(model.header, model.hparams);
        const planner::Predictor tensor(work, cluster, members, {});
        const planner::Predictor sharing(work, cluster, members, {}, &*some->sharing);
        return tensor.prefill(some->slices, 512, 0).sum() /
               sharing.prefill(some->slices, 512, 0).sum();
    };
    const double at_gigabit = gain(110e6), at_hundred = gain(11e6);
    CHECK(at_gigabit > 1.05);
    CHECK(at_hundred > 1.5 * at_gigabit);
}

TEST_CASE("large steps have halves where the network is slow, and nowhere else unless asked for") {
    const auto model = planner::model_of(k8B);
    const auto halves = [&](std::size_t devices, double bytes_per_second, bool rows,
                            std::optional<bool> setting) {
        Cluster cluster = boards(devices);
        cluster.usual.bytes_per_second = bytes_per_second;
        Terms terms = sharing_terms(false);
        if (!rows) terms.rows.reset();
        terms.overlap = setting;
        const auto some = among_all(model, cluster, terms);
        REQUIRE(some);
        return some->overlap;
    };
    for (const bool rows : {false, true}) {
        CHECK(halves(2, 11e6, rows, {}));
        CHECK(halves(4, 11e6, rows, {}));
        CHECK(!halves(2, 5e9, rows, {}));
        CHECK(!halves(1, 11e6, rows, {}));
        CHECK(!halves(2, 11e6, rows, false));
        CHECK(halves(2, 5e9, rows, true));
        CHECK(!halves(1, 11e6, rows, true));
    }
}

TEST_CASE("halves are taken exactly where they make a prompt quicker by what is worth it") {
    const auto model = planner::model_of(k8B);
    std::size_t taken = 0, left = 0, nearly = 0;
    for (double bytes_per_second = 20e6; bytes_per_second < 150e6; bytes_per_second *= 1.02) {
        CAPTURE(bytes_per_second);
        Cluster cluster = boards(2);
        cluster.usual.bytes_per_second = bytes_per_second;
        const auto prompt = [&](std::optional<bool> setting, bool& overlap) {
            Terms terms = sharing_terms(false);
            terms.rows.reset();
            terms.overlap = setting;
            const Chooser chooser(model.header, model.hparams, cluster, terms);
            const auto some = chooser.among({0, 1});
            REQUIRE(some);
            overlap = some->overlap;
            return chooser.predictor(*some).prefill(some->slices, 512, 0).sum();
        };
        bool overlap = false;
        const double gain = prompt(false, overlap) / prompt(true, overlap);
        static_cast<void>(prompt({}, overlap));
        CHECK(overlap == (gain > Chooser::kWorth));
        taken += overlap ? 1 : 0;
        left += overlap ? 0 : 1;
        nearly += !overlap && gain > 1 ? 1 : 0;
    }
    CHECK(taken > 0);
    CHECK(left > 0);
    CHECK(nearly > 0);
}

TEST_CASE("a device with twice the arithmetic takes twice the rows") {
    const auto model = planner::model_of(k8B);
    Cluster cluster = boards(3);
    for (auto& rates : cluster.devices[2].profile.rates) rates.many_rows *= 2;
    const auto some = among_all(model, cluster, sharing_terms(false));
    REQUIRE(some);
    REQUIRE(some->sharing);
    CHECK(double(some->sharing->shares[2]) / some->sharing->shares[0] ==
          doctest::Approx(2).epsilon(0.01));
}

TEST_CASE("nobody takes rows without the file, or on a device alone") {
    const auto model = planner::model_of(k8B);
    Cluster cluster = boards(3);
    for (auto& device : cluster.devices) device.whole_file = false;
    CHECK_FALSE(among_all(model, cluster, sharing_terms(true))->sharing);
    cluster.devices[1].whole_file = true;
    const auto one = among_all(model, cluster, sharing_terms(true));
    REQUIRE(one->sharing);
    CHECK(one->sharing->shares[0] == 0);
    CHECK(one->sharing->shares[1] != 0);
    CHECK(one->sharing->from == 1);
    CHECK_FALSE(among_all(model, boards(1), sharing_terms(true))->sharing);
}

TEST_CASE("of many devices those with the file join first") {
    const auto model = planner::model_of(k8B);
    Cluster cluster = boards(12);
    cluster.usual.bytes_per_second = 11e6;
    for (std::size_t d = 1; d < 7; ++d) cluster.devices[d].whole_file = false;
    Terms terms = sharing_terms(false);
    terms.request = {4096, 16};
    const auto choices = Chooser(model.header, model.hparams, cluster, terms).by_count();
    REQUIRE(choices[3]);
    for (const std::size_t member : choices[3]->members) {
        CHECK(cluster.devices[member].whole_file);
    }
}

}  // namespace shoal::tests
