// Tokens that may not be chosen: against the distribution of masked logits, on any cut.
#include "daemon/exec/masking.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>

#include "daemon/grammar/token_mask.hpp"
#include "tests/exec/local_cluster.hpp"
#include "tests/model/model_maker.hpp"
#include "tests/model/temporary_folder.hpp"

namespace masking_test {

using namespace shoal;
using namespace shoal::tests;
using exec::Candidate;
using exec::Sampling;
using exec::Scores;
using exec::Sequence;
using grammar::TokenMask;

namespace {

const kernels::Table& kTable = *kernels::table_for(kernels::best_isa());

std::vector<float> random_logits(std::size_t n, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, 2);
    std::vector<float> logits(n);
    for (float& l : logits) l = normal(random);
    return logits;
}

TokenMask random_mask(std::size_t n, unsigned seed, unsigned one_in) {
    std::mt19937 random(seed);
    TokenMask mask(n);
    for (std::size_t i = 0; i < n; ++i) {
        if (random() % one_in == 0) mask.allow(i);
    }
    mask.allow(random() % n);
    return mask;
}

// What devices answer, merged: as an executor does with each one's rows.
Scores scored(const kernels::Table& table, std::vector<float> logits, const TokenMask& mask,
              const Sampling& s, std::uint64_t position, std::uint32_t candidates,
              std::size_t parts) {
    exec::ScoreRequest request;
    request.temperature = s.temperature;
    request.seed = s.seed;
    request.position = position;
    request.candidates = candidates;
    request.draw = exec::draws_from_all(s);
    std::vector<Scores> scores;
    for (std::size_t p = 0; p < parts; ++p) {
        const std::size_t begin = logits.size() * p / parts;
        const std::size_t end = logits.size() * (p + 1) / parts;
        std::span<float> part(logits.data() + begin, end - begin);
        const TokenMask own = mask.slice(begin, end);
        const auto first = static_cast<std::int32_t>(begin);
        exec::adjust_logits(table, part, first, request);
        exec::mask_logits(part, own);
        exec::ScoreBuffers buffers;
        if (own.count() == 0) part = {};
        exec::score_logits(table, part, first, request, buffers, scores.emplace_back());
        exec::drop_refused(scores.back());
    }
    return exec::merge_scores(scores, candidates);
}

std::int32_t sample(const std::vector<float>& logits, const TokenMask& mask, const Sampling& s,
                    std::uint64_t position, std::size_t parts) {
    const auto choices = static_cast<std::uint32_t>(mask.count());
    const std::uint32_t first = exec::wanted_candidates(s, choices);
    const Scores few = scored(kTable, logits, mask, s, position, first, parts);
    const std::int32_t token = exec::choose(few, s, position, choices);
    if (token >= 0) return token;
    const Scores all = scored(kTable, logits, mask, s, position, choices, parts);
    return exec::choose(all, s, position, choices);
}

// Probabilities of what filters leave of the allowed tokens, worked out from all of them.
std::map<std::int32_t, double> exact(const std::vector<float>& logits, const TokenMask& mask,
                                     const Sampling& s) {
    std::vector<std::pair<double, std::int32_t>> kept;
    for (std::size_t i = 0; i < logits.size(); ++i) {
        if (mask[i]) kept.emplace_back(logits[i] / s.temperature, static_cast<std::int32_t>(i));
    }
    std::sort(kept.rbegin(), kept.rend());
    if (s.top_k != 0) kept.resize(std::min<std::size_t>(kept.size(), s.top_k));
    const auto weight = [&](std::size_t i) { return std::exp(kept[i].first - kept[0].first); };
    double all = 0, sum = 0;
    for (std::size_t i = 0; i < kept.size(); ++i) all += weight(i);
    std::size_t n = 0;
    while (n < kept.size() && sum < s.top_p * all) sum += weight(n++);
    if (s.top_p < 1) kept.resize(n);
    n = 0;
    while (n < kept.size() && weight(n) >= s.min_p) ++n;
    kept.resize(n);
    std::map<std::int32_t, double> out;
    sum = 0;
    for (std::size_t i = 0; i < kept.size(); ++i) sum += weight(i);
    for (std::size_t i = 0; i < kept.size(); ++i) out[kept[i].second] = weight(i) / sum;
    return out;
}

// How far counts are from what is expected, in units of the statistic's standard deviation.
double chi_square(const std::map<std::int32_t, int>& counts,
                  const std::map<std::int32_t, double>& expected, int draws) {
    double statistic = 0, rest = 0, rest_seen = 0;
    int cells = 0;
    for (const auto& [id, probability] : expected) {
        const auto it = counts.find(id);
        const double seen = it == counts.end() ? 0 : it->second;
        // Rare ones together.
        if (probability * draws < 10) {
            rest += probability * draws;
            rest_seen += seen;
            continue;
        }
        statistic += std::pow(seen - probability * draws, 2) / (probability * draws);
        ++cells;
    }
    if (rest >= 5) statistic += std::pow(rest_seen - rest, 2) / rest, ++cells;
    const double freedom = std::max(cells - 1, 1);
    return (statistic - freedom) / std::sqrt(2 * freedom);
}

struct MadeModel {
    TemporaryFolder folder;
    std::unique_ptr<model::GgufFile> file;

