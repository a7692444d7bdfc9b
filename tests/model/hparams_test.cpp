#include "daemon/model/hparams.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <span>

#include "daemon/model/hparams_limits.hpp"
#include "tests/model/gguf_bytes.hpp"

namespace shoal::model {
namespace {

using kernels::DType;

/// The header of a model, to be changed at one place; no data is ever made.
struct Description {
    struct Tensor {
        DType type;
        std::uint64_t cols, rows;
    };
    std::string architecture;
    std::map<std::string, GgufWriter::Value> keys;
    std::map<std::string, Tensor> tensors;
    std::vector<float> rope_freqs;

    /// 2 layers, width 64, 4 query heads and 2 KV heads of 8 elements, feed-forward 96, 100 tokens:
    /// no two sizes that could be taken for each other are equal.
    explicit Description(std::string arch) : architecture(std::move(arch)) {
        keys["general.architecture"] = architecture;
        keys["general.name"] = std::string{"sample"};
        set("block_count", 2U);
        set("context_length", 128U);
        set("embedding_length", 64U);
        set("feed_forward_length", 96U);
        set("attention.head_count", 4U);
        set("attention.head_count_kv", 2U);
        set("attention.key_length", 8U);
        set("attention.value_length", 8U);
        set("attention.layer_norm_rms_epsilon", 1e-5F);
        tensors["token_embd.weight"] = {DType::q8_0, 64, 100};
        tensors["output.weight"] = {DType::q8_0, 64, 100};
        tensors["output_norm.weight"] = {DType::f32, 64, 1};
        for (const std::string layer : {"blk.0.", "blk.1."}) {
            tensors[layer + "attn_norm.weight"] = {DType::f32, 64, 1};
            tensors[layer + "attn_q.weight"] = {DType::q4_0, 64, 32};
            tensors[layer + "attn_k.weight"] = {DType::q4_0, 64, 16};
            tensors[layer + "attn_v.weight"] = {DType::q4_0, 64, 16};
            tensors[layer + "attn_output.weight"] = {DType::q4_0, 32, 64};
            tensors[layer + "ffn_norm.weight"] = {DType::f32, 64, 1};
            tensors[layer + "ffn_gate.weight"] = {DType::q4_0, 64, 96};
            tensors[layer + "ffn_up.weight"] = {DType::q4_0, 64, 96};
            tensors[layer + "ffn_down.weight"] = {DType::q4_0, 96, 64};
            if (architecture == "qwen2") add_bias(layer);
            if (architecture == "qwen3") {
                tensors[layer + "attn_q_norm.weight"] = {DType::f32, 8, 1};
                tensors[layer + "attn_k_norm.weight"] = {DType::f32, 8, 1};
            }
        }
    }

    void add_bias(const std::string& layer) {
        tensors[layer + "attn_q.bias"] = {DType::f32, 32, 1};
        tensors[layer + "attn_k.bias"] = {DType::f32, 16, 1};
        tensors[layer + "attn_v.bias"] = {DType::f32, 16, 1};
    }

    void set(const std::string& key, GgufWriter::Value value) {
        keys[architecture + "." + key] = std::move(value);
    }
    void erase(const std::string& key) { keys.erase(architecture + "." + key); }

    Hparams read() const {
        GgufWriter writer;
        for (const auto& [key, value] : keys) writer.set(key, value);
        for (const auto& [name, t] : tensors) {
            writer.add_tensor_rows(name, t.type, t.cols, t.rows, nullptr);
        }
        const std::string bytes = writer.header();
        return read_hparams(GgufHeader::parse(std::as_bytes(std::span{bytes.data(), bytes.size()}),
                                              writer.file_bytes(), "dir/m.gguf"),
                            std::as_bytes(std::span{rope_freqs}));
    }

