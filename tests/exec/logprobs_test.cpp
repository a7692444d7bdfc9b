// How likely tokens are: against float64 on any number of devices, alone and beside others.
#include "daemon/exec/logprobs.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/exec/double_model.hpp"
#include "tests/exec/local_cluster.hpp"
#include "tests/model/model_maker.hpp"
#include "tests/model/temporary_folder.hpp"

namespace logprobs_test {

using namespace shoal;
using namespace shoal::tests;
using exec::Candidate;
using exec::Logprob;
using exec::Sequence;

namespace {

constexpr double kTolerance = 1e-4;

struct MadeModel {
    TemporaryFolder folder;
    std::unique_ptr<model::GgufFile> file;

    explicit MadeModel(const char* type = "f32") {
        ModelShape shape;
        shape.type = type;
        make_model(shape, folder.folder / "model.gguf");
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

// Of float64 logits, of all tokens.
std::vector<double> log_softmax(const std::vector<double>& logits) {
    const double max = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const double l : logits) sum += std::exp(l - max);
    std::vector<double> out;
    for (const double l : logits) out.push_back(l - max - std::log(sum));
    return out;
}

// The token's own, then the n - 1 likeliest of all in order.
void check_scores(const std::vector<Logprob>& scores, std::int32_t token, std::size_t n,
                  const std::vector<double>& expected) {
    REQUIRE(scores.size() == n);
    CHECK(scores[0].id == token);
    std::vector<std::size_t> order(expected.size());
    std::iota(order.begin(), order.end(), 0U);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return expected[a] > expected[b]; });
    for (std::size_t i = 0; i < n; ++i) {
        const double logprob = scores[i].logprob;
        CHECK(std::abs(logprob - expected[static_cast<std::size_t>(scores[i].id)]) < kTolerance);
        if (i != 0) CHECK(std::abs(logprob - expected[order[i - 1]]) < kTolerance);
        if (i > 1) CHECK(logprob <= scores[i - 1].logprob);
    }
}

// A sequence to its end.
struct Told {
    std::vector<std::int32_t> ids;
    std::vector<std::vector<Logprob>> scores, prompt;
    std::vector<std::uint32_t> steps;  // scores of the prompt that each step gave
};

void run(exec::Root& root, const std::vector<Sequence*>& sequences, std::vector<Told>& told,
         std::size_t count) {
    told.assign(sequences.size(), {});
    std::vector<exec::Chosen> chosen;
    for (;;) {
        std::vector<Sequence*> running;
        std::vector<std::size_t> which;
        for (std::size_t i = 0; i < sequences.size(); ++i) {
            const bool over = sequences[i]->answers
                                  ? told[i].ids.size() == count
                                  : sequences[i]->computed == sequences[i]->tokens.size();
            if (over) continue;
            running.push_back(sequences[i]);
            which.push_back(i);
        }
        if (running.empty()) return;
        REQUIRE(root.step(running, chosen) == exec::Status::ok);
        for (exec::Chosen& c : chosen) {
            Told& of = told[which[c.sequence]];
            of.ids.push_back(c.token);
            of.scores.push_back(std::move(c.scores));
            running[c.sequence]->tokens.push_back(c.token);
        }
        for (std::size_t i = 0; i < running.size(); ++i) {
            auto& scores = running[i]->prompt_scores;
            Told& of = told[which[i]];
            if (!scores.empty()) of.steps.push_back(static_cast<std::uint32_t>(scores.size()));
            std::move(scores.begin(), scores.end(), std::back_inserter(of.prompt));
            scores.clear();
        }
    }
}

std::vector<Told> told_of(LocalCluster& cluster, std::vector<Sequence> sequences,
                          std::size_t count) {
    std::vector<Told> told;
    std::vector<Sequence*> pointers;
    for (Sequence& s : sequences) pointers.push_back(&s);
    cluster.run_plan([&](exec::Root& root) { run(root, pointers, told, count); });
    return told;
}

exec::Sampling warm() {
    exec::Sampling s;
    s.temperature = 1.3F;
    s.repeat_penalty = 1.2F;
    s.presence_penalty = 0.5F;
    s.seed = 4;
    s.logit_bias = {{300, 4.0F}, {17, -5.0F}};
    return s;
}

Sequence scored(exec::SequenceId id, std::vector<std::int32_t> tokens, exec::Sampling sampling,
                std::uint32_t logprobs, bool prompt, bool answers = true) {
    Sequence s{id, std::move(tokens), 0, std::move(sampling)};
    s.logprobs = logprobs;
    s.scored_until = prompt ? static_cast<std::uint32_t>(s.tokens.size()) : 0;
    s.answers = answers;
    return s;
}

}  // namespace

