// Headers of models to be changed at one place, and what their reading says then.
#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "daemon/model/gguf_writer.hpp"
#include "daemon/model/hparams.hpp"
#include "tests/model/gguf_bytes.hpp"

namespace shoal::model {

using kernels::DType;

/// The header of a model, to be changed at one place; no data is ever made.
struct Description {
    struct Tensor {
        DType type;
        std::uint64_t cols, rows;
        std::uint64_t matrices = 1;
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
            if (architecture == "qwen3moe") add_experts(layer);
            if (architecture == "qwen3" || architecture == "qwen3moe") {
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

    /// Five experts of 32 columns, two of which compute a row.
    void add_experts(const std::string& layer) {
        erase("feed_forward_length");
        set("expert_feed_forward_length", 32U);
        set("expert_count", 5U);
        set("expert_used_count", 2U);
        for (const char* part : {"ffn_gate.weight", "ffn_up.weight", "ffn_down.weight"}) {
            tensors.erase(layer + part);
        }
        tensors[layer + "ffn_gate_inp.weight"] = {DType::f32, 64, 5};
        tensors[layer + "ffn_gate_exps.weight"] = {DType::q4_0, 64, 160, 5};
        tensors[layer + "ffn_up_exps.weight"] = {DType::q4_0, 64, 160, 5};
        tensors[layer + "ffn_down_exps.weight"] = {DType::q4_0, 32, 320, 5};
    }

    void set(const std::string& key, GgufWriter::Value value) {
        keys[architecture + "." + key] = std::move(value);
    }
    void erase(const std::string& key) { keys.erase(architecture + "." + key); }

    Hparams read() const {
        GgufWriter writer;
        for (const auto& [key, value] : keys) writer.set(key, value);
        for (const auto& [name, t] : tensors) {
            writer.add_tensor_rows(name, t.type, t.cols, t.rows, nullptr, t.matrices);
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

inline Change set(const char* key, GgufWriter::Value value) {
    return [=](Description& d) { d.set(key, value); };
}

inline Change erase(const char* key) {
    return [=](Description& d) { d.erase(key); };
}

inline Change tensor(const char* name, Description::Tensor value) {
    return [=](Description& d) { d.tensors[name] = value; };
}

inline Change no_tensor(const char* name) {
    return [=](Description& d) { d.tensors.erase(name); };
}

struct Case {
    Change change;
    std::string message;  ///< after "dir/m.gguf: "
};

inline void check(const std::vector<Case>& cases, const char* architecture = "llama") {
    for (const Case& c : cases) {
        CAPTURE(c.message);
        Description d(architecture);
        c.change(d);
        CHECK(d.error() == "dir/m.gguf: " + c.message);
    }
}

inline std::string not_part(const char* tensor, const char* architecture = "llama", int count = 1) {
    return fmt::format(
        "tensor '{}' is not part of a {} model as it is known here{}: ignoring it "
        "would change what the model computes, so this variant is not supported",
        tensor, architecture, count == 1 ? "" : fmt::format(" ({} such tensors in all)", count));
}

}  // namespace shoal::model
