#include "tests/model/model_maker.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "daemon/model/gguf_writer.hpp"
#include "daemon/model/hparams.hpp"
#include "kernels/kernels.hpp"
#include "tests/model/tensor_filler.hpp"
#include "tests/model/vocabulary_maker.hpp"

namespace shoal::tests {
namespace {

using kernels::DType;
using model::GgufWriter;
using model::ModelError;

/// 1 for the fast frequencies and up to 8 for the slow ones.
std::vector<float> make_rope_freqs(const ModelShape& shape) {
    if (!shape.rope_freqs) return {};
    std::vector<float> factors(shape.head_dim / 2);
    for (std::size_t i = 0; i < factors.size(); ++i) {
        const float x = static_cast<float>(i) / static_cast<float>(factors.size());
        factors[i] = 1 + 7 * x * x;
    }
    return factors;
}

/// Adds the tensors of one shape to a writer.
class Maker {
  public:
    Maker(const ModelShape& shape, NoiseSource& noise, GgufWriter& writer)
        : shape_(shape), noise_(noise), writer_(writer) {}

    void add_all() {
        const ModelShape& s = shape_;
        matrix(model::tensor_name::kEmbedding, s.n_vocab, s.dim, 1);
        if (s.rope_freqs) {
            const std::vector<float> factors = make_rope_freqs(s);
            writer_.add_tensor_f32(model::tensor_name::kRopeFreqs, DType::f32, factors.size(), 1,
                                   factors);
        }
        for (std::uint32_t layer = 0; layer < s.n_layers; ++layer) add_layer(layer);
        vector(model::tensor_name::kOutputNorm, s.dim, 1, kNormDeviation);
        if (!s.tied) matrix(model::tensor_name::kOutput, s.n_vocab, s.dim, 1);
    }

  private:
    // Enough that a norm or bias left out changes results visibly.
    static constexpr float kNormDeviation = 0.05F;
    static constexpr float kBiasDeviation = 0.1F;

    void add_layer(std::uint32_t layer) {
        const ModelShape& s = shape_;
        const std::uint64_t q_dim = std::uint64_t{s.n_heads} * s.head_dim;
        const std::uint64_t kv_dim = std::uint64_t{s.n_kv_heads} * s.head_dim;
        // Two branches a layer add to the residual stream; together they keep it at about 1.
        const float branch = 1 / std::sqrt(2 * static_cast<float>(s.n_layers));
        const auto name = [layer](std::string_view part) {
            return model::tensor_name::layer(layer, part);
        };
        vector(name("attn_norm.weight"), s.dim, 1, kNormDeviation);
        matrix(name("attn_q.weight"), q_dim, s.dim, 1);
        matrix(name("attn_k.weight"), kv_dim, s.dim, 1);
        matrix(name("attn_v.weight"), kv_dim, s.dim, 1);
        if (s.qkv_bias || s.architecture == "qwen2") {
            vector(name("attn_q.bias"), q_dim, 0, kBiasDeviation);
            vector(name("attn_k.bias"), kv_dim, 0, kBiasDeviation);
            vector(name("attn_v.bias"), kv_dim, 0, kBiasDeviation);
        }
        if (s.architecture == "qwen3") {
            vector(name("attn_q_norm.weight"), s.head_dim, 1, kNormDeviation);
            vector(name("attn_k_norm.weight"), s.head_dim, 1, kNormDeviation);
        }
        matrix(name("attn_output.weight"), s.dim, q_dim, branch);
        vector(name("ffn_norm.weight"), s.dim, 1, kNormDeviation);
        matrix(name("ffn_gate.weight"), s.n_ff, s.dim, 1);
        matrix(name("ffn_up.weight"), s.n_ff, s.dim, 1);
        matrix(name("ffn_down.weight"), s.dim, s.n_ff, branch);
    }

    /// W (rows, cols) whose product with values of about 1 has values of about `gain`.
    void matrix(std::string name, std::uint64_t rows, std::uint64_t cols, float gain) {
        // A shape without KV heads is refused before any byte is written.
        const std::uint32_t group = shape_.n_heads / std::max(shape_.n_kv_heads, 1U);
        const DType type =
            weight_type(shape_.type, name, cols, {shape_.n_layers, group, shape_.tied});
        add(std::move(name), type, cols, rows, 0, gain / std::sqrt(static_cast<float>(cols)));
    }

    void vector(std::string name, std::uint64_t size, float mean, float deviation) {
        add(std::move(name), DType::f32, size, 1, mean, deviation);
    }

    void add(std::string name, DType type, std::uint64_t cols, std::uint64_t rows, float mean,
             float deviation) {
        auto fill = noise_.fill(name, type, cols, rows, mean, deviation);
        writer_.add_tensor_rows(std::move(name), type, cols, rows, std::move(fill));
    }