    std::string error() const {
        try {
            read();
        } catch (const ModelError& error) {
            return error.what();
        }
        return {};
    }
};

using Change = std::function<void(Description&)>;

Change set(const char* key, GgufWriter::Value value) {
    return [=](Description& d) { d.set(key, value); };
}

Change erase(const char* key) {
    return [=](Description& d) { d.erase(key); };
}

Change tensor(const char* name, Description::Tensor value) {
    return [=](Description& d) { d.tensors[name] = value; };
}

Change no_tensor(const char* name) {
    return [=](Description& d) { d.tensors.erase(name); };
}

struct Case {
    Change change;
    std::string message;  ///< after "dir/m.gguf: "
};

void check(const std::vector<Case>& cases, const char* architecture = "llama") {
    for (const Case& c : cases) {
        CAPTURE(c.message);
        Description d(architecture);
        c.change(d);
        CHECK(d.error() == "dir/m.gguf: " + c.message);
    }
}

std::string range(const char* key, std::uint64_t value, std::uint64_t limit) {
    return fmt::format("key 'llama.{}' is {}, expected 1 to {}", key, value, limit);
}

std::string not_part(const char* tensor, const char* architecture = "llama", int count = 1) {
    return fmt::format(
        "tensor '{}' is not part of a {} model as it is known here{}: ignoring it "
        "would change what the model computes, so this variant is not supported",
        tensor, architecture, count == 1 ? "" : fmt::format(" ({} such tensors in all)", count));
}

}  // namespace

TEST_SUITE("hparams") {
    TEST_CASE("a llama is read") {
        const Hparams h = Description("llama").read();
        CHECK(h.architecture == "llama");
        CHECK(h.name == "sample");
        CHECK(h.n_layers == 2);
        CHECK(h.dim == 64);
        CHECK(h.n_heads == 4);
        CHECK(h.n_kv_heads == 2);
        CHECK(h.head_dim == 8);
        CHECK(h.n_ff == 96);
        CHECK(h.n_vocab == 100);
        CHECK(h.n_context == 128);
        CHECK(h.norm_eps == 1e-5F);
        CHECK(h.rope_kind == kernels::RopeKind::interleaved);
        CHECK(h.rope_dim == 8);
        CHECK(h.rope_base == 10000);
        CHECK(h.rope_scale == 1);
        CHECK(h.rope_freqs.empty());
        CHECK_FALSE(h.qkv_bias);
        CHECK_FALSE(h.qk_norm);
        CHECK_FALSE(h.tied_output);
    }

    TEST_CASE("a qwen2 has biases and rotates halves") {
        const Hparams h = Description("qwen2").read();
        CHECK(h.rope_kind == kernels::RopeKind::half_split);
        CHECK(h.qkv_bias);
        CHECK_FALSE(h.qk_norm);
    }

    TEST_CASE("a qwen3 has norms of q and k and rotates halves") {
        const Hparams h = Description("qwen3").read();
        CHECK(h.rope_kind == kernels::RopeKind::half_split);
        CHECK(h.qk_norm);
        CHECK_FALSE(h.qkv_bias);
    }

    TEST_CASE("what may be absent has its usual meaning") {
        Description d("llama");
        d.keys.erase("general.name");
        d.tensors.erase("output.weight");
        Hparams h = d.read();
        CHECK(h.name == "m");
        CHECK(h.tied_output);

        // Without a length of its own, heads share the width; without KV heads, each has its own.
        Description plain("llama");
        plain.erase("attention.key_length");
        plain.erase("attention.value_length");
        plain.erase("attention.head_count_kv");
        for (const std::string layer : {"blk.0.", "blk.1."}) {
            for (const char* part : {"attn_q.weight", "attn_k.weight", "attn_v.weight"}) {
                plain.tensors[layer + part] = {DType::q4_0, 64, 64};
            }
            plain.tensors[layer + "attn_output.weight"] = {DType::q4_0, 64, 64};
        }
        h = plain.read();
        CHECK(h.head_dim == 16);
        CHECK(h.n_kv_heads == 4);
    }

    TEST_CASE("a llama may have biases of q, k and v") {
        Description d("llama");
        d.add_bias("blk.0.");
        d.add_bias("blk.1.");
        CHECK(d.read().qkv_bias);
    }

    TEST_CASE("rope settings are read") {
        Description d("llama");
        d.set("rope.dimension_count", 6U);
        d.set("rope.freq_base", 500000.0F);
        Hparams h = d.read();
        CHECK(h.rope_dim == 6);
        CHECK(h.rope_base == 500000);

        d.set("rope.scale_linear", 2.0F);
        CHECK(d.read().rope_scale == 2);
        d.set("rope.scaling.factor", 4.0F);
        CHECK(d.read().rope_scale == 4);
        d.set("rope.scaling.type", std::string{"linear"});
        CHECK(d.read().rope_scale == 4);
        d.set("rope.scaling.type", std::string{"none"});
        CHECK(d.read().rope_scale == 1);
        d.erase("rope.scaling.type");
        d.set("rope.scaling.factor", 0.0F);
        CHECK(d.read().rope_scale == 1);
    }

    TEST_CASE("inverse frequencies follow base, scale and divisors") {
        Description d("llama");
        d.set("rope.freq_base", 16.0F);
        d.set("rope.scaling.factor", 2.0F);
        d.tensors["rope_freqs.weight"] = {DType::f32, 4, 1};
        d.rope_freqs = {1, 1, 4, 8};
        const std::vector<float> inverse = d.read().inverse_frequencies();
        // 16^(-2i/8) is 1, 1/2, 1/4, 1/8.
        REQUIRE(inverse.size() == 4);
        CHECK(inverse[0] == doctest::Approx(0.5));
        CHECK(inverse[1] == doctest::Approx(0.25));
        CHECK(inverse[2] == doctest::Approx(0.03125));
        CHECK(inverse[3] == doctest::Approx(0.0078125));
    }

    TEST_CASE("rope_freqs must be what the rotation needs") {
        const auto with = [](Description::Tensor t, std::vector<float> data) {
            return [=](Description& d) {
                d.tensors["rope_freqs.weight"] = t;
                d.rope_freqs = data;
            };
        };
        const float nan = std::numeric_limits<float>::quiet_NaN();
        check({
            {with({DType::f32, 3, 1}, {1, 1, 1}),
             "tensor 'rope_freqs.weight' is 1 x 3 of F32, expected 1 x 4 of F32"},
            {with({DType::f16, 4, 1}, {1, 1}),
             "tensor 'rope_freqs.weight' is 1 x 4 of F16, expected 1 x 4 of F32"},
            {with({DType::f32, 4, 1}, {}),
             "tensor 'rope_freqs.weight' has 0 bytes of data here, expected 16"},
            {with({DType::f32, 4, 1}, {1, 1, 0, 1}),
             "tensor 'rope_freqs.weight' has 0 as element 2, expected a positive number"},
            {with({DType::f32, 4, 1}, {nan, 1, 1, 1}),
             "tensor 'rope_freqs.weight' has nan as element 0, expected a positive number"},
        });
    }

    TEST_CASE("every number has bounds") {
        namespace lim = limits;
        check({
            {set("block_count", 0U), range("block_count", 0, lim::kMaxLayers)},
            {set("block_count", lim::kMaxLayers + 1),
             range("block_count", lim::kMaxLayers + 1, lim::kMaxLayers)},
            {set("embedding_length", lim::kMaxWidth + 1),
             range("embedding_length", lim::kMaxWidth + 1, lim::kMaxWidth)},
            {set("feed_forward_length", lim::kMaxFfn + 1),
             range("feed_forward_length", lim::kMaxFfn + 1, lim::kMaxFfn)},
            {set("context_length", lim::kMaxContext + 1),
             range("context_length", lim::kMaxContext + 1, lim::kMaxContext)},
            {set("context_length", ~std::uint64_t{0}),
             range("context_length", ~std::uint64_t{0}, lim::kMaxContext)},
            {set("attention.head_count", lim::kMaxHeads + 1),
             range("attention.head_count", lim::kMaxHeads + 1, lim::kMaxHeads)},
            {set("attention.head_count_kv", 0U),
             range("attention.head_count_kv", 0, lim::kMaxHeads)},
            {set("attention.key_length", lim::kMaxHeadDim + 1),
             range("attention.key_length", lim::kMaxHeadDim + 1, lim::kMaxHeadDim)},
            {set("rope.dimension_count", lim::kMaxHeadDim + 1),
             range("rope.dimension_count", lim::kMaxHeadDim + 1, lim::kMaxHeadDim)},
            {set("attention.layer_norm_rms_epsilon", 0.0F),
             "key 'llama.attention.layer_norm_rms_epsilon' is 0, expected more than 0 and at most "
             "1"},
            {set("attention.layer_norm_rms_epsilon", 1e-300),
             "key 'llama.attention.layer_norm_rms_epsilon' is 1e-300, expected more than 0 and at "
             "most 1"},
            {set("attention.layer_norm_rms_epsilon", std::numeric_limits<float>::quiet_NaN()),
             "key 'llama.attention.layer_norm_rms_epsilon' is nan, expected more than 0 and at "
             "most 1"},
            {set("rope.freq_base", -1.0F),
             "key 'llama.rope.freq_base' is -1, expected more than 0 and at most 1000000000000000"},
            {set("rope.freq_base", std::numeric_limits<float>::infinity()),
             "key 'llama.rope.freq_base' is inf, expected more than 0 and at most "
             "1000000000000000"},
            {set("rope.scaling.factor", -2.0F),
             "key 'llama.rope.scaling.factor' is -2, expected more than 0 and at most 1000000"},
        });
        Description heads("llama");
        heads.set("attention.head_count", lim::kMaxHeads);
        heads.set("attention.key_length", lim::kMaxHeadDim);
        heads.set("attention.value_length", lim::kMaxHeadDim);
        CHECK(heads.error() ==
              fmt::format("dir/m.gguf: key 'llama.attention.head_count' makes {} heads of {} "
                          "elements, more than the limit of {} in all",
                          lim::kMaxHeads, lim::kMaxHeadDim, lim::kMaxWidth));
    }

    TEST_CASE("a vocabulary has bounds and covers the tokenizer's tokens") {
        Description d("llama");
        d.tensors["token_embd.weight"].rows = limits::kMaxVocabulary + 1;
        CHECK(d.error() == fmt::format("dir/m.gguf: tensor 'token_embd.weight' has {} rows, more "
                                       "than the limit of {}",
                                       limits::kMaxVocabulary + 1, limits::kMaxVocabulary));
        d = Description("llama");
        d.keys["tokenizer.ggml.tokens"] = std::vector<std::string>(100, "x");
        CHECK(d.error().empty());
        d.keys["tokenizer.ggml.tokens"] = std::vector<std::string>(101, "x");
        CHECK(d.error() ==
              "dir/m.gguf: key 'tokenizer.ggml.tokens' has 101 tokens, but tensor "
              "'token_embd.weight' has only 100 rows");
    }

    TEST_CASE("numbers that contradict each other are refused") {
        check({
            {set("attention.head_count_kv", 3U),
             "key 'llama.attention.head_count_kv' is 3, which does not divide the 4 query heads"},
            {set("attention.head_count_kv", 8U),
             "key 'llama.attention.head_count_kv' is 8, which does not divide the 4 query heads"},
            {[](Description& d) {
                 d.erase("attention.key_length");
                 d.set("attention.head_count", 6U);
             },
             "key 'llama.attention.head_count' is 6, which does not divide the width 64, and "
             "attention.key_length is missing"},
            {set("attention.value_length", 16U),
             "key 'llama.attention.value_length' is 16, but keys have 8 elements: heads with "
             "unlike "
             "keys and values are not supported"},
            {set("rope.dimension_count", 5U),
             "key 'llama.rope.dimension_count' is 5, expected an even number up to the 8 elements "
             "of a head"},
            {set("rope.dimension_count", 10U),
             "key 'llama.rope.dimension_count' is 10, expected an even number up to the 8 elements "
             "of a head"},
        });
    }

    TEST_CASE("missing keys are named") {
        for (const char* key :
             {"block_count", "context_length", "embedding_length", "feed_forward_length",
              "attention.head_count", "attention.layer_norm_rms_epsilon"}) {
            check({{erase(key), fmt::format("key 'llama.{}' is missing", key)}});
        }
        Description d("llama");
        d.keys.erase("general.architecture");
        CHECK(d.error() == "dir/m.gguf: key 'general.architecture' is missing");
    }

    TEST_CASE("missing tensors are named") {
        const Description whole("qwen2");
        for (const auto& [name, unused] : whole.tensors) {
            if (name == "output.weight") continue;
            check({{no_tensor(name.c_str()), fmt::format("tensor '{}' is missing", name)}},
                  "qwen2");
        }
        check({{no_tensor("blk.1.attn_k_norm.weight"),
                "tensor 'blk.1.attn_k_norm.weight' is missing"}},
              "qwen3");
        // One bias asks for all of them.
        check({{tensor("blk.1.attn_v.bias", {DType::f32, 16, 1}),
                "tensor 'blk.0.attn_q.bias' is missing"}});
    }

    TEST_CASE("every tensor's shape is checked") {
        const Description whole("qwen2");
        for (const auto& [name, right] : whole.tensors) {
            Description d("qwen2");
            // The embedding's rows are the vocabulary, so it is its columns that can be wrong.
            const bool embedding = name == "token_embd.weight";
            Description::Tensor& wrong = d.tensors[name];
            (embedding || right.rows == 1 ? wrong.cols : wrong.rows) *= 2;
            CHECK(d.error() ==
                  fmt::format("dir/m.gguf: tensor '{}' is {} x {} (rows x columns), expected {} x "
                              "{}",
                              name, wrong.rows, wrong.cols, right.rows, right.cols));
        }
        check({{tensor("blk.1.attn_q_norm.weight", {DType::f32, 32, 1}),
                "tensor 'blk.1.attn_q_norm.weight' is 1 x 32 (rows x columns), expected 1 x 8"}},
              "qwen3");
    }

    TEST_CASE("norms and biases must be floats") {
        check({{tensor("output_norm.weight", {DType::q8_0, 64, 1}),
                "tensor 'output_norm.weight' is Q8_0, but norms and biases must be F32, F16 or "
                "BF16"}});
        Description d("llama");
        d.tensors["output_norm.weight"].type = DType::bf16;
        CHECK(d.error().empty());
    }

    TEST_CASE("tensors that would change the function are refused, not ignored") {
        const auto extra = [](const char* name) { return tensor(name, {DType::f32, 64, 1}); };
        for (const char* name :
             {"blk.0.attn_output.bias", "blk.1.ffn_up.bias", "blk.0.ffn_gate_inp.weight",
              "blk.0.attn_q_norm.weight", "blk.2.attn_norm.weight", "output.bias",
              "rope_factors_long.weight", "blk.00.attn_norm.weight", "blk.x.attn_norm.weight"}) {
            check({{extra(name), not_part(name)}});
        }
        Description d("qwen3");
        d.tensors["blk.0.post_attention_norm.weight"] = {DType::f32, 64, 1};
        d.tensors["blk.1.post_attention_norm.weight"] = {DType::f32, 64, 1};
        CHECK(d.error() ==
              "dir/m.gguf: " + not_part("blk.0.post_attention_norm.weight", "qwen3", 2));
    }

    TEST_CASE("left-overs of old converters are harmless") {
        Description d("llama");
        d.tensors["blk.0.attn_rot_embd"] = {DType::f32, 4, 1};
        CHECK(d.error().empty());
    }

    TEST_CASE("what is not computed here is refused by name") {
        check({
            {set("expert_count", 8U),
             "key 'llama.expert_count' asks for mixtures of experts: not supported"},
            {set("attention.sliding_window", 4096U),
             "key 'llama.attention.sliding_window' asks for sliding-window attention: not "
             "supported"},
            {set("attention.causal", false),
             "key 'llama.attention.causal' asks for attention that is not causal: not supported"},
            {set("logit_scale", 0.5F),
             "key 'llama.logit_scale' asks for scaled logits: not supported"},
            {set("rope.scaling.type", std::string{"yarn"}),
             "key 'llama.rope.scaling.type' is 'yarn': only 'none' and 'linear' are supported"},
            {set("rope.scaling.type", std::string{"longrope"}),
             "key 'llama.rope.scaling.type' is 'longrope': only 'none' and 'linear' are supported"},
            {set("attention.head_count_kv", std::vector<std::uint32_t>{2, 4}),
             "key 'llama.attention.head_count_kv' is an array: values that differ from layer to "
             "layer are not supported"},
        });
        Description d("llama");
        d.set("expert_count", 0U);
        d.set("attention.sliding_window", 0U);
        d.set("attention.causal", true);
        d.set("logit_scale", 1.0F);
        CHECK(d.error().empty());
    }

    TEST_CASE("files that are no model by themselves are refused") {
        Description d("llama");
        d.keys["general.type"] = std::string{"adapter"};
        CHECK(d.error() ==
              "dir/m.gguf: key 'general.type' is 'adapter': the file is not a model "
              "by itself");
        d = Description("llama");
        d.keys["split.count"] = 3U;
        CHECK(d.error() ==
              "dir/m.gguf: key 'split.count' is 3: the file is one of several parts; "
              "merge them into one file first");
        d = Description("llama");
        d.keys["general.architecture"] = std::string{"mamba"};
        CHECK(d.error() ==
              "dir/m.gguf: key 'general.architecture' is 'mamba'; supported are llama, "
              "qwen2, qwen3");
        d = Description("llama");
        d.tensors.clear();
        CHECK(d.error() ==
              "dir/m.gguf: tensor 'token_embd.weight' is missing: the file holds a "
              "vocabulary and no weights");
    }
}

}  // namespace shoal::model
