#include "daemon/exec/sampling.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>

namespace shoal::exec {
namespace {

std::vector<float> random_logits(std::size_t n, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, 3);
    std::vector<float> logits(n);
    for (float& l : logits) l = normal(random);
    return logits;
}

const kernels::Table& kTable = *kernels::table_for(kernels::best_isa());

Scores scored_part(const kernels::Table& table, std::span<const float> logits, std::int32_t first,
                   const ScoreRequest& request) {
    ScoreBuffers buffers;
    Scores scores;
    score_logits(table, logits, first, request, buffers, scores);
    return scores;
}

// Scores the logits cut into `parts` devices and merges them, as the root does.
Scores scored(std::vector<float> logits, const Sampling& s, std::uint64_t position,
              std::size_t parts) {
    ScoreRequest request;
    request.temperature = s.temperature;
    request.seed = s.seed;
    request.position = position;
    request.candidates = wanted_candidates(s, static_cast<std::uint32_t>(logits.size()));
    request.draw = draws_from_all(s);
    request.logit_bias = s.logit_bias;
    std::vector<Scores> scores;
    std::size_t begin = 0;
    for (std::size_t p = 0; p < parts; ++p) {
        const std::size_t end = logits.size() * (p + 1) / parts;
        const std::span<float> part(logits.data() + begin, end - begin);
        const auto first = static_cast<std::int32_t>(begin);
        adjust_logits(kTable, part, first, request);
        scores.push_back(scored_part(kTable, part, first, request));
        begin = end;
    }
    return merge_scores(scores, request.candidates);
}

std::int32_t sample(const std::vector<float>& logits, const Sampling& s, std::uint64_t position,
                    std::size_t parts) {
    return choose(scored(logits, s, position, parts), s, position,
                  static_cast<std::uint32_t>(logits.size()));
}

// How often each token is chosen over many positions.
std::map<std::int32_t, double> frequencies(const std::vector<float>& logits, const Sampling& s) {
    constexpr int kDraws = 40000;
    std::map<std::int32_t, double> out;
    for (int i = 0; i < kDraws; ++i) {
        out[sample(logits, s, static_cast<std::uint64_t>(i), 2)] += 1.0 / kDraws;
    }
    return out;
}

}  // namespace

TEST_CASE("greedy takes the largest logit, ties go to the lower id") {
    const std::vector<float> logits{1, 5, 2, 5, 0};
    for (const std::size_t parts : {1U, 2U, 3U, 5U}) CHECK(sample(logits, {}, 0, parts) == 1);
}

TEST_CASE("draws follow the softmax") {
    const std::vector<float> logits{2, 1, 0, -1, -30};
    for (const float temperature : {1.0F, 2.0F}) {
        Sampling s;
        s.temperature = temperature;
        const auto seen = frequencies(logits, s);
        double sum = 0;
        for (const float l : logits) sum += std::exp(l / temperature);
        for (std::int32_t id = 0; id < 4; ++id) {
            CHECK(seen.at(id) ==
                  doctest::Approx(std::exp(logits[id] / temperature) / sum).epsilon(0.05));
        }
        CHECK_FALSE(seen.contains(4));
    }
}

TEST_CASE("top_k, top_p and min_p keep what they say, in proportion") {
    const std::vector<float> logits{2, 1, 0, -1, -2};
    Sampling s;
    s.temperature = 1;
    const double e = std::exp(1.0);
    SUBCASE("top_k 2") {
        s.top_k = 2;
        const auto seen = frequencies(logits, s);
        CHECK(seen.size() == 2);
        CHECK(seen.at(0) == doctest::Approx(e / (e + 1)).epsilon(0.03));
    }
    SUBCASE("top_p 0.7: the first token has 0.64, the second reaches it") {
        s.top_p = 0.7F;
        CHECK(frequencies(logits, s).size() == 2);
    }
    SUBCASE("top_p after top_k refers to what top_k kept") {
        s.top_k = 2;
        s.top_p = 0.7F;
        CHECK(frequencies(logits, s).size() == 1);
    }
    SUBCASE("min_p 0.1 keeps what is at least a tenth as likely as the best") {
        s.min_p = 0.1F;
        CHECK(frequencies(logits, s).size() == 3);
    }
}

TEST_CASE("a token does not depend on the cut") {
    Sampling s;
    s.temperature = 1.2F;
    for (const std::uint32_t top_k : {0U, 5U, 40U}) {
        for (const float top_p : {1.0F, 0.9F}) {
            s.top_k = top_k;
            s.top_p = top_p;
            for (unsigned seed = 0; seed < 30; ++seed) {
                s.seed = seed;
                const auto logits = random_logits(500, seed);
                const std::int32_t expected = sample(logits, s, seed, 1);
                for (const std::size_t parts : {2U, 3U, 7U}) {
                    CHECK(sample(logits, s, seed, parts) == expected);
                }
            }
        }
    }
}

