#include "daemon/exec/step.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <random>
#include <string>

namespace shoal::exec {
namespace {

Step sample_step() {
    Step step;
    step.releases = {3, 9};
    step.forks = {{1, 2, 130}};
    step.rows = {{1, 0}, {1, 1}, {2, 130}};
    Output output;
    output.row = 2;
    output.score.temperature = 0.7F;
    output.score.seed = 0x1234567890abcdefULL;
    output.score.position = 131;
    output.score.candidates = 40;
    output.score.draw = true;
    output.score.seen = {{5, 2}, {100, 1}};
    output.score.logit_bias = {{7, -1.5F}};
    step.outputs = {output};
    step.embedding_type = kernels::DType::q8_0;
    step.embeddings.resize(3 * kernels::row_bytes(kernels::DType::q8_0, 64), std::byte{0x5a});
    return step;
}

// With all that a step may say.
Step full_step() {
    Step step = sample_step();
    step.outputs[0].score.logprobs = 3;
    step.outputs[0].score.target = 77;
    step.outputs[0].score.mask = std::string("\1\0\x7f", 3);
    step.hidden = {{0, 1}, {2, 1}};
    return step;
}

std::vector<Scores> full_scores() {
    std::vector<Scores> scores{{{{1, 2.0F}, {3, 1.0F}}, 2.0F, 1.4, {1, 2.0F}},
                               {{{4, 1.0F}}, 1.0F, 0, {-1, 0}}};
    scores[1].raw = RawScores{{{9, 3.5F}}, {{4, 0.5F}, {1, 0.25F}}, 3.5F, 2.5};
    return scores;
}

}  // namespace

TEST_CASE("a step survives the wire") {
    const Step step = sample_step();
    std::vector<std::byte> bytes;
    encode_step(step, bytes);
    const auto order = decode_order(bytes, 64);
    REQUIRE(order);
    REQUIRE(order->command == Command::step);
    const Step& got = order->step;
    CHECK(got.releases == step.releases);
    REQUIRE(got.forks.size() == 1);
    CHECK(got.forks[0].positions == 130);
    REQUIRE(got.rows.size() == 3);
    CHECK(got.rows[2].sequence == 2);
    CHECK(got.rows[2].position == 130);
    REQUIRE(got.outputs.size() == 1);
    const ScoreRequest& score = got.outputs[0].score;
    CHECK(score.temperature == 0.7F);
    CHECK(score.seed == 0x1234567890abcdefULL);
    CHECK(score.position == 131);
    CHECK(score.candidates == 40);
    CHECK(score.draw);
    REQUIRE(score.seen.size() == 2);
    CHECK(score.seen[1].id == 100);
    CHECK(score.logit_bias == step.outputs[0].score.logit_bias);
    CHECK(got.embedding_type == kernels::DType::q8_0);
    CHECK(got.embeddings == step.embeddings);
}

TEST_CASE("the other orders survive the wire") {
    std::vector<std::byte> bytes;
    encode_more(3, 999, bytes);
    const auto more = decode_order(bytes, 64);
    REQUIRE(more);
    CHECK(more->command == Command::more_candidates);
    CHECK(more->output == 3);
    CHECK(more->candidates == 999);
    encode_stop(bytes);
    REQUIRE(decode_order(bytes, 64));
    CHECK(decode_order(bytes, 64)->command == Command::stop);
}

TEST_CASE("an order about blocks survives the wire, and only whole") {
    BlockOrder blocks{7, 5, {BlockName{1, 2}, BlockName{3}}};
    for (const bool read : {false, true}) {
        blocks.read = read;
        std::vector<std::byte> bytes;
        encode_blocks(sample_step(), blocks, bytes);
        const auto order = decode_order(bytes, 64);
        REQUIRE(order);
        CHECK(order->command == Command::write_blocks);
        CHECK(order->blocks.read == read);
        CHECK(order->blocks.sequence == 7);
        CHECK(order->blocks.first == 5);
        CHECK(order->blocks.names == blocks.names);
        CHECK(order->step.releases == sample_step().releases);
        CHECK(order->step.forks.size() == 1);
        CHECK(order->step.rows.empty());
        for (std::size_t n = 0; n < bytes.size(); ++n) {
            CHECK_FALSE(decode_order({bytes.data(), n}, 64));
        }
        bytes.push_back(std::byte{0});
        CHECK_FALSE(decode_order(bytes, 64));
        for (const std::size_t count : {std::size_t{0}, std::size_t{kMaxOrderBlocks} + 1}) {
            encode_blocks({}, {1, 0, std::vector<BlockName>(count), read}, bytes);
            CHECK_FALSE(decode_order(bytes, 64));
        }
    }
    std::vector<std::byte> count;
    encode_block_count(2, count);
    CHECK(decode_block_count(count, 2) == 2U);
    CHECK_FALSE(decode_block_count(count, 1));
    CHECK_FALSE(decode_block_count(std::span(count).first(3), 2));
    count.push_back(std::byte{0});
    CHECK_FALSE(decode_block_count(count, 2));
}

TEST_CASE("every truncated step is refused") {
    std::vector<std::byte> bytes;
    encode_step(sample_step(), bytes);
    for (std::size_t n = 0; n < bytes.size(); ++n) {
        CHECK_FALSE(decode_order({bytes.data(), n}, 64));
    }
    bytes.push_back(std::byte{0});
    CHECK_FALSE(decode_order(bytes, 64));
}

TEST_CASE("a step for another width is refused") {
    std::vector<std::byte> bytes;
    encode_step(sample_step(), bytes);
    CHECK_FALSE(decode_order(bytes, 96));
    CHECK_FALSE(decode_order(bytes, 40));
}

TEST_CASE("an output beyond the rows is refused") {
    Step step = sample_step();
    step.outputs[0].row = 3;
    std::vector<std::byte> bytes;
    encode_step(step, bytes);
    CHECK_FALSE(decode_order(bytes, 64));
}

TEST_CASE("outputs that do not ascend are refused") {
    Step step = sample_step();
    step.outputs.push_back(step.outputs[0]);
    step.outputs[0].row = 1;
    std::vector<std::byte> bytes;
    encode_step(step, bytes);
    CHECK(decode_order(bytes, 64));
    for (const std::uint32_t row : {1U, 0U}) {
        step.outputs[1].row = row;
        encode_step(step, bytes);
        CHECK_FALSE(decode_order(bytes, 64));
    }
}

TEST_CASE("damaged bytes never crash the decoders") {
    std::vector<std::byte> good;
    encode_step(full_step(), good);
    std::vector<std::byte> good_scores;
    encode_scores(full_scores(), good_scores);
    std::mt19937 random(1);
    for (int i = 0; i < 20000; ++i) {
        auto bytes = i % 2 == 0 ? good : good_scores;
        for (int k = 0; k < 3; ++k) {
            bytes[random() % bytes.size()] = static_cast<std::byte>(random());
        }
        // What is accepted has one form.
        std::vector<std::byte> again;
        const auto order = decode_order(bytes, 64);
        if (order && order->command == Command::step) {
            encode_step(order->step, again);
            CHECK(again == bytes);
        }
        if (const auto scores = decode_scores(bytes)) {
            encode_scores(*scores, again);
            CHECK(again == bytes);
        }
    }
}

TEST_CASE("what scores and vectors need survives the wire, and takes bytes only when it is there") {
    const Step step = full_step();
    std::vector<std::byte> bytes, plain;
    encode_step(step, bytes);
    encode_step(sample_step(), plain);
    CHECK(bytes.size() == plain.size() + 8 + (4 + 3) + (4 + 2 * 8));
    const auto order = decode_order(bytes, 64);
    REQUIRE(order);
    CHECK(order->step.outputs[0].score.logprobs == 3);
    CHECK(order->step.outputs[0].score.target == 77);
    CHECK(order->step.outputs[0].score.mask == step.outputs[0].score.mask);
    CHECK(order->step.hidden == step.hidden);
    // A step without the last part is whole without it.
    for (std::size_t n = 0; n < bytes.size(); ++n) {
        CHECK(decode_order({bytes.data(), n}, 64).has_value() == (n == plain.size() + 15));
    }

    const auto scores = full_scores();
    encode_scores(scores, bytes);
    const auto got = decode_scores(bytes);
    REQUIRE(got);
    CHECK_FALSE((*got)[0].raw);
    REQUIRE((*got)[1].raw);
    CHECK((*got)[1].raw->best == scores[1].raw->best);
    CHECK((*got)[1].raw->known == scores[1].raw->known);
    CHECK((*got)[1].raw->max == 3.5F);
    CHECK((*got)[1].raw->sum_exp == 2.5);
}

TEST_CASE("ranges of hidden rows are ascending, apart, and of rows that are there") {
    const auto accepted = [](std::vector<RowRange> hidden) {
        Step step = sample_step();
        step.hidden = std::move(hidden);
        std::vector<std::byte> bytes;
        encode_step(step, bytes);
        return decode_order(bytes, 64).has_value();
    };
    CHECK(accepted({{0, 3}}));
    CHECK(accepted({{0, 1}, {1, 2}}));
    CHECK_FALSE(accepted({{0, 4}}));
    CHECK_FALSE(accepted({{3, 1}}));
    CHECK_FALSE(accepted({{0, 0}}));
    CHECK_FALSE(accepted({{1, 1}, {0, 1}}));
    CHECK_FALSE(accepted({{0, 2}, {1, 1}}));
    CHECK_FALSE(accepted({{1, UINT32_MAX}}));
}

TEST_CASE("reports of outputs that are not there, in disorder, or with NaN are refused") {
    auto scores = full_scores();
    std::vector<std::byte> bytes;
    scores[0].raw = scores[1].raw;
    encode_scores(scores, bytes);
    CHECK(decode_scores(bytes));
    const std::size_t report = 4 + 4 + 8 + 4 + 8 + 4 + 16;
    const std::size_t second = bytes.size() - report;
    for (const std::size_t at : {second, second - report}) {
        auto damaged = bytes;
        damaged[at] = static_cast<std::byte>(at == second ? 0 : 1);
        CHECK_FALSE(decode_scores(damaged));
        damaged[at] = std::byte{2};
        CHECK_FALSE(decode_scores(damaged));
    }
    scores[1].raw->known[0].logit = std::numeric_limits<float>::quiet_NaN();
    encode_scores(scores, bytes);
    CHECK_FALSE(decode_scores(bytes));
    scores[1].raw.reset();
    scores[0].best[0].logit = std::numeric_limits<float>::quiet_NaN();
    encode_scores(scores, bytes);
    CHECK_FALSE(decode_scores(bytes));
}

TEST_CASE("a mask has at most a bit for each token of the largest vocabulary") {
    Step step = sample_step();
    std::vector<std::byte> bytes;
    step.outputs[0].score.mask.assign(kMaxMaskBytes, 'x');
    encode_step(step, bytes);
    CHECK(decode_order(bytes, 64));
    step.outputs[0].score.mask += 'x';
    encode_step(step, bytes);
    CHECK_FALSE(decode_order(bytes, 64));
}

TEST_CASE("a score with parts that nobody knows is refused") {
    std::vector<std::byte> bytes;
    Step step = sample_step();
    encode_step(step, bytes);
    // Command, changes, rows, the output's row, its numbers and candidates.
    const std::size_t flags = 1 + 4 + 8 + 4 + 12 + 4 + 24 + 4 + 4 + 16 + 8 + 8 + 4;
    CHECK(bytes[flags] == std::byte{1});
    bytes[flags] = std::byte{0x81};
    CHECK_FALSE(decode_order(bytes, 64));
}

TEST_CASE("scores survive the wire") {
    const std::vector<Scores> scores{{{{1, 2.0F}, {3, 1.0F}}, 2.0F, 1.4, {-1, 0}},
                                     {{}, 0, 0, {7, 0.5F}}};
    std::vector<std::byte> bytes;
    encode_scores(scores, bytes);
    const auto got = decode_scores(bytes);
    REQUIRE(got);
    REQUIRE(got->size() == 2);
    CHECK((*got)[0].best == scores[0].best);
    CHECK((*got)[0].max == 2.0F);
    CHECK((*got)[0].sum_exp == 1.4);
    CHECK((*got)[1].drawn == scores[1].drawn);
    for (std::size_t n = 0; n < bytes.size(); ++n) CHECK_FALSE(decode_scores({bytes.data(), n}));
}

}  // namespace shoal::exec
