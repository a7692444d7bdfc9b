#include "daemon/plan/planner.hpp"

#include <doctest/doctest.h>

#include <string>

#include "daemon/plan/offer.hpp"
#include "daemon/planner/scatter_rows.hpp"
#include "daemon/shard/cutter.hpp"
#include "tests/daemon/plan/candidates.hpp"

namespace planner_test {

using namespace shoal;
using namespace shoal::tests;
using mesh::messages::PlanOffer;

namespace {

struct Fixture {
    std::shared_ptr<const OpenModel> model = open_model(tiny_model());
    PlanRules rules{};
    config::ModelSettings& settings = rules.models;
    Situation taking{candidates(3), {}};

    Planned plan() const { return plan_model(*model, rules, taking); }
    std::uint32_t columns(std::size_t rank) const {
        const auto ffn = plan().offer.devices.at(rank).slice.ffn;
        return ffn.end - ffn.begin;
    }
    void check(const PlanOffer& offer) const {
        const std::uint32_t step = shard::ffn_cut_step(model->source->header(), model->hparams);
        CHECK(check_offer(offer, model->hparams, step) == std::nullopt);
    }
};

}  // namespace

TEST_SUITE("planner") {
    TEST_CASE_FIXTURE(Fixture, "every device gets its part, the root first and the others by id") {
        taking.devices = {candidate(2), candidate(9), candidate(1)};
        taking.devices[1].member.public_key = {7};
        taking.devices[1].member.description.data_endpoint = "tcp://*:4009";
        const Planned planned = plan();
        check(planned.offer);
        CHECK(planned.left_out.empty());
        REQUIRE(planned.offer.devices.size() == 3);
        CHECK(planned.offer.devices[0].id == device_id(2).bytes);
        CHECK(planned.offer.devices[1].id == device_id(1).bytes);
        CHECK(planned.offer.devices[2].id == device_id(9).bytes);
        CHECK(planned.offer.devices[2].public_key == taking.devices[1].member.public_key);
        CHECK(planned.offer.devices[2].endpoint == "tcp://*:4009");
    }

    TEST_CASE_FIXTURE(Fixture, "shares follow what devices proved to do, not what they said") {
        rules.plan.min_devices = 3;
        const std::uint32_t even = columns(2);
        taking.devices[2].slower = 10;
        const std::uint32_t less = columns(2);
        CHECK(less < even / 3);
        taking.devices[2].slower = 1;
        taking.devices[2].profile = planner::DeviceProfile::guess(0.1);
        CHECK(columns(2) == less);
    }

    TEST_CASE_FIXTURE(Fixture, "a model that does not fit may fit under another root, or not") {
        const auto elsewhere = [&] { return fits_another_root(*model, rules, taking); };
        for (Candidate& c : taking.devices) c.member.description.memory_available = 1024;
        CHECK_THROWS_AS(plan(), shard::PlanError);
        CHECK_FALSE(elsewhere());
        taking.devices[2].member.description.memory_available = 1 << 30;
        CHECK_THROWS_AS(plan(), shard::PlanError);
        CHECK(elsewhere());
        taking.devices.resize(1);
        CHECK_FALSE(elsewhere());
    }

    TEST_CASE_FIXTURE(Fixture, "devices without memory for any part go, the smallest first") {
        taking.devices[1].member.description.memory_available = 2000;
        taking.devices[2].member.description.memory_available = 1000;
        const Planned planned = plan();
        check(planned.offer);
        CHECK(planned.offer.devices.size() == 1);
        CHECK(planned.left_out.size() == 2);
        CHECK(planned.left_out.at(device_id(3)).reason.find("memory") != std::string::npos);
        CHECK(planned.offer.kv_positions == model->hparams.n_context);

        taking.devices[1].member.description.memory_available = 0;
        const Planned without_one = plan();
        check(without_one.offer);
        CHECK(without_one.offer.devices.size() == 2);
        CHECK_FALSE(without_one.left_out.contains(device_id(2)));
    }

    TEST_CASE_FIXTURE(Fixture, "as much context is planned as memory holds") {
        model = open_model(long_model());
        taking.devices.resize(1);
        taking.devices[0].member.description.memory_available = 12u << 20;
        const std::uint64_t positions = plan().offer.kv_positions;
        CHECK(positions < model->hparams.n_context);
        CHECK(positions % 256 == 0);
        // 512 bytes a position, f32; weights and buffers take about two megabytes.
        CHECK(positions * 512 < 12u << 20);
        CHECK(positions * 512 > 4u << 20);
        settings.context = static_cast<std::uint32_t>(positions + 256);
        CHECK(plan().offer.kv_positions == positions);
        settings.context = static_cast<std::uint32_t>(positions);
        CHECK(plan().offer.kv_positions == positions);
        settings.context = static_cast<std::uint32_t>(2 * positions);
        CHECK(plan().offer.kv_positions == positions);
    }

    TEST_CASE_FIXTURE(Fixture, "who would only slow the others is a spare, with the reason") {
        // Memory is quick and the network is not: one device is quickest for a tiny model.
        for (Candidate& c : taking.devices) c.profile = planner::DeviceProfile::guess(10e9);
        const Planned alone = plan();
        check(alone.offer);
        REQUIRE(alone.offer.devices.size() == 1);
        REQUIRE(alone.left_out.size() == 2);
        CHECK(alone.left_out.at(device_id(2)).spare);
        CHECK(alone.left_out.at(device_id(2)).reason.find("without it") != std::string::npos);

        rules.plan.min_devices = 2;
        CHECK(plan().offer.devices.size() == 2);
        rules.plan.min_devices = 9;
        CHECK(plan().offer.devices.size() == 3);
    }

    TEST_CASE_FIXTURE(Fixture, "long prompts are shared out by rows among those with the file") {
        rules.plan.min_devices = 3;
        CHECK(plan().offer.sequence_rows == 0);
        for (const std::size_t holder : {0U, 2U}) taking.devices[holder].whole_file = true;
        settings.prefill = config::Prefill::sequence;
        const PlanOffer offer = plan().offer;
        check(offer);
        CHECK(offer.sequence_rows == 1);
        REQUIRE(offer.devices.size() == 3);
        CHECK(offer.devices[0].row_share == offer.devices[2].row_share);
        CHECK(offer.devices[1].row_share == 0);
        CHECK(offer.devices[1].whole_bytes == 0);
        CHECK(offer.devices[0].whole_bytes ==
              shard::whole_layer_bytes(model->source->header(), model->hparams).all);
        const exec::ExecutorOptions options = executor_options(offer);
        CHECK(options.sequence_rows == 1);
        CHECK(options.row_shares.shares.size() == 3);
        CHECK(options.row_shares.slices[2] == slice_of(offer.devices[2].slice));

        settings.prefill = config::Prefill::tensor;
        CHECK(plan().offer.sequence_rows == 0);
        CHECK(executor_options(plan().offer).row_shares.shares.empty());

        PlanOffer nobody = offer;
        for (auto& device : nobody.devices) device.row_share = 0;
        CHECK(check_offer(nobody, model->hparams, 1).has_value());
    }

    TEST_CASE_FIXTURE(Fixture,
                      "large steps have halves where that is quicker, or the rules say so") {
        rules.plan.min_devices = 3;
        settings.overlap = config::Overlap::always;
        CHECK(plan().offer.overlap);
        CHECK(executor_options(plan().offer).overlap);
        rules.plan.min_devices = 1;
        rules.plan.exclude = {"device 2", "device 3"};
        CHECK(!plan().offer.overlap);  // Nothing travels.
        rules.plan.exclude.clear();
        rules.plan.min_devices = 3;
        settings.overlap = config::Overlap::never;
        CHECK(!plan().offer.overlap);
    }

    TEST_CASE_FIXTURE(Fixture, "who would take rows if it had the file is asked to fetch it") {
        rules.plan.min_devices = 3;
        settings.prefill = config::Prefill::sequence;
        const auto wanting = [&] {
            std::string out;
            for (const auto& d : plan().offer.devices) out += d.wants_file ? 'w' : '-';
            return out;
        };
        CHECK(wanting() == "www");
        taking.devices[0].whole_file = true;
        CHECK(wanting() == "-ww");
        // Memory for its slice, and not for a layer besides.
        std::uint64_t& memory = taking.devices[1].member.description.memory_available;
        for (memory = 4'000'000; memory > 50'000; memory -= 50'000) {
            if (!plan().offer.devices[1].wants_file) break;
        }
        REQUIRE(plan().offer.devices.size() == 3);
        CHECK(wanting() == "--w");
        taking.devices[2].whole_file = true;
        CHECK(wanting() == "---");
        taking.devices[2].whole_file = false;
        settings.prefill = config::Prefill::tensor;
        CHECK(wanting() == "---");
    }

    TEST_CASE_FIXTURE(Fixture, "the rules say who takes no part, and how much of it") {
        rules.plan.exclude = {"device 2"};
        const Planned without = plan();
        check(without.offer);
        CHECK(without.offer.devices.size() == 2);
        CHECK(without.left_out.at(device_id(2)).reason.find("plan.exclude") != std::string::npos);

        rules.plan.exclude = {device_id(3).hex()};
        CHECK(plan().left_out.contains(device_id(3)));

        rules.plan = {.exclude = {}, .share = {"device 3=0.1"}, .min_devices = 3};
        const Planned shared = plan();
        check(shared.offer);
        REQUIRE(shared.offer.devices.size() == 3);
        const auto columns_of = [&](std::size_t rank) {
            const auto ffn = shared.offer.devices[rank].slice.ffn;
            return ffn.end - ffn.begin;
        };
        CHECK(columns_of(2) < columns_of(1) / 3);
    }

    TEST_CASE_FIXTURE(Fixture, "a context as short as the settings wish is not too short") {
        settings.context = 100;
        CHECK(plan().offer.kv_positions == 100);
    }

    TEST_CASE_FIXTURE(Fixture, "what does not fit at all is refused with the numbers of all") {
        for (Candidate& c : taking.devices) c.member.description.memory_available = 1000;
        const auto refusal = [&]() -> std::string {
            try {
                static_cast<void>(plan());
            } catch (const shard::PlanError& error) {
                return error.what();
            }
            return "";
        };
        const std::string of_three = refusal();
        CHECK(of_three.find_first_of("0123456789") != std::string::npos);
        taking.devices.resize(1);
        CHECK(of_three != refusal());
    }

    TEST_CASE_FIXTURE(Fixture, "the settings decide context, KV type and collectives") {
        settings.context = 300;
        settings.kv = config::KvType::f16;
        settings.collectives = config::Collectives::f16;
        settings.batch_tokens = 17;
        const PlanOffer offer = plan().offer;
        CHECK(offer.kv_positions == 300);
        CHECK(offer.kv_type == "f16");
        CHECK(offer.collectives == "f16");
        CHECK(offer.max_rows == 17);
    }

    TEST_CASE_FIXTURE(Fixture, "partial sums travel as finely as the model's products round") {
        const std::pair<std::filesystem::path, std::string> expected[] = {
            {tiny_model(), "q16"}, {typed_model("f16"), "q16"}, {typed_model("q4_k_m"), "q8_0"}};
        for (const auto& each : expected) {
            CAPTURE(each.first.string());
            model = open_model(each.first);
            CHECK(plan().offer.collectives == each.second);
        }
    }

    TEST_CASE("sums go in two hops where that saves more time on the wire than the wait takes") {
        const auto time = [](std::uint64_t waits, double bytes) {
            return static_cast<double>(waits * planner::kExchangeNanoseconds) +
                   bytes * static_cast<double>(planner::kNanosecondsPerByte);
        };
        CHECK(planner::scatter_rows(1, 2176) == 0);
        CHECK(planner::scatter_rows(2, 1 << 20) == 0);
        CHECK(planner::scatter_rows(3, 2176) == 22);
        CHECK(planner::scatter_rows(8, 2176) == 3);
        for (std::uint64_t devices = 3; devices <= 32; ++devices) {
            for (const std::uint64_t row : {34U, 2176U, 16384U}) {
                CAPTURE(devices);
                CAPTURE(row);
                const std::uint64_t least = planner::scatter_rows(devices, row);
                for (const std::uint64_t rows : {least - 1, least}) {
                    const auto n = static_cast<double>(rows * row);
                    const auto others = static_cast<double>(devices - 1);
                    const double one = time(1, others * n);
                    const double two = time(2, 2 * others / static_cast<double>(devices) * n);
                    CHECK((two < one) == (rows == least));
                }
            }
        }
    }

    TEST_CASE_FIXTURE(Fixture, "measured links decide who takes part") {
        for (Candidate& c : taking.devices) c.profile = planner::DeviceProfile::guess(1e7);
        const auto link = [&](std::uint8_t a, std::uint8_t b, double exchange_seconds) {
            KnownLink known;
            known.there = known.back = {exchange_seconds, 1e9};
            take_down(taking.links, device_id(a), device_id(b), known);
        };
        link(1, 2, 1e-6);
        link(1, 3, 1e-6);
        link(2, 3, 1e-6);
        CHECK(plan().offer.devices.size() == 3);
        link(3, 1, 1);
        const Planned two = plan();
        check(two.offer);
        REQUIRE(two.offer.devices.size() == 2);
        CHECK(two.offer.devices[1].id == device_id(2).bytes);
        CHECK(two.left_out.at(device_id(3)).spare);
        link(1, 2, 1);
        CHECK(plan().offer.devices.size() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "the slowest link says from how many rows on, not whether at all") {
        settings.batch_tokens = 64;
        settings.collectives = config::Collectives::f32;
        rules.plan.min_devices = 3;
        const auto rows_with = [&](double exchange_seconds, double bytes_per_second) {
            taking.links.clear();
            KnownLink known;
            known.there = known.back = {1e-6, 1e9};
            take_down(taking.links, device_id(1), device_id(2), known);
            take_down(taking.links, device_id(1), device_id(3), known);
            known.back = {exchange_seconds, bytes_per_second};
            take_down(taking.links, device_id(2), device_id(3), known);
            const PlanOffer offer = plan().offer;
            check(offer);
            REQUIRE(offer.devices.size() == 3);
            return offer.scatter_rows;
        };
        const std::uint64_t row = 4 * model->hparams.dim;
        // By what links are taken for, whole sums would go in one hop throughout: they are rounded
        // so.
        const bool ever = planner::scatter_rows(3, row) <= settings.batch_tokens;
        CHECK_FALSE(ever);
        CHECK(rows_with(1e-6, 1e6) == 0);
        settings.batch_tokens = 4096;
        CHECK(rows_with(100e-6, 1e8) == planner::scatter_rows(3, row, 7'952));
        CHECK(rows_with(1, 1e8) == 4096);
        CHECK(rows_with(1e-6, 1e6) == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "a plan says from how many rows on sums go in two hops") {
        settings.batch_tokens = 4096;
        settings.collectives = config::Collectives::f32;
        for (std::uint8_t devices = 1; devices <= 5; ++devices) {
            CAPTURE(devices);
            taking.devices = candidates(devices);
            const PlanOffer offer = plan().offer;
            check(offer);
            CHECK(offer.devices.size() == devices);
            const std::uint64_t rows = planner::scatter_rows(devices, 4 * model->hparams.dim);
            REQUIRE(rows < 4096);
            CHECK(offer.scatter_rows == rows);
            CHECK(executor_options(offer).scatter_rows == rows);
        }
        // Where no step has as many, sums are rounded as ever.
        settings.batch_tokens = 3;
        CHECK(plan().offer.scatter_rows == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "a KV type that the model's heads do not fit is refused") {
        settings.kv = config::KvType::q8_0;
        CHECK_THROWS_WITH_AS(static_cast<void>(plan()), doctest::Contains("models.kv = q8_0"),
                             std::runtime_error);
        CHECK_THROWS_WITH(static_cast<void>(plan()), doctest::Contains("16"));
    }
}

}  // namespace planner_test