    const ModelShape& shape_;
    NoiseSource& noise_;
    GgufWriter& writer_;
};

void set_description(GgufWriter& writer, const ModelShape& shape) {
    const auto key = [&](const char* name) {
        return fmt::format("{}.{}", shape.architecture, name);
    };
    writer.set("general.architecture", shape.architecture);
    writer.set("general.type", std::string{"model"});
    writer.set("general.name",
               fmt::format("synthetic-{}-{}-{}", shape.architecture, shape.dim, shape.n_layers));
    writer.set("general.file_type", file_type(shape.type));
    writer.set("general.quantization_version", std::uint32_t{2});
    writer.set(key("block_count"), shape.n_layers);
    writer.set(key("context_length"), shape.n_context);
    writer.set(key("embedding_length"), shape.dim);
    writer.set(key("feed_forward_length"), shape.n_ff);
    writer.set(key("vocab_size"), shape.n_vocab);
    writer.set(key("attention.head_count"), shape.n_heads);
    writer.set(key("attention.head_count_kv"), shape.n_kv_heads);
    writer.set(key("attention.key_length"), shape.head_dim);
    writer.set(key("attention.value_length"), shape.head_dim);
    writer.set(key("attention.layer_norm_rms_epsilon"), shape.norm_eps);
    writer.set(key("rope.dimension_count"), shape.head_dim);
    writer.set(key("rope.freq_base"), shape.rope_base);
}

/// A shape that contradicts itself is found by the same checks as a damaged file, before anything
/// is written.
void check(const ModelShape& shape, const GgufWriter& writer, const std::filesystem::path& path) {
    const std::string bytes = writer.header();
    const std::vector<float> rope_freqs = make_rope_freqs(shape);
    model::read_hparams(
        model::GgufHeader::parse(std::as_bytes(std::span{bytes.data(), bytes.size()}),
                                 writer.file_bytes(), path.string()),
        std::as_bytes(std::span{rope_freqs.data(), rope_freqs.size()}));
}

ModelShape llama3(std::uint32_t layers, std::uint32_t dim, std::uint32_t heads,
                  std::uint32_t head_dim, std::uint32_t ff, bool tied) {
    ModelShape shape;
    shape.n_layers = layers;
    shape.dim = dim;
    shape.n_heads = heads;
    shape.n_kv_heads = 8;
    shape.head_dim = head_dim;
    shape.n_ff = ff;
    shape.n_vocab = 128256;
    shape.n_context = 131072;
    shape.rope_base = 500000;
    shape.rope_freqs = true;
    shape.tied = tied;
    return shape;
}

ModelTraits traits_of(const model::GgufHeader& header) {
    const std::string_view architecture = header.get_string("general.architecture");
    const auto number = [&](const char* key) {
        return static_cast<std::uint32_t>(
            header.get_uint_or(fmt::format("{}.{}", architecture, key), 1));
    };
    const std::uint32_t kv_heads = std::max(number("attention.head_count_kv"), 1U);
    return {number("block_count"), number("attention.head_count") / kv_heads,
            header.find_tensor(model::tensor_name::kOutput) == nullptr};
}

}  // namespace

ModelShape named_shape(std::string_view name) {
    if (name == "tiny") return {};
    if (name == "1b") return llama3(16, 2048, 32, 64, 8192, true);
    if (name == "3b") return llama3(28, 3072, 24, 128, 8192, true);
    if (name == "8b") return llama3(32, 4096, 32, 128, 14336, false);
    if (name != "small") {
        throw ModelError(
            fmt::format("unknown shape '{}'; there are tiny, small, 1b, 3b, 8b", name));
    }
    ModelShape shape = llama3(12, 1024, 16, 64, 2816, false);
    shape.n_kv_heads = 4;
    shape.n_vocab = 32000;
    shape.n_context = 4096;
    shape.rope_freqs = false;
    return shape;
}

void make_model(const ModelShape& shape, const std::filesystem::path& path) {
    check_weight_type(shape.type);
    GgufWriter writer;
    set_description(writer, shape);
    set_vocabulary(writer, shape.architecture, make_vocabulary(shape.architecture, shape.n_vocab));
    NoiseSource noise(shape.seed, shape.threads);
    Maker(shape, noise, writer).add_all();
    check(shape, writer, path);
    writer.write(path);
}

void requantise(const std::filesystem::path& from, std::string_view type,
                const std::filesystem::path& to, unsigned threads) {
    check_weight_type(type);
    const model::GgufFile file(from);
    const model::GgufHeader& header = file.header();
    const ModelTraits traits = traits_of(header);

    GgufWriter writer;
    writer.copy_metadata(file);
    writer.set("general.file_type", file_type(type));
    writer.set("general.quantization_version", std::uint32_t{2});
    for (const model::TensorInfo& info : header.tensors()) {
        const DType target =
            info.rows == 1 ? DType::f32 : weight_type(type, info.name, info.cols, traits);
        const auto source = [&file, &info](std::uint64_t row, std::span<float> out) {
            const std::size_t row_bytes = kernels::row_bytes(info.type, info.cols);
            kernels::dequantize(info.type, file.data(info).data() + row * row_bytes, out.data(),
                                info.cols);
        };
        writer.add_tensor_rows(info.name, target, info.cols, info.rows,
                               quantised_rows(target, info.cols, source, threads));
    }
    writer.write(to);
}

}  // namespace shoal::tests
