#include "daemon/exec/residual.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace shoal::exec {

Residual::Residual(const model::Hparams& hp, const kernels::Table& kernels, ThreadPool& pool,
                   PayloadType payload, std::uint32_t scatter_rows, std::uint32_t max_rows,
                   bool floats)
    : kernels_(kernels),
      pool_(pool),
      dim_(hp.dim),
      norm_eps_(hp.norm_eps),
      all_reduce_(kernels, payload, hp.dim, max_rows, pool.threads(), scatter_rows),
      x_(std::size_t{max_rows} * hp.dim),
      normed_(std::size_t{pool.threads()} * hp.dim),
      hidden_(kernels, max_rows, hp.dim, floats) {}

std::uint64_t Residual::bytes(const model::Hparams& hp, std::uint32_t max_rows,
                              std::uint32_t threads, bool scatters) noexcept {
    // x, a row of each thread and, at their largest, payloads. Floats of activations are counted
    // although quantised models do not have them.
    return (std::uint64_t{max_rows} + threads) * hp.dim * sizeof(float) +
           AllReduce::bytes(hp.dim, max_rows, threads, scatters) +
           Activations::buffer_bytes(max_rows, hp.dim, true);
}

void Residual::begin(std::size_t rows, kernels::DType type, const std::byte* embeddings,
                     std::size_t as_many_as) noexcept {
    rows_ = rows;
    as_many_as_ = as_many_as;
    type_ = type;
    embeddings_ = embeddings;
    pending_ = Pending::embeddings;
}

// What is pending for the rows [begin, end).
void Residual::catch_up(std::size_t begin, std::size_t end, std::uint32_t worker) noexcept {
    switch (pending_) {
        case Pending::nothing:
            return;
        case Pending::embeddings:
            // Every device gets the table's own bytes and turns them into the same floats.
            kernels::dequantize(type_, embeddings_ + begin * kernels::row_bytes(type_, dim_),
                                &x_[begin * dim_], (end - begin) * dim_);
            return;
        case Pending::sums:
            all_reduce_.add(begin, end, x_.data(), worker);
            return;
    }
}

const Activations& Residual::norm(const float* weights,
                                  std::initializer_list<const Matrix*> readers) noexcept {
    hidden_.reset(rows_, dim_, readers);
    pool_.run(rows_, kRowChunk, [&](std::size_t begin, std::size_t end, std::uint32_t worker) {
        catch_up(begin, end, worker);
        if (!hidden_.wanted()) return;
        float* row = &normed_[worker * dim_];
        for (std::size_t r = begin; r < end; ++r) {
            kernels_.rms_norm(&x_[r * dim_], weights, row, dim_, norm_eps_);
            hidden_.store(r, 0, row, dim_);
        }
    });
    pending_ = Pending::nothing;
    return hidden_;
}

Status Residual::add(LayerCollective& collective, const float* partial) {
    assert(pending_ == Pending::nothing);
    const Status status = all_reduce_.exchange(collective, pool_, rows_, partial, as_many_as_);
    if (status == Status::ok) pending_ = Pending::sums;
    return status;
}

void Residual::settle() noexcept {
    pool_.run(rows_, kRowChunk, [&](std::size_t begin, std::size_t end, std::uint32_t worker) {
        catch_up(begin, end, worker);
    });
    pending_ = Pending::nothing;
}

void Residual::append(Residual& other) noexcept {
    settle();
    other.settle();
    std::copy_n(other.x_.data(), other.rows_ * dim_, &x_[rows_ * dim_]);
    rows_ += other.rows_;
}

Status Residual::gather(LayerCollective& collective, std::size_t rows) {
    settle();
    const std::size_t own = rows_ * dim_, all = rows * dim_;
    const Status status =
        collective.all_gather(std::as_bytes(std::span(x_.data(), own)), received_);
    if (status != Status::ok) return status;
    std::size_t before = 0, floats = 0;
    for (std::size_t r = 0; r < received_.size(); ++r) {
        if (received_[r].size() % (dim_ * sizeof(float)) != 0) return Status::malformed;
        if (r < collective.rank()) before += received_[r].size() / sizeof(float);
        floats += received_[r].size() / sizeof(float);
    }
    if (floats != all) return Status::malformed;
    std::memmove(x_.data() + before, x_.data(), own * sizeof(float));
    std::size_t at = 0;
    for (std::size_t r = 0; r < received_.size(); ++r) {
        if (r != collective.rank()) {
            std::memcpy(x_.data() + at, received_[r].data(), received_[r].size());
        }
        at += received_[r].size() / sizeof(float);
    }
    rows_ = rows;
    return Status::ok;
}

void Residual::copy_row(std::size_t from, std::size_t to) noexcept {
    assert(pending_ == Pending::nothing);
    std::copy_n(&x_[from * dim_], dim_, &x_[to * dim_]);
}

}  // namespace shoal::exec
