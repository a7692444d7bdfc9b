// Which devices take part and with what: invariants over random models and clusters, and the best
// that there is for small ones.
#include "daemon/planner/choose.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "daemon/shard/cut.hpp"
#include "tests/instrumented.hpp"
#include "tests/planner/random_cluster.hpp"

namespace shoal::tests {
namespace {

using planner::Alternative;
using planner::Chooser;
using planner::Cluster;
using planner::Terms;
using shard::Range;
using shard::Slice;

Terms terms_of(const model::Hparams& hp, std::uint64_t positions) {
    Terms terms;
    terms.demand = [head = 2 * hp.head_dim, positions](std::size_t devices) {
        return shard::Demand{positions, head, (std::uint64_t{8} << 20) / devices};
    };
    return terms;
}

void check_covers(const std::vector<Slice>& slices, std::uint32_t end, Range Slice::*part) {
    std::uint32_t at = 0;
    for (const Slice& slice : slices) {
        REQUIRE((slice.*part).begin <= (slice.*part).end);
        if ((slice.*part).empty()) continue;
        REQUIRE((slice.*part).begin == at);
        at = (slice.*part).end;
    }
    REQUIRE(at == end);
}

struct Case {
    planner::ShapedModel model;
    Cluster cluster;
    Terms terms;
    shard::SliceSizes sizes;

    Case(Random& random, std::size_t devices, std::uint32_t kv_heads = 8)
        : model(planner::model_of(random_shape(random, kv_heads))),
          cluster(random_cluster(random, devices)),
          terms(terms_of(model.hparams, random.whole(1, 32) * 256)),
          sizes(model.header, model.hparams) {}
    Case(const Case&) = delete;
    Case& operator=(const Case&) = delete;

