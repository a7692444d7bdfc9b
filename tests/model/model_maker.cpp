#include "tests/model/model_maker.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "daemon/model/gguf_writer.hpp"
#include "daemon/model/hparams.hpp"
#include "daemon/model/tensors.hpp"
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

/// The description that the keys give, with what the tensors will say.
model::Hparams hparams_of(const ModelShape& shape, const GgufWriter& writer,
                          const std::filesystem::path& path) {
    const std::string bytes = writer.header();
    model::Hparams h = model::read_keys(model::GgufHeader::parse(
        std::as_bytes(std::span{bytes.data(), bytes.size()}), writer.file_bytes(), path.string()));
    h.n_vocab = shape.n_vocab;
    h.tied_output = shape.tied;
    h.qkv_bias = h.qkv_bias || shape.qkv_bias;
    return h;
}

/// Uniform noise.
struct Noise {
    float mean, deviation;
};

/// Products with values of about 1 have values of about 1, except those that are added to the
/// residual stream: two of each layer together keep it at about 1. Norms and biases differ enough
/// that results change visibly without them.
Noise noise_of(const model::ModelTensor& tensor, const model::Hparams& h) {
    switch (tensor.spec->kind) {
        case model::Kind::norm:
            return {1, 0.05F};
        case model::Kind::bias:
            return {0, 0.1F};
        case model::Kind::matrix:
        case model::Kind::router:
            break;
    }
    const bool added = tensor.spec->rows == model::Axis::width;
    const float gain = added ? 1 / std::sqrt(2 * static_cast<float>(h.n_layers)) : 1;
    return {0, gain / std::sqrt(static_cast<float>(tensor.cols))};
}

void add_tensors(const ModelShape& shape, const model::Hparams& h, NoiseSource& noise,
                 GgufWriter& writer) {
    for (const model::ModelTensor& t : model::tensors_of(h)) {
        const ModelTraits traits{h.n_layers, h.group(), h.tied_output};
        const DType type = t.spec->kind == model::Kind::matrix
                               ? weight_type(shape.type, t.name, t.cols, traits)
                               : DType::f32;
        const Noise n = noise_of(t, h);
        const std::uint64_t rows = std::uint64_t{t.matrices} * t.rows;
        auto fill = noise.fill(t.name, type, t.cols, rows, n.mean, n.deviation);
        writer.add_tensor_rows(t.name, type, t.cols, rows, std::move(fill), t.matrices);
        if (t.spec->tensor != model::Tensor::token_embd || !shape.rope_freqs) continue;
        const std::vector<float> factors = make_rope_freqs(shape);
        writer.add_tensor_f32(model::tensor_name::kRopeFreqs, DType::f32, factors.size(), 1,
                              factors);
    }
}

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
    const bool experts = shape.n_experts != 0;
    const char* ff = experts ? "expert_feed_forward_length" : "feed_forward_length";
    writer.set(key(ff), shape.n_ff);
    if (!shape.layer_ff.empty()) writer.set(key(ff), shape.layer_ff);
    if (experts) {
        writer.set(key("expert_count"), shape.n_experts);
        writer.set(key("expert_used_count"), shape.n_experts_used);
    }
    writer.set(key("vocab_size"), shape.n_vocab);
    writer.set(key("attention.head_count"), shape.n_heads);
    writer.set(key("attention.head_count_kv"), shape.n_kv_heads);
    writer.set(key("attention.key_length"), shape.head_dim);
    writer.set(key("attention.value_length"), shape.head_dim);
    writer.set(key("attention.layer_norm_rms_epsilon"), shape.norm_eps);
    writer.set(key("rope.dimension_count"), shape.head_dim);
    writer.set(key("rope.freq_base"), shape.rope_base);
    if (shape.rope_scale != 1) {
        writer.set(key("rope.scaling.type"), "linear");
        writer.set(key("rope.scaling.factor"), shape.rope_scale);
    }
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

std::set<std::string> matrices_of(const model::Hparams& h) {
    std::set<std::string> names;
    for (model::ModelTensor& t : model::tensors_of(h)) {
        if (t.spec->kind == model::Kind::matrix) names.insert(std::move(t.name));
    }
    return names;
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
    if (!shape.chat_template.empty()) writer.set("tokenizer.chat_template", shape.chat_template);
    NoiseSource noise(shape.seed, shape.threads);
    add_tensors(shape, hparams_of(shape, writer, path), noise, writer);
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
    const std::set<std::string> matrices = matrices_of(model::read_hparams(file));
    for (const model::TensorInfo& info : header.tensors()) {
        const DType target = matrices.contains(info.name)
                                 ? weight_type(type, info.name, info.cols, traits)
                                 : DType::f32;
        const auto source = [&file, &info](std::uint64_t row, std::span<float> out) {
            std::vector<std::byte> bytes(kernels::row_bytes(info.type, info.cols));
            const model::GgufFile::Place at = file.place(info);
            at.file.read(at.begin + row * bytes.size(), bytes);
            kernels::dequantize(info.type, bytes.data(), out.data(), info.cols);
        };
        writer.add_tensor_rows(info.name, target, info.cols, info.rows,
                               quantised_rows(target, info.cols, source, threads), info.matrices);
    }
    writer.write(to);
}

}  // namespace shoal::tests
