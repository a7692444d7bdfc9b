#include "daemon/exec/weights.hpp"

#include <algorithm>
#include <exception>
#include <mutex>
#include <utility>

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

bool is_matrix(const shard::SlicePart& part) {
    return part.spec->kind == model::Kind::matrix;
}

}  // namespace

class SliceWeights::Loader {
  public:
    Loader(const model::WeightSource& source, const model::Hparams& hparams,
           std::span<const shard::SlicePart> parts, const kernels::Table& kernels, ThreadPool& pool,
           const Progress& progress)
        : source_(source),
          header_(source.header()),
          hp_(hparams),
          parts_(parts),
          kernels_(kernels),
          pool_(pool),
          progress_(progress) {}

    SliceWeights run(MappedMemory memory) {
        SliceWeights out;
        std::size_t count = 0;
        std::size_t total = 0;
        for (const shard::SlicePart& part : parts_) {
            count += part.matrices;
            out.bytes_ += part.matrices * held_bytes(part);
            total += part.matrices * aligned(held_bytes(part));
        }
        out.memory_ = total <= memory.bytes() ? std::move(memory) : MappedMemory(total);
        held_.reserve(count);
        out.matrices_.reserve(count);

        std::byte* at = out.memory_.data();
        for (const shard::SlicePart& part : parts_) {
            for (std::uint32_t m = 0; m < part.matrices; ++m) {
                place(part, m, at, static_cast<std::size_t>(at - out.memory_.data()));
                at += aligned(held_bytes(part));
            }
        }
        read_all(out.bytes_);
        assemble(out);
        return out;
    }

  private:
    // One matrix of a part: units of weights (a panel or a row), each taking unit_bytes from `at`
    // on.
    struct Held {
        std::byte* at;
        const shard::SlicePart& part;
        Piece piece;
        const TensorInfo* info;
        std::size_t units;
        std::size_t unit_bytes;
        std::size_t row_bytes;  // in the source
        std::size_t unit_rows;

        std::size_t row_count() const { return piece.row_end - piece.row_begin; }
    };

    // What one thread does at a time.
    struct Job {
        const Held* held;
        std::size_t begin, end;  // units
    };

    bool is_packed(const shard::SlicePart& part, const TensorInfo& info) const {
        return is_matrix(part) && kernels_.pack_for(info.type) != nullptr;
    }

    std::size_t held_bytes(const shard::SlicePart& part) const {
        const TensorInfo& info = header_.tensor(part.piece.tensor);
        return is_packed(part, info) || !is_matrix(part) ? shard::held_bytes(info, part)
                                                         : model::piece_bytes(info, part.piece);
    }

    void place(const shard::SlicePart& part, std::uint32_t matrix, std::byte* at,
               std::size_t offset) {
        const Piece& piece = part.piece;
        const TensorInfo& info = header_.tensor(piece.tensor);
        const std::uint64_t cols = piece.col_end - piece.col_begin;
        const std::size_t row_bytes = kernels::row_bytes(info.type, cols);
        Held h{at,
               part,
               part.piece_of(matrix),
               &info,
               piece.row_end - piece.row_begin,
               row_bytes,
               row_bytes,
               1};
        if (is_packed(part, info)) {
            const shard::Range groups = part.own_groups();
            h.units = (h.row_count() + kernels::kPanelRows - 1) / kernels::kPanelRows;
            h.unit_bytes = kernels::panel_bytes(info.type, groups.begin, groups.end);
            h.unit_rows = kernels::kPanelRows;
        } else if (!is_matrix(part)) {
            h.unit_bytes = cols * sizeof(float);
        }
        scratch_bytes_ = std::max(scratch_bytes_, h.unit_rows * h.row_bytes);
        const Held& held = held_.emplace_back(h);
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
        scratch_.assign(pool_.threads(), std::vector<std::byte>(scratch_bytes_));
        if (progress_) progress_(done, total);
        for (std::size_t first = 0; first < jobs_.size();) {
            std::size_t last = first;
            for (std::size_t bytes = 0; last < jobs_.size() && bytes < report; ++last) {
                bytes += (jobs_[last].end - jobs_[last].begin) * jobs_[last].held->unit_bytes;
                done += (jobs_[last].end - jobs_[last].begin) * jobs_[last].held->unit_bytes;
            }
            pool_.run(last - first, 1,
                      [&](std::size_t i, std::size_t, std::uint32_t worker) noexcept {
                          try {
                              read(jobs_[first + i], scratch_[worker]);
                          } catch (...) {
                              const std::lock_guard lock(mutex_);
                              if (!failure_) failure_ = std::current_exception();
                          }
                      });
            if (failure_) std::rethrow_exception(failure_);
            if (progress_) progress_(done, total);
            first = last;
        }
    }