    Chooser chooser() const { return {model.header, model.hparams, cluster, terms}; }
    std::uint64_t needed(const Slice& slice, bool root, std::size_t devices) const {
        const shard::Demand demand = terms.demand(devices);
        return sizes.weight_bytes(slice) + demand.buffer_bytes +
               shard::kv_bytes(model.hparams, slice, demand.kv_positions, demand.kv_head_bytes) +
               (root ? model.header.tensor("token_embd.weight").bytes : 0);
    }
    std::uint64_t whole() const {
        const model::Hparams& hp = model.hparams;
        return needed({{0, hp.n_heads}, {0, hp.n_kv_heads}, {0, hp.n_ff}, {0, hp.n_vocab}}, true,
                      1);
    }
    // All devices together have `times` what the model takes.
    void limit_memory(Random& random, double times) {
        std::vector<double> parts;
        for (std::size_t i = 0; i < cluster.devices.size(); ++i) {
            parts.push_back(random.between(1, 6));
        }
        const double sum = std::accumulate(parts.begin(), parts.end(), 0.0);
        for (std::size_t i = 0; i < parts.size(); ++i) {
            cluster.devices[i].memory_bytes = std::max(
                std::uint64_t{1},
                static_cast<std::uint64_t>(static_cast<double>(whole()) * times * parts[i] / sum));
        }
    }
};

}  // namespace

TEST_CASE("every plan gives each head, column and row to one device, within its memory") {
    std::size_t planned = 0, limited = 0;
    for (std::uint32_t seed = 0; seed < by_speed(1500U, 150U); ++seed) {
        CAPTURE(seed);
        Random random(seed);
        Case c(random, random.whole(1, 12));
        if (seed % 2 == 1) c.limit_memory(random, random.between(1.05, 3));
        Alternative best;
        try {
            best = c.chooser().best();
        } catch (const shard::PlanError&) {
            REQUIRE(seed % 2 == 1);
            continue;
        }
        ++planned;
        REQUIRE(best.members.front() == 0);
        REQUIRE(std::is_sorted(best.members.begin(), best.members.end()));
        const model::Hparams& hp = c.model.hparams;
        check_covers(best.slices, hp.n_heads, &Slice::q_heads);
        check_covers(best.slices, hp.n_ff, &Slice::ffn);
        check_covers(best.slices, hp.n_vocab, &Slice::vocab);
        for (std::size_t r = 0; r < best.members.size(); ++r) {
            const Slice& slice = best.slices[r];
            REQUIRE(slice.kv_heads == shard::kv_heads_of(slice.q_heads, hp.group()));
            const std::uint64_t memory = c.cluster.devices[best.members[r]].memory_bytes;
            if (memory == 0) continue;
            ++limited;
            REQUIRE(c.needed(slice, r == 0, best.members.size()) <= memory);
        }
    }
    CHECK(planned > by_speed(1200U, 120U));
    CHECK(limited > by_speed(1000U, 100U));
}

// The least sum of the longest of each part, over all cuts within the memory.
double least(const Case& c, const Chooser& chooser, const std::vector<std::size_t>& members,
             std::uint32_t ffn_step, std::uint32_t vocab_step) {
    const model::Hparams& hp = c.model.hparams;
    const auto cuts = [&](std::uint32_t end, std::uint32_t step) {
        std::vector<std::vector<Range>> all;
        std::vector<std::uint32_t> borders(members.size() + 1, 0);
        borders.back() = end;
        const auto fill = [&](auto&& self, std::size_t at, std::uint32_t from) -> void {
            if (at == members.size()) {
                std::vector<Range> cut;
                for (std::size_t i = 0; i < members.size(); ++i) {
                    cut.push_back({borders[i], borders[i + 1]});
                }
                all.push_back(std::move(cut));
                return;
            }
            for (std::uint32_t b = from; b <= end;
                 b = b == end ? end + 1 : std::min(end, b + step)) {
                borders[at] = b;
                self(self, at + 1, b);
            }
        };
        fill(fill, 1, 0);
        return all;
    };
    double best = shard::kNoLimit;
    for (const auto& heads : cuts(hp.n_heads, 1)) {
        for (const auto& ffn : cuts(hp.n_ff, ffn_step)) {
            for (const auto& vocab : cuts(hp.n_vocab, vocab_step)) {
                Alternative some{members, {}, 0};
                bool fits = true;
                for (std::size_t r = 0; r < members.size(); ++r) {
                    some.slices.push_back(
                        {heads[r], shard::kv_heads_of(heads[r], hp.group()), ffn[r], vocab[r]});
                    const std::uint64_t memory = c.cluster.devices[members[r]].memory_bytes;
                    fits = fits && (memory == 0 ||
                                    c.needed(some.slices[r], r == 0, members.size()) <= memory);
                }
                if (!fits) continue;
                best = std::min(
                    best, chooser.predictor(some).request(some.slices, c.terms.request).sum());
            }
        }
    }
    return best;
}

TEST_CASE("no cut among few devices is 2 % quicker than the chosen one, 4 % with short memory") {
    std::size_t compared = 0;
    for (std::uint32_t seed = 0; seed < by_speed(200U, 20U); ++seed) {
        CAPTURE(seed);
        Random random(seed);
        Case c(random, 2 + seed % 2, 3);
        const bool short_memory = seed % 3 == 0;
        if (short_memory) c.limit_memory(random, random.between(1.1, 2));
        const Chooser chooser = c.chooser();
        std::vector<std::size_t> members(c.cluster.devices.size());
        std::iota(members.begin(), members.end(), 0);
        const auto some = chooser.among(members);
        const model::Hparams& hp = c.model.hparams;
        // Coarse borders for the columns and rows: the planner's own may be finer.
        const double best =
            least(c, chooser, members, (hp.n_ff / 32 + 9) / 10 * 32, (hp.n_vocab + 9) / 10);
        if (best == shard::kNoLimit) continue;
        REQUIRE(some);
        CHECK(some->seconds <= best * (short_memory ? 1.04 : 1.02));
        ++compared;
    }
    CHECK(compared > by_speed(80U, 8U));
}

TEST_CASE("one device after the other finds choices as good as looking at every one") {
    for (std::uint32_t seed = 0; seed < by_speed(60U, 10U); ++seed) {
        CAPTURE(seed);
        Random random(seed);
        Case c(random, Chooser::kEveryChoice);
        c.cluster.links.clear();
        const double every = c.chooser().best().seconds;
        // With one more, which is of no use, they are too many for looking at every choice.
        auto& useless = c.cluster.devices.emplace_back(c.cluster.devices.back());
        useless.profile = useless.profile.slowed(1e6);
        CHECK(c.chooser().best().seconds <= every * 1.02);
    }
}

TEST_CASE("a faster device or link never makes the plan slower") {
    for (std::uint32_t seed = 0; seed < by_speed(300U, 50U); ++seed) {
        CAPTURE(seed);
        Random random(seed);
        Case c(random, random.whole(2, 5));
        const double before = c.chooser().best().seconds;
        if (random.whole(0, 1) == 0) {
            auto& devices = c.cluster.devices;
            auto& profile = devices[random.whole(0, 4) % devices.size()].profile;
            profile = profile.slowed(1 / random.between(1.1, 4));
        } else {
            c.cluster.usual.exchange_seconds /= 2;
            c.cluster.usual.bytes_per_second *= 2;
            for (planner::Link& link : c.cluster.links) {
                link.exchange_seconds /= 2;
                link.bytes_per_second *= 2;
            }
        }
        // Fewer devices may be taken for what is then worth it, and straddling a KV head has to be.
        CHECK(c.chooser().best().seconds <= before * Chooser::kWorth * 1.01);
    }
}

TEST_CASE("who would slow the others is left out, and it is said why") {
    planner::Shape shape{"8B", 32, 4096, 32, 8, 128, 14336, 128256};
    const planner::ShapedModel model = planner::model_of(shape);
    Cluster cluster;
    for (const double speed : {11e9, 11e9, 0.05e9}) {
        cluster.devices.push_back(
            {speed < 1e9 ? "toaster" : "pi5", planner::DeviceProfile::guess(speed), 0, 1});
    }
    Terms terms = terms_of(model.hparams, 4096);
    const Chooser chooser(model.header, model.hparams, cluster, terms);
    const Alternative best = chooser.best();
    CHECK(best.members == std::vector<std::size_t>{0, 1});
    const auto reasons = chooser.left_out(best);
    REQUIRE(reasons.contains(2));
    CHECK(reasons.at(2).spare);
    CHECK(reasons.at(2).text.find("with it") != std::string::npos);

    // Unless a person wants it.
    terms.min_devices = 3;
    CHECK(chooser.best().members.size() == 3);
}

TEST_CASE("a device takes no more than its part, and one of no part takes none") {
    const planner::ShapedModel model =
        planner::model_of({"8B", 32, 4096, 32, 8, 128, 14336, 128256});
    Cluster cluster;
    for (const double most : {1.0, 0.1, 1.0}) {
        cluster.devices.push_back({"pi5", planner::DeviceProfile::guess(11e9), 0, most});
    }
    const Terms terms = terms_of(model.hparams, 4096);
    const Alternative all = *Chooser(model.header, model.hparams, cluster, terms).among({0, 1, 2});
    const auto part = [&](std::size_t r) {
        const double bytes = static_cast<double>(
            shard::slice_weight_bytes(model.header, model.hparams, all.slices[r]));
        double sum = 0;
        for (const Slice& s : all.slices) {
            sum += static_cast<double>(shard::slice_weight_bytes(model.header, model.hparams, s));
        }
        return bytes / sum;
    };
    CHECK(part(1) < 0.12);
    CHECK(part(1) > 0.05);
    CHECK(part(0) > 0.4);
}

}  // namespace shoal::tests
