// The cost model against sums that can be done by hand.
#include "daemon/planner/prediction.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "daemon/planner/choose.hpp"
#include "daemon/planner/shape.hpp"

namespace shoal::tests {

using planner::Cluster;
using planner::DeviceProfile;
using planner::Predictor;

namespace {

const planner::Shape kLlama8B{"Llama-3.1-8B", 32, 4096, 32, 8, 128, 14336, 128256};

Cluster cluster_of(std::size_t devices, double bytes_per_second) {
    Cluster cluster;
    cluster.devices.assign(devices, {"pi5", DeviceProfile::guess(bytes_per_second), 0, 1});
    return cluster;
}

std::vector<std::size_t> first(std::size_t count) {
    std::vector<std::size_t> members;
    for (std::size_t i = 0; i < count; ++i) members.push_back(i);
    return members;
}

}  // namespace

TEST_CASE("one device decodes as fast as it reads its weights") {
    const planner::ShapedModel model = planner::model_of(kLlama8B);
    const planner::ModelWork work = planner::work_of(model.header, model.hparams);
    const Cluster cluster = cluster_of(1, 11e9);
    const auto slices = shard::cut_evenly(model.header, model.hparams, 1);
    const auto members = first(1);
    const auto s = Predictor(work, cluster, members, {}).decode(slices, 0);
    double bytes = 0;
    for (const auto& tensor : model.header.tensors()) {
        if (tensor.name != "token_embd.weight") bytes += static_cast<double>(tensor.bytes);
    }
    CHECK(s.attention + s.ffn + s.lm_head == doctest::Approx(bytes / 11e9).epsilon(0.001));
    CHECK(s.exchange == 0);
}

TEST_CASE("K and V that several devices compute are counted") {
    // Llama 3 8B has 8 KV heads of 128: with 16 devices each computes 64 outputs of K, and as many
    // of V, that another one computes as well, with 32 devices 96.
    const planner::ShapedModel model = planner::model_of(kLlama8B);
    const planner::ModelWork work = planner::work_of(model.header, model.hparams);
    for (const auto& each : {std::pair{1, 0.0}, {8, 0.0}, {16, 64.0}, {32, 96.0}}) {
        const auto slices = shard::cut_evenly(model.header, model.hparams, each.first);
        CHECK(planner::redundant_kv_outputs(work, slices) == each.second);
    }
}

TEST_CASE("an exchange takes its latency and the bytes of the slowest device") {
    const planner::ShapedModel model = planner::model_of(kLlama8B);
    const planner::ModelWork work = planner::work_of(model.header, model.hparams);
    Cluster cluster = cluster_of(4, 11e9);
    cluster.usual = {200e-6, 100e6};
    const auto two = first(2), four = first(4);
    CHECK(Predictor(work, cluster, two, {}).all_gather(1e6) == doctest::Approx(200e-6 + 0.01));
    // Three others share a device's way into the network.
    CHECK(Predictor(work, cluster, four, {}).all_gather(1e6) ==
          doctest::Approx(200e-6 + 0.03).epsilon(0.01));
}

TEST_CASE("many rows take two hops where those are quicker, few take one") {
    const planner::ShapedModel model = planner::model_of(kLlama8B);
    const planner::ModelWork work = planner::work_of(model.header, model.hparams);
    Cluster cluster = cluster_of(4, 11e9);
    cluster.usual = {250e-6, 125e6};
    const auto members = first(4);
    const auto slices = shard::cut_evenly(model.header, model.hparams, 4);
    const Predictor predict(work, cluster, members, {});
    const double row = 4096 * 34.0 / 32;
    for (const double rows : {1.0, 256.0}) {
        const double hop =
            rows == 1 ? predict.all_gather(row) : 2 * predict.all_gather(rows * row / 4);
        // Besides the all-reduces the order goes out; no row has an output.
        const double exchange = predict.step(slices, {rows, 0, 0}).exchange;
        CHECK(exchange == doctest::Approx(64 * hop + predict.all_gather(rows * row)));
    }
}

TEST_CASE("halves of a step hide what travels behind what is computed, and the other way round") {
    const planner::ShapedModel model = planner::model_of(kLlama8B);
    const planner::ModelWork work = planner::work_of(model.header, model.hparams);
    const auto slices = shard::cut_evenly(model.header, model.hparams, 2);
    const auto members = first(2);
    const planner::RowSharing rows{{1, 1}, {UINT64_MAX, UINT64_MAX}, 1};
    planner::Form in_halves;
    in_halves.overlap = true;
    for (const double bytes_per_second : {1e6, 1e7, 3e7, 1e8, 1e9}) {
        Cluster cluster = cluster_of(2, 11e9);
        cluster.usual = {250e-6, bytes_per_second};
        const Predictor plain(work, cluster, members, {}),
            halves(work, cluster, members, in_halves);
        const planner::Rows step{256, 128, 1};
        for (const bool shared : {false, true}) {
            const auto of = [&](const Predictor& p) {
                return shared ? p.sequence_step(slices, rows, step) : p.step(slices, step);
            };
            const planner::Seconds one = of(plain), two = of(halves);
            const double computing = one.sum() - one.exchange;
            CHECK(two.sum() > computing);
            CHECK(two.sum() > 0.99 * one.exchange);
            // At best all of the shorter one is hidden; at worst nothing, for some work twice.
            CHECK(two.sum() < 1.25 * one.sum());
            if (bytes_per_second == 1e7) CHECK(two.sum() < 0.85 * one.sum());
        }
        // A step of half as many rows is one.
        const planner::Rows few{128, 64, 1};
        CHECK(halves.step(slices, few).sum() == plain.step(slices, few).sum());
    }
}

TEST_CASE("what halves of a step wait for is what neither hides, and what carrying bytes takes") {
    const planner::ShapedModel model = planner::model_of(kLlama8B);
    const planner::ModelWork work = planner::work_of(model.header, model.hparams);
    const auto slices = shard::cut_evenly(model.header, model.hparams, 2);
    const auto members = first(2);
    constexpr double kLayers = 32, kRow = 4096 * 34.0 / 32, kLatency = 250e-6;
    planner::RowSharing rows{{1, 1}, {UINT64_MAX, UINT64_MAX}, 1};
    planner::Form in_halves;
    in_halves.overlap = true;
    for (const double bytes_per_second : {3e6, 1e7, 3e7, 1e8}) {
        Cluster cluster = cluster_of(2, 11e9);
        cluster.usual = {kLatency, bytes_per_second};
        const Predictor plain(work, cluster, members, {}),
            halves(work, cluster, members, in_halves);
        const planner::Rows step{256, 128, 0}, half{128, 128, 0};
        const double order = plain.all_gather(256 * kRow);
        const auto beside = [&](double computing, double sent) {
            return std::max(bytes_per_second / 250e6 * sent, sent - computing);
        };
        const planner::Seconds s = plain.step(slices, half);
        const double sum = plain.all_gather(128 * kRow);
        const double waits = 2 * beside((s.attention + s.between / 2) / kLayers, sum) +
                             2 * beside((s.ffn + s.between / 2) / kLayers, sum);
        CHECK(halves.step(slices, step).exchange == doctest::Approx(kLayers * waits + order));

        // Each way half of the rows, with half of the heads, 16 of q and 4 of K and of V.
        const planner::Seconds q = plain.sequence_step(slices, rows, half);
        const double own = (q.ffn + q.between) / kLayers, heads = q.attention / kLayers;
        const double to_rows = kLatency + 64 * 128 * 16 * 34.0 / 32 / bytes_per_second;
        const double to_heads = to_rows + 64 * 128 * 2 * 4 * 2 / bytes_per_second;
        const double turns = beside(heads, to_rows) + beside(own, to_rows) + beside(own, to_heads) +
                             beside(heads, to_heads);
        CHECK(halves.sequence_step(slices, rows, step).exchange ==
              doctest::Approx(kLayers * turns + order));
    }
    // Layers that are not held are read three times for one.
    const Cluster cluster = cluster_of(2, 11e9);
    const auto reading = [&](const planner::Form& form) {
        const Predictor predict(work, cluster, members, form);
        rows.whole_bytes = {0, 0};
        const double with = predict.sequence_step(slices, rows, {256, 128, 0}).ffn;
        rows.whole_bytes = {UINT64_MAX, UINT64_MAX};
        return with - predict.sequence_step(slices, rows, {256, 128, 0}).ffn;
    };
    CHECK(reading(in_halves) == doctest::Approx(3 * 1.04 * reading({})));
}

TEST_CASE("a prompt's time grows with its length, and a token's with the context") {
    const planner::ShapedModel model = planner::model_of(kLlama8B);
    const planner::ModelWork work = planner::work_of(model.header, model.hparams);
    const Cluster cluster = cluster_of(4, 11e9);
    const auto members = first(4);
    const auto slices = shard::cut_evenly(model.header, model.hparams, 4);
    const Predictor predict(work, cluster, members, {});
    CHECK(predict.prefill(slices, 1024, 0).sum() > 2 * predict.prefill(slices, 512, 0).sum());
    const double at_0 = predict.decode(slices, 0).sum();
    const double at_4k = predict.decode(slices, 4096).sum();
    const double at_8k = predict.decode(slices, 8192).sum();
    CHECK(at_8k - at_4k == doctest::Approx(at_4k - at_0));
    CHECK(at_4k > at_0);
}

}  // namespace shoal::tests