    void read(const Job& job, std::span<std::byte> scratch) const {
        const Held& h = *job.held;
        const Piece& piece = h.piece;
        const std::size_t rows = std::min(job.end * h.unit_rows, h.row_count());
        const std::uint64_t begin = job.begin * h.unit_rows * h.row_bytes;
        source_.expect(piece, begin, rows * h.row_bytes - begin);
        if (!is_matrix(h.part)) {
            read_floats(h, job.begin, job.end, scratch.first(h.row_bytes));
        } else if (is_packed(h.part, *h.info)) {
            pack(h, job.begin, job.end, scratch);
        } else {
            source_.read(piece, begin, {h.at + begin, rows * h.row_bytes - begin});
        }
    }

    void read_floats(const Held& h, std::size_t begin, std::size_t end,
                     std::span<std::byte> row) const {
        for (std::size_t r = begin; r < end; ++r) {
            source_.read(h.piece, r * h.row_bytes, row);
            kernels::dequantize(h.info->type, row.data(),
                                reinterpret_cast<float*>(h.at + r * h.unit_bytes),
                                h.unit_bytes / sizeof(float));
        }
    }

    // A panel's rows fit the cache: they are packed from where reading has put them.
    void pack(const Held& h, std::size_t begin, std::size_t end,
              std::span<std::byte> scratch) const {
        const shard::Range groups = h.part.own_groups();
        const auto pack_panel = kernels_.pack_for(h.info->type);
        for (std::size_t p = begin; p < end; ++p) {
            const std::size_t row = p * kernels::kPanelRows;
            const std::size_t rows = std::min(kernels::kPanelRows, h.row_count() - row);
            source_.read(h.piece, row * h.row_bytes, scratch.first(rows * h.row_bytes));
            pack_panel({scratch.data(), h.row_bytes, rows, groups.begin, groups.end,
                        h.at + p * h.unit_bytes});
        }
    }

    Matrix matrix(const Held& held) const {
        const shard::SlicePart& part = held.part;
        const Piece& piece = part.piece;
        Matrix m;
        m.type = is_matrix(part) ? held.info->type : kernels::DType::f32;
        m.data = held.at;
        m.rows = static_cast<std::uint32_t>(piece.row_end - piece.row_begin);
        m.cols = static_cast<std::uint32_t>(piece.col_end - piece.col_begin);
        m.skip = static_cast<std::uint32_t>(part.own.begin - piece.col_begin);
        m.own_cols = part.own.size();
        if (is_packed(part, *held.info)) {
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
        out.layers_.resize(hp_.n_layers);
        for (const Held& held : held_) {
            const model::TensorSpec& spec = *held.part.spec;
            WeightsView& view =
                spec.scope == model::Scope::layer ? out.layers_[held.part.layer] : out.model_;
            const Matrix& m = out.matrices_.emplace_back(matrix(held));
            // The matrices of a tensor follow each other.
            std::span<const Matrix>& all = view.matrices_[static_cast<std::size_t>(spec.tensor)];
            all = {all.empty() ? &m : all.data(), all.size() + 1};
            out.reads_floats_ |= shard::reads_floats(held.part, m.type);
        }
    }

    const model::WeightSource& source_;
    const model::GgufHeader& header_;
    const model::Hparams& hp_;
    const std::span<const shard::SlicePart> parts_;
    const kernels::Table& kernels_;
    ThreadPool& pool_;
    const Progress& progress_;
    std::vector<Held> held_;  // of all parts; jobs point into it
    std::vector<Job> jobs_;
    std::size_t scratch_bytes_ = 0;
    std::vector<std::vector<std::byte>> scratch_;  // a unit's rows, for each thread
    std::mutex mutex_;
    std::exception_ptr failure_;  // the first one; guarded by mutex_ while threads read
};

SliceWeights SliceWeights::load(const model::WeightSource& source, const model::Hparams& hparams,
                                const shard::Slice& slice, const kernels::Table& kernels,
                                ThreadPool& pool, const Progress& progress) {
    return load(source, hparams, shard::slice_parts(source.header(), hparams, slice), kernels, pool,
                progress, {});
}

SliceWeights SliceWeights::load(const model::WeightSource& source, const model::Hparams& hparams,
                                std::span<const shard::SlicePart> parts,
                                const kernels::Table& kernels, ThreadPool& pool,
                                const Progress& progress, SliceWeights instead) {
    return Loader(source, hparams, parts, kernels, pool, progress).run(std::move(instead.memory_));
}

}  // namespace shoal::exec
