#include "daemon/exec/weights.hpp"

#include <algorithm>
#include <map>

namespace shoal::exec {
namespace {

using model::Piece;
using model::TensorInfo;

// Pieces begin on cache lines, so that no two share one and vector loads do not split more
// lines than the layout makes them.
constexpr std::size_t kAlignment = 64;

// Read in parts of this size, so that progress shows within a large matrix.
constexpr std::size_t kReadBytes = std::size_t{8} << 20;

std::size_t aligned(std::size_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Vectors (norms, biases) are kept as f32 whatever the file has.
bool is_vector(const TensorInfo& info) {
    return info.rows == 1;
}

std::size_t held_bytes(const TensorInfo& info, const Piece& piece) {
    return is_vector(info) ? (piece.col_end - piece.col_begin) * sizeof(float)
                           : model::piece_bytes(info, piece);
}

}  // namespace

class SliceWeights::Loader {
  public:
    Loader(const model::WeightSource& source, const model::Hparams& hparams,
           const shard::Slice& slice, const Progress& progress)
        : source_(source),
          header_(source.header()),
          hp_(hparams),
          slice_(slice),
          progress_(progress) {}

    SliceWeights run() {
        const std::vector<Piece> pieces = shard::slice_pieces(header_, hp_, slice_);
        SliceWeights out;
        std::size_t total = 0;
        for (const Piece& piece : pieces) {
            const TensorInfo& info = header_.tensor(piece.tensor);
            out.bytes_ += held_bytes(info, piece);
            total += aligned(held_bytes(info, piece));
        }
        out.memory_ = MappedMemory(total);

        total_ = out.bytes_;
        std::byte* at = out.memory_.data();
        for (const Piece& piece : pieces) {
            read(piece, at);
            at += aligned(held_bytes(header_.tensor(piece.tensor), piece));
        }
        assemble(out);
        return out;
    }

  private:
    struct Held {
        const std::byte* data;
        Piece piece;
        const TensorInfo* info;
    };

    void read(const Piece& piece, std::byte* at) {
        const TensorInfo& info = header_.tensor(piece.tensor);
        const std::size_t bytes = model::piece_bytes(info, piece);
        if (is_vector(info)) {
            std::vector<std::byte> raw(bytes);
            source_.read(piece, 0, raw);
            kernels::dequantize(info.type, raw.data(), reinterpret_cast<float*>(at),
                                piece.col_end - piece.col_begin);
        } else {
            for (std::size_t done = 0; done < bytes; done += kReadBytes) {
                const std::size_t part = std::min(kReadBytes, bytes - done);
                source_.read(piece, done, {at + done, part});
                progress_(done_ + done + part, total_);
            }
        }
        done_ += held_bytes(info, piece);
        held_[piece.tensor] = {at, piece, &info};
    }

    const float* vector(const std::string& name) const {
        const auto it = held_.find(name);
        return it == held_.end() ? nullptr : reinterpret_cast<const float*>(it->second.data);
    }

    // `own`: the slice's own columns of the tensor; the whole width for row-cut matrices.
    Matrix matrix(const std::string& name, shard::Range own) const {
        const auto it = held_.find(name);
        if (it == held_.end()) return {};
        const Piece& piece = it->second.piece;
        Matrix m;
        m.type = it->second.info->type;
        m.data = it->second.data;
        m.rows = static_cast<std::uint32_t>(piece.row_end - piece.row_begin);
        m.cols = static_cast<std::uint32_t>(piece.col_end - piece.col_begin);
        m.stride = kernels::row_bytes(m.type, m.cols);
        m.skip = static_cast<std::uint32_t>(own.begin - piece.col_begin);
        m.own_cols = own.size();
        return m;
    }

    void assemble(SliceWeights& out) const {
        using model::tensor_name::layer;
        const shard::Range width{0, hp_.dim};
        const shard::Range heads{slice_.q_heads.begin * hp_.head_dim,
                                 slice_.q_heads.end * hp_.head_dim};
        for (std::uint32_t l = 0; l < hp_.n_layers; ++l) {
            LayerWeights w;
            w.attn_norm = vector(layer(l, "attn_norm.weight"));
            w.ffn_norm = vector(layer(l, "ffn_norm.weight"));
            w.q_bias = vector(layer(l, "attn_q.bias"));
            w.k_bias = vector(layer(l, "attn_k.bias"));
            w.v_bias = vector(layer(l, "attn_v.bias"));
            w.q_norm = vector(layer(l, "attn_q_norm.weight"));
            w.k_norm = vector(layer(l, "attn_k_norm.weight"));
            w.wq = matrix(layer(l, "attn_q.weight"), width);
            w.wk = matrix(layer(l, "attn_k.weight"), width);
            w.wv = matrix(layer(l, "attn_v.weight"), width);
            w.wo = matrix(layer(l, "attn_output.weight"), heads);
            w.gate = matrix(layer(l, "ffn_gate.weight"), width);
            w.up = matrix(layer(l, "ffn_up.weight"), width);
            w.down = matrix(layer(l, "ffn_down.weight"), slice_.ffn);
            out.layers_.push_back(w);
        }
        out.output_norm_ = vector(model::tensor_name::kOutputNorm);
        out.output_ = matrix(
            hp_.tied_output ? model::tensor_name::kEmbedding : model::tensor_name::kOutput, width);
    }

    const model::WeightSource& source_;
    const model::GgufHeader& header_;
    const model::Hparams& hp_;
    const shard::Slice& slice_;
    const Progress& progress_;
    std::map<std::string, Held> held_;
    std::uint64_t done_ = 0;
    std::uint64_t total_ = 0;
};

SliceWeights SliceWeights::load(const model::WeightSource& source, const model::Hparams& hparams,
                                const shard::Slice& slice, const Progress& progress) {
    return Loader(source, hparams, slice, progress).run();
}

}  // namespace shoal::exec
