#include "tests/model/model_maker.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>

#include "daemon/model/gguf.hpp"
#include "daemon/model/hparams.hpp"
#include "daemon/model/tokenizer.hpp"
#include "kernels/kernels.hpp"
#include "tests/model/temporary_folder.hpp"
#include "tests/model/vocabulary_maker.hpp"

namespace shoal::tests::model_maker_test {
namespace {

using kernels::DType;
using model::GgufFile;
using model::TensorInfo;

std::string content(const std::filesystem::path& path) {
    std::ostringstream out;
    out << std::ifstream(path, std::ios::binary).rdbuf();
    return out.str();
}

std::vector<float> values(const GgufFile& file, const TensorInfo& info) {
    std::vector<float> out(info.cols * info.rows);
    const std::size_t row_bytes = kernels::row_bytes(info.type, info.cols);
    const auto data = file.data(info);
    for (std::size_t row = 0; row < info.rows; ++row) {
        kernels::dequantize(info.type, data.data() + row * row_bytes, out.data() + row * info.cols,
                            info.cols);
    }
    return out;
}

/// The smallest shape that blocks of 256 fit: they take long to quantise.
ModelShape small_shape() {
    ModelShape shape;
    shape.n_layers = 1;
    shape.n_ff = 256;
    shape.n_vocab = kMinVocabulary;
    return shape;
}

/// Wide enough for its matrices to come from a pool.
ModelShape wide_shape() {
    ModelShape shape;
    shape.dim = 1024;
    shape.n_ff = 1024;
    shape.n_layers = 1;
    return shape;
}

}  // namespace

TEST_SUITE("model maker") {
    TEST_CASE_FIXTURE(TemporaryFolder, "every architecture and type makes a readable model") {
        const auto path = folder / "m.gguf";
        const auto check = [&](const ModelShape& shape) {
            CAPTURE(shape.architecture);
            CAPTURE(shape.type);
            make_model(shape, path);
            const GgufFile file(path);
            const model::Hparams h = model::read_hparams(file);
            CHECK(h.architecture == shape.architecture);
            CHECK(h.n_vocab == shape.n_vocab);
            CHECK(h.tied_output == shape.tied);
            CHECK(h.rope_freqs.size() == (shape.rope_freqs ? shape.head_dim / 2 : 0));
        };
        ModelShape shape = small_shape();
        for (const char* architecture : {"llama", "qwen2", "qwen3"}) {
            shape.architecture = architecture;
            check(shape);
        }
        ModelShape experts = shape;
        experts.architecture = "qwen3moe";
        experts.n_experts = 4;
        for (const char* type : {"f32", "q4_k_m"}) {
            experts.type = type;
            check(experts);
        }
        for (const char* type :
             {"f32",    "f16",    "bf16",   "q4_0",       "q4_1",         "q5_0",
              "q5_1",   "q8_0",   "q2_k",   "q3_k",       "q4_k",         "q5_k",
              "q6_k",   "iq4_nl", "iq4_xs", "q2_k_mixed", "q2_k_s",       "q3_k_s",
              "q3_k_m", "q3_k_l", "q4_k_m", "q5_k_m",     "iq4_nl_mixed", "iq4_xs_mixed"}) {
            shape.type = type;
            shape.tied = !shape.tied;
            shape.rope_freqs = !shape.tied;
            check(shape);
        }
    }

    TEST_CASE_FIXTURE(TemporaryFolder, "the same shape and seed give the same file") {
        ModelShape shape = wide_shape();
        shape.type = "q8_0";
        make_model(shape, folder / "a");
        shape.threads = 3;
        make_model(shape, folder / "b");
        CHECK(content(folder / "a") == content(folder / "b"));
        shape.seed = 2;
        make_model(shape, folder / "c");
        CHECK(content(folder / "a") != content(folder / "c"));
    }

    TEST_CASE_FIXTURE(TemporaryFolder, "weights are the same noise in every type") {
        for (ModelShape shape : {small_shape(), wide_shape()}) {
            make_model(shape, folder / "f32");
            shape.type = "q8_0";
            make_model(shape, folder / "q8");
            const GgufFile exact(folder / "f32");
            const GgufFile rounded(folder / "q8");
            for (const TensorInfo& info : exact.header().tensors()) {
                const auto a = values(exact, info);
                const auto b = values(rounded, rounded.header().tensor(info.name));
                float largest = 0;
                float error = 0;
                for (std::size_t i = 0; i < a.size(); ++i) {
                    largest = std::max(largest, std::fabs(a[i]));
                    error = std::max(error, std::fabs(a[i] - b[i]));
                }
                CAPTURE(info.name);
                CHECK(largest > 0);
                CHECK(error <= largest / 127);
            }
        }
    }

    TEST_CASE_FIXTURE(TemporaryFolder, "matrices have the deviation asked for and unlike rows") {
        const ModelShape shape = wide_shape();
        make_model(shape, folder / "m");
        const GgufFile file(folder / "m");
        const TensorInfo& info = file.header().tensor("blk.0.ffn_up.weight");
        const auto weights = values(file, info);
        double sum = 0;
        double squares = 0;
        std::set<std::vector<float>> rows;
        for (std::size_t row = 0; row < info.rows; ++row) {
            const auto begin = weights.begin() + static_cast<std::ptrdiff_t>(row * info.cols);
            rows.emplace(begin, begin + static_cast<std::ptrdiff_t>(info.cols));
        }
        for (const float w : weights) {
            sum += static_cast<double>(w);
            squares += static_cast<double>(w) * static_cast<double>(w);
        }
        const double count = static_cast<double>(weights.size());
        CHECK(rows.size() == info.rows);
        CHECK(std::fabs(sum / count) < 1e-3);
        CHECK(std::sqrt(squares / count) == doctest::Approx(1 / 32.0).epsilon(0.02));
    }

    TEST_CASE_FIXTURE(TemporaryFolder, "the mixtures give better types where it matters") {
        ModelShape shape = small_shape();
        shape.type = "q4_k_m";
        shape.n_layers = 8;

        make_model(shape, folder / "m");
        const GgufFile file(folder / "m");
        const auto type = [&](const char* name) { return file.header().tensor(name).type; };
        CHECK(model::quantisation_name(file.header()) == "Q4_K_M");
        CHECK(type("output.weight") == DType::q6_k);
        CHECK(type("token_embd.weight") == DType::q4_k);
        CHECK(type("output_norm.weight") == DType::f32);
        CHECK(type("blk.0.attn_v.weight") == DType::q6_k);
        CHECK(type("blk.1.attn_v.weight") == DType::q4_k);
        CHECK(type("blk.3.ffn_down.weight") == DType::q6_k);
        CHECK(type("blk.7.ffn_down.weight") == DType::q6_k);
        CHECK(type("blk.0.ffn_up.weight") == DType::q4_k);
    }

    TEST_CASE("the low mixtures spend bits as published files do") {
        struct Row {
            const char* mixture;
            const char* tensor;
            std::uint32_t group;
            DType type;
        };
        const Row rows[] = {
            {"q2_k_mixed", "blk.9.attn_v.weight", 4, DType::q4_k},
            {"q2_k_mixed", "blk.9.attn_v.weight", 3, DType::q3_k},
            {"q2_k_mixed", "blk.9.attn_output.weight", 4, DType::q3_k},
            {"q2_k_mixed", "blk.9.ffn_down.weight", 4, DType::q3_k},
            {"q2_k_mixed", "blk.9.ffn_up.weight", 4, DType::q2_k},
            {"q2_k_s", "blk.9.attn_v.weight", 4, DType::q4_k},
            {"q2_k_s", "blk.9.attn_v.weight", 3, DType::q2_k},
            {"q2_k_s", "blk.3.ffn_down.weight", 1, DType::q4_k},
            {"q2_k_s", "blk.4.ffn_down.weight", 1, DType::q2_k},
            {"q3_k_s", "blk.0.ffn_down.weight", 4, DType::q3_k},
            {"q3_k_m", "blk.1.attn_v.weight", 4, DType::q5_k},
            {"q3_k_m", "blk.2.attn_v.weight", 4, DType::q4_k},
            {"q3_k_m", "blk.1.ffn_down.weight", 4, DType::q5_k},
            {"q3_k_m", "blk.2.ffn_down.weight", 4, DType::q4_k},
            {"q3_k_m", "blk.2.attn_output.weight", 4, DType::q4_k},
            {"q3_k_m", "blk.2.attn_q.weight", 4, DType::q3_k},
            {"q3_k_l", "blk.9.ffn_down.weight", 4, DType::q5_k},
            {"q3_k_l", "blk.9.attn_output.weight", 4, DType::q5_k},
            {"q3_k_l", "blk.9.ffn_gate.weight", 4, DType::q3_k},
            {"iq4_nl_mixed", "blk.9.attn_v.weight", 4, DType::q5_k},
            {"iq4_nl_mixed", "blk.4.ffn_down.weight", 4, DType::iq4_nl},
            {"iq4_xs_mixed", "blk.3.ffn_down.weight", 4, DType::q5_k},
            {"iq4_xs_mixed", "blk.9.attn_v.weight", 2, DType::iq4_xs},
        };
        for (const Row& row : rows) {
            CAPTURE(row.mixture);
            CAPTURE(row.tensor);
            CAPTURE(row.group);
            CHECK(weight_type(row.mixture, row.tensor, 256, {32, row.group, false}) == row.type);
            CHECK(weight_type(row.mixture, "output.weight", 256, {32, row.group, false}) ==
                  DType::q6_k);
            CHECK(weight_type(row.mixture, "token_embd.weight", 256, {32, row.group, true}) ==
                  DType::q6_k);
        }
    }

    TEST_CASE_FIXTURE(TemporaryFolder, "files are called as published ones are") {
        ModelShape shape = small_shape();
        const std::pair<const char*, const char*> names[] = {
            {"q2_k_mixed", "Q2_K"},     {"q2_k_s", "Q2_K_S"},       {"q3_k_s", "Q3_K_S"},
            {"q3_k_m", "Q3_K_M"},       {"q3_k_l", "Q3_K_L"},       {"q2_k", "Q2_K"},
            {"iq4_nl_mixed", "IQ4_NL"}, {"iq4_xs_mixed", "IQ4_XS"}, {"iq4_xs", "IQ4_XS"}};
        for (const auto& entry : names) {
            shape.type = entry.first;
            make_model(shape, folder / "m");
            CHECK(model::quantisation_name(GgufFile(folder / "m").header()) == entry.second);
        }
    }

    TEST_CASE("rows that blocks do not fit get the next type that fits") {
        const auto type = [](const char* name, std::uint64_t cols) {
            return weight_type(name, "x", cols, {1, 1, false});
        };
        CHECK(type("q4_k", 256) == DType::q4_k);
        CHECK(type("q2_k", 96) == DType::iq4_nl);
        CHECK(type("q3_k", 96) == DType::iq4_nl);
        CHECK(type("iq4_xs", 96) == DType::iq4_nl);
        CHECK(type("q4_k", 96) == DType::q5_0);
        CHECK(type("q5_k", 96) == DType::q5_1);
        CHECK(type("q6_k", 96) == DType::q8_0);
        CHECK(type("q8_0", 40) == DType::f16);
        CHECK(type("f32", 40) == DType::f32);
    }

    TEST_CASE_FIXTURE(TemporaryFolder, "requantising an exact model equals making it so") {
        ModelShape shape = small_shape();
        make_model(shape, folder / "f32");
        const auto check = [&](const char* type) {
            shape.type = type;
            make_model(shape, folder / "made");
            requantise(folder / "f32", type, folder / "turned", 2);
            CAPTURE(std::string{type});
            CHECK(content(folder / "made") == content(folder / "turned"));
        };
        for (const char* type : {"q4_0", "q4_k_m", "q2_k_mixed", "iq4_xs", "f16"}) check(type);
        shape.type = "f32";
        shape.architecture = "qwen3moe";
        shape.n_experts = 3;
        make_model(shape, folder / "f32");
        check("q4_k_m");
    }

    TEST_CASE_FIXTURE(TemporaryFolder, "impossible shapes are refused and leave no file") {
        const auto refused = [&](auto&& change) {
            ModelShape shape;
            change(shape);
            CHECK_THROWS_AS(make_model(shape, folder / "m"), model::ModelError);
            CHECK_FALSE(std::filesystem::exists(folder / "m"));
        };
        refused([](ModelShape& s) { s.n_heads = 3; });
        refused([](ModelShape& s) { s.n_vocab = kMinVocabulary - 1; });
        refused([](ModelShape& s) { s.type = "q3_x"; });
        refused([](ModelShape& s) { s.architecture = "mamba"; });
        refused([](ModelShape& s) { s.architecture = "qwen3moe"; });
        refused([](ModelShape& s) { s.n_experts = 4; });
        refused([](ModelShape& s) { s.n_layers = 0; });
        refused([](ModelShape& s) { s.head_dim = 0; });
        CHECK_THROWS_AS(named_shape("huge"), model::ModelError);
    }

    TEST_CASE("vocabularies have every size and unlike tokens") {
        for (const char* architecture : {"llama", "qwen3"}) {
            for (const std::uint32_t size : {kMinVocabulary, 512U, 30000U}) {
                const Vocabulary v = make_vocabulary(architecture, size);
                CAPTURE(size);
                CHECK(v.tokens.size() == size);
                CHECK(v.types.size() == size);
                CHECK(std::set<std::string>(v.tokens.begin(), v.tokens.end()).size() == size);
                CHECK(std::count(v.types.begin(), v.types.end(), 5) == 0);
                CHECK(v.types[static_cast<std::size_t>(v.bos)] == 3);
                CHECK(v.types[static_cast<std::size_t>(v.eos)] == 3);
            }
        }
    }

    TEST_CASE_FIXTURE(TemporaryFolder, "any text goes through a made vocabulary and back") {
        for (const char* architecture : {"llama", "qwen2"}) {
            ModelShape shape;
            shape.architecture = architecture;
            shape.n_layers = 1;
            shape.n_vocab = 4000;
            make_model(shape, folder / "m");
            const GgufFile file(folder / "m");
            const auto tokenizer = model::Tokenizer::from_header(file.header());
            CHECK(tokenizer->size() == 4000);
            const std::string text = "Once upon a time there was\n\ta gr\xc3\xbc\xc3\x9f: 12345!";
            const auto ids = tokenizer->encode(text, {.add_special = false});
            CHECK(ids.size() < text.size() * 3 / 4);
            std::string back;
            for (const auto id : ids) back += tokenizer->piece(id);
            CHECK(back == text);
        }
    }
}

}  // namespace shoal::tests::model_maker_test