    MadeModel() {
        make_model(ModelShape(), folder.folder / "model.gguf");
        file = std::make_unique<model::GgufFile>(folder.folder / "model.gguf");
    }
};

ClusterOptions options(std::uint32_t devices) {
    ClusterOptions o;
    o.devices = devices;
    o.exec.kv_type = kernels::KvType::f32;
    o.exec.collectives = exec::PayloadType::f32;
    o.exec.kv_positions = 512;
    o.exec.max_rows = 64;
    return o;
}

const std::vector<std::int32_t> kPrompt{1, 300, 301, 302, 17, 99, 401};

// Steps, each with a mask of its own.
std::vector<std::int32_t> constrained(LocalCluster& cluster, const Sampling& sampling,
                                      const std::vector<TokenMask>& masks,
                                      std::uint32_t logprobs = 0) {
    std::vector<std::int32_t> ids;
    cluster.run_plan([&](exec::Root& root) {
        Sequence sequence{1, kPrompt, 0, sampling};
        sequence.logprobs = logprobs;
        Sequence* running = &sequence;
        std::vector<exec::Chosen> chosen;
        for (const TokenMask& mask : masks) {
            sequence.allowed = std::make_shared<const TokenMask>(mask);
            REQUIRE(root.step({&running, 1}, chosen) == exec::Status::ok);
            REQUIRE(chosen.size() == 1);
            CHECK(chosen[0].scores.size() == logprobs);
            ids.push_back(chosen[0].token);
            sequence.tokens.push_back(chosen[0].token);
        }
    });
    return ids;
}

}  // namespace

TEST_CASE("choices follow the softmax of the allowed tokens, whatever filters there are") {
    constexpr int kDraws = 20000;
    constexpr std::size_t kVocabulary = 400;
    const auto logits = random_logits(kVocabulary, 3);
    for (const std::size_t parts : {1U, 3U}) {
        for (const unsigned one_in : {2U, 40U}) {
            for (int filter = 0; filter < 5; ++filter) {
                CAPTURE(parts);
                CAPTURE(one_in);
                CAPTURE(filter);
                Sampling s;
                s.temperature = filter == 0 ? 1.0F : 1.7F;
                if (filter == 1) s.top_k = 12;
                if (filter == 2) s.top_p = 0.9F;
                if (filter == 3) s.min_p = 0.05F;
                if (filter == 4) s.top_k = 30, s.top_p = 0.95F, s.min_p = 0.02F;
                const TokenMask mask = random_mask(kVocabulary, one_in, one_in);
                const auto expected = exact(logits, mask, s);
                std::map<std::int32_t, int> counts;
                for (int i = 0; i < kDraws; ++i) {
                    ++counts[sample(logits, mask, s, static_cast<std::uint64_t>(i), parts)];
                }
                for (const auto& seen : counts) CHECK(expected.contains(seen.first));
                CHECK(chi_square(counts, expected, kDraws) < 4);
            }
        }
    }
}

