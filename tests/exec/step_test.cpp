#include "daemon/exec/step.hpp"

#include <doctest/doctest.h>

#include <random>

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
    encode_step(sample_step(), good);
    std::vector<std::byte> good_scores;
    encode_scores(std::vector<Scores>{{{{1, 2.0F}, {3, 1.0F}}, 2.0F, 1.4, {1, 2.0F}}}, good_scores);
    std::mt19937 random(1);
    for (int i = 0; i < 20000; ++i) {
        auto bytes = i % 2 == 0 ? good : good_scores;
        for (int k = 0; k < 3; ++k) {
            bytes[random() % bytes.size()] = static_cast<std::byte>(random());
        }
        static_cast<void>(decode_order(bytes, 64));
        static_cast<void>(decode_scores(bytes));
    }
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