TEST_CASE("a nucleus larger than the candidates asks for more") {
    Sampling s;
    s.temperature = 1;
    s.top_p = 0.99F;
    const std::vector<float> flat(5000, 0.0F);
    Scores scores = scored(flat, s, 0, 2);
    CHECK(scores.best.size() < flat.size());
    CHECK(choose(scores, s, 0, 5000) == -1);
    ScoreRequest all;
    all.temperature = 1;
    all.candidates = 5000;
    scores = scored_part(kTable, flat, 0, all);
    CHECK(choose(scores, s, 0, 5000) >= 0);
    CHECK(choose(scores, s, 0, 5000) < 4951);  // flat: the lower ids make the nucleus
}

TEST_CASE("scores are those of sorting everything, on every ISA") {
    for (const kernels::Isa isa : kernels::kIsas) {
        const kernels::Table* table = kernels::table_for(isa);
        if (table == nullptr) continue;
        for (const std::size_t n : {1U, 127U, 1000U, 20011U}) {
            auto logits = random_logits(n, static_cast<unsigned>(n));
            // Ties within and across blocks.
            for (std::size_t i = 3; i < n; i += 5) logits[i] = std::round(logits[i]);
            std::vector<Candidate> sorted;
            for (std::size_t i = 0; i < n; ++i) {
                sorted.push_back({static_cast<std::int32_t>(100 + i), logits[i]});
            }
            std::stable_sort(sorted.begin(), sorted.end(),
                             [](const auto& a, const auto& b) { return a.logit > b.logit; });
            for (const std::uint32_t candidates : {0U, 1U, 2U, 40U, 128U, 200U, 30000U}) {
                ScoreRequest request;
                request.candidates = candidates;
                request.temperature = 1;
                const Scores scores = scored_part(*table, logits, 100, request);
                CHECK(scores.max == sorted[0].logit);
                const auto count =
                    static_cast<std::ptrdiff_t>(std::min<std::size_t>(candidates, n));
                CHECK(scores.best ==
                      std::vector<Candidate>(sorted.begin(), sorted.begin() + count));
            }
        }
    }
}

TEST_CASE("the draw is the winner of logit and noise, on every ISA") {
    for (const float spread : {0.0F, 1.0F, 30.0F}) {
        for (std::uint64_t position = 0; position < 200; ++position) {
            auto logits = random_logits(1500, static_cast<unsigned>(position));
            for (float& l : logits) l *= spread;
            if (position % 4 == 0) logits[7] = -std::numeric_limits<float>::infinity();
            ScoreRequest request{.temperature = 1, .seed = 9, .position = position, .draw = true};
            Candidate expected{-1, 0};
            double best = -std::numeric_limits<double>::infinity();
            for (std::size_t i = 0; i < logits.size(); ++i) {
                const auto id = static_cast<std::int32_t>(50 + i);
                const double noisy = logits[i] + gumbel_noise(9, position, id);
                if (noisy > best) best = noisy, expected = {id, logits[i]};
            }
            for (const kernels::Isa isa : kernels::kIsas) {
                const kernels::Table* table = kernels::table_for(isa);
                if (table == nullptr) continue;
                CHECK(scored_part(*table, logits, 50, request).drawn == expected);
            }
        }
    }
}

TEST_CASE("penalties and bias act on their tokens only") {
    ScoreRequest request;
    request.repeat_penalty = 2;
    request.presence_penalty = 0.5F;
    request.frequency_penalty = 0.25F;
    request.seen = {{10, 3}, {12, 1}, {99, 1}};
    request.logit_bias = {{11, 1.5F}, {5, 9}};
    std::vector<float> logits{4, 1, -2, 3};  // ids 10..13
    adjust_logits(kTable, logits, 10, request);
    CHECK(logits == std::vector<float>{4 / 2.0F - 0.5F - 0.75F, 2.5F, -4 - 0.75F, 3});
}

TEST_CASE("NaN logits lose") {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    CHECK(sample({nan, 1, nan, 2}, {}, 0, 2) == 3);
    CHECK(sample({nan, nan}, {}, 0, 1) == 0);
}

TEST_CASE("only the last tokens count for penalties") {
    const std::vector<std::int32_t> history{7, 7, 7, 1, 2, 1};
    const auto seen = count_seen(history, 3);
    REQUIRE(seen.size() == 2);
    CHECK(seen[0].id == 1);
    CHECK(seen[0].count == 2);
    CHECK(count_seen(history, 100).size() == 3);
    CHECK(count_seen(history, 0).empty());
}

TEST_CASE("Gumbel noise has the mean and variance of the distribution") {
    double sum = 0;
    double squares = 0;
    constexpr int kDraws = 100000;
    for (int i = 0; i < kDraws; ++i) {
        const double g = gumbel_noise(42, static_cast<std::uint64_t>(i / 100), i % 100);
        sum += g;
        squares += g * g;
    }
    const double mean = sum / kDraws;
    CHECK(mean == doctest::Approx(0.5772).epsilon(0.03));
    CHECK(squares / kDraws - mean * mean == doctest::Approx(1.6449).epsilon(0.03));
}

}  // namespace shoal::exec