TEST_CASE("a masked choice is the same on every cut, and greedy is the best allowed") {
    for (unsigned seed = 0; seed < 60; ++seed) {
        const std::size_t n = 100 + 13 * seed;
        auto logits = random_logits(n, seed);
        for (float& l : logits) l = std::round(l * 2) / 2;  // ties
        const TokenMask mask = random_mask(n, seed, 1 + seed % 50);
        std::int32_t best = -1;
        for (std::size_t i = 0; i < n; ++i) {
            if (mask[i] && (best < 0 || logits[i] > logits[static_cast<std::size_t>(best)])) {
                best = static_cast<std::int32_t>(i);
            }
        }
        Sampling draws, filtered;
        draws.temperature = filtered.temperature = 1;
        filtered.top_p = 0.99F;
        for (const std::size_t parts : {1U, 2U, 3U, 7U}) {
            CHECK(sample(logits, mask, {}, seed, parts) == best);
            CHECK(sample(logits, mask, draws, seed, parts) == sample(logits, mask, draws, seed, 1));
            CHECK(sample(logits, mask, filtered, seed, parts) ==
                  sample(logits, mask, filtered, seed, 1));
        }
    }
}

TEST_CASE("a device with fewer allowed tokens than candidates are wanted offers no others") {
    // Blocks of refused tokens beside one that is allowed, all of them unlikelier than any 0.
    constexpr std::size_t kTokens = 8 * kernels::kLogitBlock;
    const std::vector<float> logits(kTokens, -20.F);
    TokenMask mask(kTokens);
    for (const std::size_t id : {std::size_t{5}, kTokens - 2, kTokens - 1}) mask.allow(id);
    // Two of them are fewer than the blocks of three parts, whose last is not full.
    for (const std::uint32_t top_k : {2U, 40U}) {
        for (const float min_p : {0.F, 0.05F}) {
            Sampling s;
            s.temperature = 1;
            s.top_k = top_k;
            s.min_p = min_p;
            for (std::uint64_t position = 0; position < 50; ++position) {
                const std::int32_t whole = sample(logits, mask, s, position, 1);
                CHECK(mask[static_cast<std::size_t>(whole)]);
                for (const std::size_t parts : {2U, 3U, 7U}) {
                    CHECK(sample(logits, mask, s, position, parts) == whole);
                }
            }
        }
    }
}

TEST_CASE("refused tokens are nothing in sums, candidates and draws, on every ISA") {
    const float infinity = std::numeric_limits<float>::infinity();
    for (const kernels::Isa isa : isas_here()) {
        const kernels::Table& table = *kernels::table_for(isa);
        for (const std::size_t n : {1U, 63U, 127U, 1000U, 4099U}) {
            auto logits = random_logits(n, static_cast<unsigned>(n));
            const TokenMask mask = random_mask(n, 5, 90);
            // What a broken model says of a token that is allowed keeps it the last of these.
            for (std::size_t i = 0; i < n; i += 7) {
                logits[i] = i % 2 == 0 ? -infinity : std::numeric_limits<float>::quiet_NaN();
            }
            Sampling s;
            s.temperature = 1;
            const Scores all = scored(table, logits, mask, s, 1, static_cast<std::uint32_t>(n), 1);
            CHECK(all.best.size() >= mask.count());  // the draw's winner is among them
            for (const Candidate& c : all.best) CHECK(mask[static_cast<std::size_t>(c.id)]);
            double sum = 0;
            for (std::size_t i = 0; i < n; ++i) {
                const float finite = std::isfinite(logits[i]) ? logits[i] : -1e30F;
                if (mask[i]) sum += std::exp(double{finite} - double{all.max});
            }
            if (all.max > -1e30F) CHECK(all.sum_exp == doctest::Approx(sum).epsilon(1e-5));
        }
    }
}

