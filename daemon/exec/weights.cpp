#include "daemon/exec/weights.hpp"

#include <algorithm>
#include <cstring>
#include <map>

#include "kernels/panel.hpp"

namespace shoal::exec {
namespace {

using model::Piece;
using model::TensorInfo;

// Pieces begin on cache lines, so that no two share one and vector loads do not split more
// lines than the layout makes them.
constexpr std::size_t kAlignment = 64;

// Packed in parts of about this size, so that progress shows within a large matrix.
constexpr std::size_t kPartBytes = std::size_t{8} << 20;

std::size_t aligned(std::size_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Vectors (norms, biases) are kept as f32 whatever the file has.
bool is_vector(const TensorInfo& info) {
    return info.rows == 1;
}

}  // namespace

class SliceWeights::Loader {
  public:
    Loader(const model::WeightSource& source, const model::Hparams& hparams,
           const shard::Slice& slice, const kernels::Table& kernels, ThreadPool& pool,
           const Progress& progress)
        : source_(source),
          header_(source.header()),
          hp_(hparams),
          slice_(slice),
          kernels_(kernels),
          pool_(pool),
          progress_(progress) {}

    SliceWeights run() {
        const std::vector<shard::SlicePart> parts = shard::slice_parts(header_, hp_, slice_);
        SliceWeights out;
        std::size_t total = 0;
        for (const shard::SlicePart& part : parts) {
            out.bytes_ += held_bytes(part);
            total += aligned(held_bytes(part));
        }
        out.memory_ = MappedMemory(total);

        total_ = out.bytes_;
        std::byte* at = out.memory_.data();
        for (const shard::SlicePart& part : parts) {
            read(part, at);
            at += aligned(held_bytes(part));
        }
        assemble(out);
        return out;
    }

  private:
    struct Held {
        const std::byte* data;
        shard::SlicePart part;
        const TensorInfo* info;
    };

    bool is_packed(const TensorInfo& info) const {
        return !is_vector(info) && kernels_.pack_for(info.type) != nullptr;
    }

    std::size_t held_bytes(const shard::SlicePart& part) const {
        const TensorInfo& info = header_.tensor(part.piece.tensor);
        return is_packed(info) || is_vector(info) ? shard::held_bytes(info, part)
                                                  : model::piece_bytes(info, part.piece);
    }

    void read(const shard::SlicePart& part, std::byte* at) {
        const Piece& piece = part.piece;
        const TensorInfo& info = header_.tensor(piece.tensor);
        const model::MappedRows rows = source_.rows(piece);
        if (is_vector(info)) {
            kernels::dequantize(info.type, rows.data, reinterpret_cast<float*>(at),
                                piece.col_end - piece.col_begin);
        } else if (is_packed(info)) {
            pack(part, info, rows, at);
        } else {
            copy(part, info, rows, at);
        }
        done_ += held_bytes(part);
        progress_(done_, total_);
        held_[piece.tensor] = {at, part, &info};
    }

    // fn(begin, end) for ranges of `count` units that become `unit_bytes` each, on all threads,
    // with progress now and then.
    template <typename Fn>
    void share(std::size_t count, std::size_t unit_bytes, const Fn& fn) {
        const std::size_t part = std::max<std::size_t>(1, kPartBytes / unit_bytes);
        for (std::size_t first = 0; first < count; first += part) {
            const std::size_t units = std::min(part, count - first);
            pool_.run(units, 4,
                      [&](std::size_t begin, std::size_t end) { fn(first + begin, first + end); });
            progress_(done_ + (first + units) * unit_bytes, total_);
        }
    }

    void pack(const shard::SlicePart& part, const TensorInfo& info, const model::MappedRows& rows,
              std::byte* at) {
        const shard::Range groups = part.own_groups();
        const std::size_t count = part.piece.row_end - part.piece.row_begin;
        const std::size_t bytes = kernels::panel_bytes(info.type, groups.begin, groups.end);
        const auto pack_panel = kernels_.pack_for(info.type);
        const std::size_t panels = (count + kernels::kPanelRows - 1) / kernels::kPanelRows;
        share(panels, bytes, [&](std::size_t begin, std::size_t end) {
            for (std::size_t p = begin; p < end; ++p) {
                const std::size_t row = p * kernels::kPanelRows;
                pack_panel({rows.data + row * rows.stride, rows.stride,
                            std::min(kernels::kPanelRows, count - row), groups.begin, groups.end,
                            at + p * bytes});
            }
        });
    }