TEST_CASE("scores of chosen tokens are the log-softmax of raw logits, as float64 has it") {
    const MadeModel made;
    const DoubleModel exact(*made.file);
    const auto prompt = text_of(20);
    exec::Sampling filtered = warm();
    filtered.top_k = 40;
    filtered.top_p = 0.95F;
    exec::Sampling wide = warm();  // asks for more candidates than the first answer has
    wide.temperature = 3;
    wide.top_p = 0.95F;
    for (const std::uint32_t devices : {1U, 3U, 5U}) {
        CAPTURE(devices);
        LocalCluster cluster(*made.file, options(devices));
        for (const exec::Sampling& sampling : {exec::Sampling(), warm(), filtered, wide}) {
            for (const std::uint32_t n : {1U, 2U, 21U}) {
                const Told told =
                    told_of(cluster, {scored(1, prompt, sampling, n, false)}, 4).at(0);
                REQUIRE(told.scores.size() == 4);
                auto text = prompt;
                text.insert(text.end(), told.ids.begin(), told.ids.end());
                const auto logits = exact.logits(text);
                for (std::size_t i = 0; i < 4; ++i) {
                    check_scores(told.scores[i], told.ids[i], n,
                                 log_softmax(logits[prompt.size() - 1 + i]));
                }
            }
        }
    }
}

TEST_CASE("scores of a prompt's tokens come in order, a step's outputs at a time") {
    const MadeModel made;
    const auto prompt = text_of(40);
    const auto logits = DoubleModel(*made.file).logits(prompt);
    for (const std::uint32_t devices : {1U, 3U, 5U}) {
        for (const bool answers : {true, false}) {
            CAPTURE(devices);
            CAPTURE(answers);
            LocalCluster cluster(*made.file, options(devices));
            const Told told =
                told_of(cluster, {scored(1, prompt, warm(), 3, true, answers)}, 2).at(0);
            REQUIRE(told.prompt.size() == prompt.size() - 1);
            for (std::size_t i = 0; i < told.prompt.size(); ++i) {
                check_scores(told.prompt[i], prompt[i + 1], 3, log_softmax(logits[i]));
            }
            const std::uint32_t outputs = options(1).exec.max_outputs;
            CHECK(*std::max_element(told.steps.begin(), told.steps.end()) == outputs);
            CHECK(told.steps.size() == (prompt.size() - 2) / outputs + 1);
            CHECK(told.ids.size() == (answers ? 2 : 0));
        }
    }
}

TEST_CASE("texts are the same whether anybody asks how likely they are") {
    const MadeModel made("q4_k");
    ClusterOptions o = options(3);
    o.exec.kv_positions = 1024;
    LocalCluster cluster(*made.file, o);
    const auto long_text = text_of(90), short_text = text_of(7);
    const auto plain = [&](exec::SequenceId id, const std::vector<std::int32_t>& tokens) {
        return scored(id, tokens, warm(), 0, false);
    };
    const auto first = cluster.generate(long_text, 12, warm()).ids;
    const auto second = cluster.generate(short_text, 12, warm()).ids;
    const auto alone = told_of(cluster, {scored(1, long_text, warm(), 5, true)}, 12).at(0);
    CHECK(alone.ids == first);

    // Beside others who ask or do not, whoever comes first.
    const auto together = told_of(
        cluster,
        {plain(1, short_text), scored(2, long_text, warm(), 5, true), plain(3, long_text),
         scored(4, short_text, warm(), 2, false), scored(5, long_text, warm(), 5, true, false)},
        12);
    CHECK(together[0].ids == second);
    CHECK(together[1].ids == first);
    CHECK(together[2].ids == first);
    CHECK(together[3].ids == second);
    CHECK(together[0].scores[0].empty());
    // The same numbers to the last bit.
    CHECK(together[1].prompt == alone.prompt);
    CHECK(together[1].scores == alone.scores);
    CHECK(together[4].prompt == alone.prompt);
}

