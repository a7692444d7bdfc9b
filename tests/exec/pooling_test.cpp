// Texts as vectors: against float64 on any number of devices, in steps of any size.
#include "daemon/exec/pooling.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/exec/double_model.hpp"
#include "tests/exec/local_cluster.hpp"
#include "tests/model/model_maker.hpp"
#include "tests/model/temporary_folder.hpp"

namespace pooling_test {

using namespace shoal;
using namespace shoal::tests;
using exec::Pool;
using exec::Pooling;
using exec::RowRange;
using exec::Sequence;

namespace {

struct MadeModel {
    TemporaryFolder folder;
    std::unique_ptr<model::GgufFile> file;

    explicit MadeModel(const char* architecture = "llama", const char* type = "f32") {
        ModelShape shape;
        shape.architecture = architecture;
        shape.type = type;
        if (shape.architecture == "qwen3moe") shape.n_experts = 6;
        make_model(shape, folder.folder / "model.gguf");
        file = std::make_unique<model::GgufFile>(folder.folder / "model.gguf");
    }
};

ClusterOptions options(std::uint32_t devices, std::uint32_t rows = 64) {
    ClusterOptions o;
    o.devices = devices;
    o.exec.kv_type = kernels::KvType::f32;
    o.exec.collectives = exec::PayloadType::f32;
    o.exec.kv_positions = 512;
    o.exec.max_rows = rows;
    return o;
}

std::vector<double> pooled(const std::vector<std::vector<double>>& hidden, Pooling pooling) {
    if (pooling == Pooling::first) return hidden.front();
    if (pooling == Pooling::last) return hidden.back();
    std::vector<double> mean(hidden[0].size());
    for (const auto& row : hidden) {
        for (std::size_t i = 0; i < mean.size(); ++i) {
            mean[i] += row[i] / static_cast<double>(hidden.size());
        }
    }
    return mean;
}

// Beside the length of what is expected.
double relative_error(const std::vector<float>& got, const std::vector<double>& expected) {
    REQUIRE(got.size() == expected.size());
    double error = 0, length = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
        error += (got[i] - expected[i]) * (got[i] - expected[i]);
        length += expected[i] * expected[i];
    }
    return std::sqrt(error / length);
}

Sequence embedded(exec::SequenceId id, const std::vector<std::int32_t>& text, Pooling pooling) {
    Sequence s{id, text, 0, {}};
    s.answers = false;
    s.pool.emplace(pooling, static_cast<std::uint32_t>(text.size()));
    return s;
}

std::vector<float> vector_of(LocalCluster& cluster, const std::vector<std::int32_t>& text,
                             Pooling pooling) {
    Sequence sequence = embedded(1, text, pooling);
    cluster.run_plan([&](exec::Root& root) {
        Sequence* running = &sequence;
        std::vector<exec::Chosen> chosen;
        while (sequence.computed < text.size()) {
            REQUIRE(root.step({&running, 1}, chosen) == exec::Status::ok);
            CHECK(chosen.empty());
        }
    });
    return sequence.pool->vector();
}

constexpr Pooling kPoolings[] = {Pooling::mean, Pooling::first, Pooling::last};

}  // namespace

TEST_CASE("vectors are those of float64, on any number of devices, in several steps") {
    for (const char* architecture : {"llama", "qwen3moe"}) {
        const MadeModel made(architecture);
        const auto text = text_of(75);
        const auto hidden = DoubleModel(*made.file).hidden(text);
        for (const std::uint32_t devices : {1U, 3U, 5U}) {
            LocalCluster cluster(*made.file, options(devices, 32));
            for (const Pooling pooling : kPoolings) {
                CAPTURE(architecture);
                CAPTURE(devices);
                CAPTURE(static_cast<int>(pooling));
                const auto got = vector_of(cluster, text, pooling);
                CHECK(relative_error(got, pooled(hidden, pooling)) < 1e-4);
            }
        }
    }
}

TEST_CASE("vectors do not depend on how a text is cut into steps") {
    const MadeModel made("llama", "q4_k");
    const auto text = text_of(75);
    for (const Pooling pooling : kPoolings) {
        LocalCluster whole(*made.file, options(2, 128));
        const auto expected = vector_of(whole, text, pooling);
        for (const std::uint32_t rows : {7U, 64U}) {
            LocalCluster cut(*made.file, options(2, rows));
            CHECK(vector_of(cut, text, pooling) == expected);
        }
    }
}

TEST_CASE("texts that are shared out by rows have the vectors of others") {
    const MadeModel made;
    const auto text = text_of(75);
    const auto hidden = DoubleModel(*made.file).hidden(text);
    ClusterOptions o = options(3, 32);
    o.exec.sequence_rows = 40;
    o.row_shares = {2, 0, 1};
    LocalCluster shared(*made.file, o);
    for (const Pooling pooling : kPoolings) {
        const auto got = vector_of(shared, text, pooling);
        CHECK(relative_error(got, pooled(hidden, pooling)) < 1e-4);
    }
}

TEST_CASE("vectors and answers that are computed together are what each is alone") {
    const MadeModel made("qwen3", "q4_k");
    ClusterOptions o = options(3, 48);
    LocalCluster cluster(*made.file, o);
    const auto text = text_of(90), prompt = text_of(20);
    const auto ids = cluster.generate(prompt, 8, {}).ids;
    const auto mean = vector_of(cluster, text, Pooling::mean);
    const auto last = vector_of(cluster, prompt, Pooling::last);

    Sequence first = embedded(1, text, Pooling::mean), second = embedded(3, prompt, Pooling::last);
    Sequence answer{2, prompt, 0, {}};
    cluster.run_plan([&](exec::Root& root) {
        std::vector<exec::Chosen> chosen;
        while (answer.tokens.size() < prompt.size() + ids.size() || first.computed < 90 ||
               second.computed < 20) {
            std::vector<Sequence*> running;
            for (Sequence* s : {&answer, &first, &second}) {
                if (s->answers || s->computed < s->tokens.size()) running.push_back(s);
            }
            REQUIRE(root.step(running, chosen) == exec::Status::ok);
            for (const auto& c : chosen) running[c.sequence]->tokens.push_back(c.token);
        }
    });
    answer.tokens.resize(prompt.size() + ids.size());
    CHECK(std::equal(ids.begin(), ids.end(), answer.tokens.begin() + 20));
    CHECK(first.pool->vector() == mean);
    CHECK(second.pool->vector() == last);
}

TEST_CASE("a pool wants what its kind needs of each part") {
    const Pool mean(Pooling::mean, 10), first(Pooling::first, 10), last(Pooling::last, 10);
    CHECK(mean.wanted(4, 6) == RowRange{4, 6});
    CHECK(first.wanted(0, 4) == RowRange{0, 1});
    CHECK(first.wanted(4, 6).count == 0);
    CHECK(last.wanted(0, 9).count == 0);
    CHECK(last.wanted(9, 1) == RowRange{9, 1});
    CHECK(last.wanted(0, 10) == RowRange{9, 1});
}

}  // namespace pooling_test