    void copy(const shard::SlicePart& part, const TensorInfo& info, const model::MappedRows& rows,
              std::byte* at) {
        const std::size_t width =
            kernels::row_bytes(info.type, part.piece.col_end - part.piece.col_begin);
        share(part.piece.row_end - part.piece.row_begin, width,
              [&](std::size_t begin, std::size_t end) {
                  for (std::size_t r = begin; r < end; ++r) {
                      std::memcpy(at + r * width, rows.data + r * rows.stride, width);
                  }
              });
    }

    const float* vector(const std::string& name) const {
        const auto it = held_.find(name);
        return it == held_.end() ? nullptr : reinterpret_cast<const float*>(it->second.data);
    }

    Matrix matrix(const std::string& name) const {
        const auto it = held_.find(name);
        if (it == held_.end()) return {};
        const shard::SlicePart& part = it->second.part;
        const Piece& piece = part.piece;
        Matrix m;
        m.type = it->second.info->type;
        m.data = it->second.data;
        m.rows = static_cast<std::uint32_t>(piece.row_end - piece.row_begin);
        m.cols = static_cast<std::uint32_t>(piece.col_end - piece.col_begin);
        m.skip = static_cast<std::uint32_t>(part.own.begin - piece.col_begin);
        m.own_cols = part.own.size();
        if (is_packed(*it->second.info)) {
            const shard::Range groups = part.own_groups();
            m.packed = true;
            m.group_begin = groups.begin;
            m.cols = groups.size() * std::uint32_t{kernels::kActivationBlock};
            m.skip -= groups.begin * std::uint32_t{kernels::kActivationBlock};
        } else {
            m.stride = kernels::row_bytes(m.type, m.cols);
        }
        return m;
    }

    void assemble(SliceWeights& out) const {
        using model::tensor_name::layer;
        for (std::uint32_t l = 0; l < hp_.n_layers; ++l) {
            LayerWeights w;
            w.attn_norm = vector(layer(l, "attn_norm.weight"));
            w.ffn_norm = vector(layer(l, "ffn_norm.weight"));
            w.q_bias = vector(layer(l, "attn_q.bias"));
            w.k_bias = vector(layer(l, "attn_k.bias"));
            w.v_bias = vector(layer(l, "attn_v.bias"));
            w.q_norm = vector(layer(l, "attn_q_norm.weight"));
            w.k_norm = vector(layer(l, "attn_k_norm.weight"));
            w.wq = matrix(layer(l, "attn_q.weight"));
            w.wk = matrix(layer(l, "attn_k.weight"));
            w.wv = matrix(layer(l, "attn_v.weight"));
            w.wo = matrix(layer(l, "attn_output.weight"));
            w.gate = matrix(layer(l, "ffn_gate.weight"));
            w.up = matrix(layer(l, "ffn_up.weight"));
            w.down = matrix(layer(l, "ffn_down.weight"));
            out.layers_.push_back(w);
        }
        out.output_norm_ = vector(model::tensor_name::kOutputNorm);
        out.output_ =
            matrix(hp_.tied_output ? model::tensor_name::kEmbedding : model::tensor_name::kOutput);
    }

    const model::WeightSource& source_;
    const model::GgufHeader& header_;
    const model::Hparams& hp_;
    const shard::Slice& slice_;
    const kernels::Table& kernels_;
    ThreadPool& pool_;
    const Progress& progress_;
    std::map<std::string, Held> held_;
    std::uint64_t done_ = 0;
    std::uint64_t total_ = 0;
};

SliceWeights SliceWeights::load(const model::WeightSource& source, const model::Hparams& hparams,
                                const shard::Slice& slice, const kernels::Table& kernels,
                                ThreadPool& pool, const Progress& progress) {
    return Loader(source, hparams, slice, kernels, pool, progress).run();
}

}  // namespace shoal::exec