TEST_CASE("a prompt that is scored leaves an output for each of the others") {
    const MadeModel made;
    ClusterOptions o = options(2);
    o.exec.max_outputs = 3;
    LocalCluster cluster(*made.file, o);
    Sequence reading = scored(1, text_of(30), {}, 1, true, false);
    Sequence first = scored(2, text_of(4), {}, 0, false);
    Sequence second = scored(3, text_of(5), {}, 0, false);
    cluster.run_plan([&](exec::Root& root) {
        std::vector<Sequence*> all{&reading, &first, &second};
        std::vector<exec::Chosen> chosen;
        REQUIRE(root.step(all, chosen) == exec::Status::ok);
        CHECK(chosen.size() == 2);
        CHECK(reading.prompt_scores.size() == 1);
        // Others than these need no outputs any more: all are its own.
        std::vector<Sequence*> alone{&reading};
        REQUIRE(root.step(alone, chosen) == exec::Status::ok);
        CHECK(reading.prompt_scores.size() == 4);
    });
}

TEST_CASE("who does not ask sends what was sent before, to the byte") {
    const MadeModel made;
    LocalCluster cluster(*made.file, options(3));
    const auto sent = [&](std::uint32_t logprobs) {
        const auto told = told_of(cluster, {scored(1, text_of(9), {}, logprobs, false)}, 5);
        return std::pair(cluster.sent(0), cluster.sent(1));
    };
    const auto none = sent(0);
    const std::uint64_t dim = cluster.hparams().dim, layers = cluster.hparams().n_layers;
    // Sums twice a layer, of the last layer those of the row with the output alone.
    const std::uint64_t steps = 5, rows = 9 + 4;
    const std::uint64_t sums = 2 * ((layers - 1) * rows + steps) * 4 * dim;
    // A command, four counts and a type; an output; rows and their embeddings; at last a stop.
    const std::uint64_t heads = 1 + 4 * 4 + 4;
    const std::uint64_t output = 4 + 4 * 4 + 8 + 8 + 4 + 1 + 4 + 4;
    const std::uint64_t orders = steps * (heads + output) + rows * (8 + 4 * dim) + 1;
    CHECK(none.first == 2 * (sums + orders));
    // To the root an answer: a count, max, sum, drawn, the best.
    CHECK(none.second == 2 * sums + steps * (4 + 4 + 8 + 8 + 4 + 8));
    // Asking takes eight bytes of an order, and a report of each device.
    const auto one = sent(1);
    CHECK(one.first == none.first + 2 * steps * 8);
    CHECK(one.second == none.second + steps * (4 + 4 + 8 + 4 + 4 + 8));
}

TEST_CASE("ties among the likeliest go to the lower id, and a token of -inf has none of the sum") {
    const kernels::Table& table = *kernels::table_for(kernels::best_isa());
    std::vector<float> logits{1, 3, -std::numeric_limits<float>::infinity(),
                              3, 2, std::numeric_limits<float>::quiet_NaN()};
    std::vector<exec::Scores> parts;
    for (std::size_t begin = 0; begin < 6; begin += 2) {
        exec::ScoreRequest request;
        request.logprobs = 4;
        request.target = 1;
        exec::ScoreBuffers buffers;
        exec::Scores& scores = parts.emplace_back();
        exec::report_logits(table, std::span(logits).subspan(begin, 2),
                            static_cast<std::int32_t>(begin), request, buffers, scores);
    }
    const auto got = exec::logprobs_of(exec::merge_raw(parts, 3), 1);
    REQUIRE(got.size() == 4);
    const double sum = std::exp(-2.0) + 1 + 1 + std::exp(-1.0);
    CHECK(got[0].id == 1);
    CHECK(got[0].logprob == doctest::Approx(-std::log(sum)));
    CHECK(got[1].id == 1);
    CHECK(got[2].id == 3);
    CHECK(got[3].id == 4);
    CHECK(exec::logprobs_of(exec::merge_raw(parts, 3), 0).empty());
}

}  // namespace logprobs_test