TEST_CASE("constrained texts are the same on any number of devices, of allowed tokens alone") {
    const MadeModel made;
    const std::size_t n = 640;
    std::vector<TokenMask> masks;
    for (unsigned i = 0; i < 12; ++i) masks.push_back(random_mask(n, i, 2 + i * 20));
    // A device without an allowed row, and a single token.
    TokenMask low(n), single(n);
    for (std::size_t i = 5; i < 90; ++i) low.allow(i);
    single.allow(631);
    masks.push_back(low);
    masks.push_back(single);
    Sampling warm;
    warm.temperature = 1.4F;
    warm.seed = 3;
    warm.logit_bias = {{300, 50.0F}};  // refused most of the time
    Sampling filtered = warm;
    filtered.top_k = 50;
    filtered.min_p = 0.01F;
    Sampling wide = warm;
    wide.temperature = 4;
    wide.top_p = 0.97F;
    LocalCluster one(*made.file, options(1));
    for (const Sampling& s : {Sampling(), warm, filtered, wide}) {
        const auto expected = constrained(one, s, masks);
        for (std::size_t i = 0; i < masks.size(); ++i) {
            CHECK(masks[i][static_cast<std::size_t>(expected[i])]);
        }
        CHECK(constrained(one, s, masks, 3) == expected);
        for (const std::uint32_t devices : {3U, 5U}) {
            LocalCluster many(*made.file, options(devices));
            CHECK(constrained(many, s, masks) == expected);
            CHECK(constrained(many, s, masks, 3) == expected);
        }
    }
}

TEST_CASE("a mask concerns its own sequence alone") {
    const MadeModel made;
    LocalCluster cluster(*made.file, options(2));
    const auto free = cluster.generate(kPrompt, 6, {}).ids;
    TokenMask mask(640);
    for (std::size_t i = 100; i < 110; ++i) mask.allow(i);
    const auto held = constrained(cluster, {}, std::vector<TokenMask>(6, mask));
    Sequence first{1, kPrompt, 0, {}}, second{2, kPrompt, 0, {}};
    second.allowed = std::make_shared<const TokenMask>(mask);
    cluster.run_plan([&](exec::Root& root) {
        std::vector<Sequence*> both{&first, &second};
        std::vector<exec::Chosen> chosen;
        for (int i = 0; i < 6; ++i) {
            REQUIRE(root.step(both, chosen) == exec::Status::ok);
            for (const auto& c : chosen) both[c.sequence]->tokens.push_back(c.token);
        }
    });
    CHECK(std::equal(free.begin(), free.end(), first.tokens.begin() + kPrompt.size()));
    CHECK(std::equal(held.begin(), held.end(), second.tokens.begin() + kPrompt.size()));
}

TEST_CASE("a mask of another vocabulary ends the step before anything is computed") {
    const MadeModel made;
    LocalCluster cluster(*made.file, options(1));
    exec::Step step;
    step.rows = {{1, 0}};
    step.embedding_type = kernels::DType::f32;
    step.embeddings.resize(256 * sizeof(float));
    step.outputs.resize(1);
    step.outputs[0].score.mask = TokenMask(640).encode();
    CHECK(cluster.run(step) == exec::Status::ok);
    step.outputs[0].score.mask = TokenMask(641).encode();
    CHECK(cluster.run(step) == exec::Status::malformed);
    step.outputs[0].score.mask.assign(1, 'x');
    CHECK(cluster.run(step) == exec::Status::malformed);
}

}  // namespace masking_test
