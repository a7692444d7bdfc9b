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

// A thread takes what lies of a tensor in one such stretch of memory at a time. Fresh memory comes
// in huge pages, and two threads that begin in the same one both zero it.
constexpr std::size_t kStretchBytes = std::size_t{2} << 20;

// Progress shows after as many stretches for each thread.
constexpr std::size_t kReportStretches = 4;

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

        std::byte* at = out.memory_.data();
        for (const shard::SlicePart& part : parts) {
            place(part, at, static_cast<std::size_t>(at - out.memory_.data()));
            at += aligned(held_bytes(part));
        }
        read_all(out.bytes_);
        assemble(out);
        return out;
    }

  private:
    // A tensor's part: units of weights (a panel, a row, or all of a vector), each taking
    // unit_bytes from `at` on.
    struct Held {
        std::byte* at;
        shard::SlicePart part;
        const TensorInfo* info;
        model::MappedRows rows;
        std::size_t units;
        std::size_t unit_bytes;

        std::size_t row_count() const { return part.piece.row_end - part.piece.row_begin; }
    };

    // What one thread does at a time.
    struct Job {
        const Held* held;
        std::size_t begin, end;  // units
    };

    bool is_packed(const TensorInfo& info) const {
        return !is_vector(info) && kernels_.pack_for(info.type) != nullptr;
    }

    std::size_t held_bytes(const shard::SlicePart& part) const {
        const TensorInfo& info = header_.tensor(part.piece.tensor);
        return is_packed(info) || is_vector(info) ? shard::held_bytes(info, part)
                                                  : model::piece_bytes(info, part.piece);
    }

    void place(const shard::SlicePart& part, std::byte* at, std::size_t offset) {
        const Piece& piece = part.piece;
        const TensorInfo& info = header_.tensor(piece.tensor);
        Held h{at, part, &info, source_.rows(piece), 1, held_bytes(part)};
        if (is_packed(info)) {
            const shard::Range groups = part.own_groups();
            h.units = (h.row_count() + kernels::kPanelRows - 1) / kernels::kPanelRows;
            h.unit_bytes = kernels::panel_bytes(info.type, groups.begin, groups.end);
        } else if (!is_vector(info)) {
            h.units = h.row_count();
            h.unit_bytes = kernels::row_bytes(info.type, piece.col_end - piece.col_begin);
        }
        const Held& held = held_.insert_or_assign(piece.tensor, h).first->second;
        for (std::size_t begin = 0; begin < h.units;) {
            const std::size_t left =
                kStretchBytes - (offset + begin * h.unit_bytes) % kStretchBytes;
            const std::size_t fit = (left + h.unit_bytes - 1) / h.unit_bytes;
            const std::size_t end = begin + std::min(fit, h.units - begin);
            jobs_.push_back({&held, begin, end});
            begin = end;
        }
    }

    void read_all(std::uint64_t total) {
        const std::size_t report = kReportStretches * kStretchBytes * pool_.threads();
        std::uint64_t done = 0;
        progress_(done, total);
        for (std::size_t first = 0; first < jobs_.size();) {
            std::size_t last = first;
            for (std::size_t bytes = 0; last < jobs_.size() && bytes < report; ++last) {
                bytes += (jobs_[last].end - jobs_[last].begin) * jobs_[last].held->unit_bytes;
                done += (jobs_[last].end - jobs_[last].begin) * jobs_[last].held->unit_bytes;
            }
            pool_.run(last - first, 1,
                      [&](std::size_t i, std::size_t) noexcept { read(jobs_[first + i]); });
            progress_(done, total);
            first = last;
        }
    }

    void read(const Job& job) const noexcept {
        const Held& h = *job.held;
        if (is_vector(*h.info)) {
            kernels::dequantize(h.info->type, h.rows.data, reinterpret_cast<float*>(h.at),
                                h.part.piece.col_end - h.part.piece.col_begin);
        } else if (is_packed(*h.info)) {
            pack(h, job.begin, job.end);
        } else {
            fetch(h, job.begin, job.end);
            for (std::size_t r = job.begin; r < job.end; ++r) {
                std::memcpy(h.at + r * h.unit_bytes, h.rows.data + r * h.rows.stride, h.unit_bytes);
            }
        }
    }

    void pack(const Held& h, std::size_t begin, std::size_t end) const noexcept {
        const shard::Range groups = h.part.own_groups();
        const std::size_t count = h.row_count();
        const auto pack_panel = kernels_.pack_for(h.info->type);
        fetch(h, begin * kernels::kPanelRows, std::min(end * kernels::kPanelRows, count));
        for (std::size_t p = begin; p < end; ++p) {
            const std::size_t row = p * kernels::kPanelRows;
            pack_panel({h.rows.data + row * h.rows.stride, h.rows.stride,
                        std::min(kernels::kPanelRows, count - row), groups.begin, groups.end,
                        h.at + p * h.unit_bytes});
        }
    }

    // Maps the rows that come next in one go, which costs less than a fault for every few pages.
    // Where rows go on beside the slice's columns, their pages may not all be needed.
    static void fetch(const Held& h, std::size_t row, std::size_t end) noexcept {
        const Piece& piece = h.part.piece;
        const std::size_t width = kernels::row_bytes(h.info->type, piece.col_end - piece.col_begin);
        if (h.rows.stride == width) {
            fetch_pages(h.rows.data + row * width, (end - row) * width);
        }
    }

    const float* vector(const std::string& name) const {
        const auto it = held_.find(name);
        return it == held_.end() ? nullptr : reinterpret_cast<const float*>(it->second.at);
    }

    Matrix matrix(const std::string& name) const {
        const auto it = held_.find(name);
        if (it == held_.end()) return {};
        const shard::SlicePart& part = it->second.part;
        const Piece& piece = part.piece;
        Matrix m;
        m.type = it->second.info->type;
        m.data = it->second.at;
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
    std::vector<Job> jobs_;
};

SliceWeights SliceWeights::load(const model::WeightSource& source, const model::Hparams& hparams,
                                const shard::Slice& slice, const kernels::Table& kernels,
                                ThreadPool& pool, const Progress& progress) {
    return Loader(source, hparams, slice, kernels, pool, progress).run();
}

}  // namespace shoal::exec
