#include "daemon/exec/all_reduce.hpp"

#include <algorithm>

namespace shoal::exec {

AllReduce::AllReduce(const kernels::Table& kernels, PayloadType type, std::uint32_t dim,
                     std::size_t max_rows, std::uint32_t threads, std::uint32_t scatter_rows)
    : kernels_(kernels),
      code_(kernels, type, dim),
      dim_(dim),
      max_rows_(max_rows),
      row_bytes_(code_.bytes(dim)),
      scatter_rows_(scatter_rows),
      payload_(max_rows * row_bytes_) {
    if (scatter_rows_ == 0) return;
    sum_.resize(std::size_t{threads} * dim_);
    coded_.resize(threads * row_bytes_);
}

std::uint64_t AllReduce::bytes(std::uint32_t dim, std::uint32_t max_rows, std::uint32_t threads,
                               bool scatters) noexcept {
    const std::uint64_t row = std::uint64_t{dim} * sizeof(float);
    // Of two devices a part is half a row, of more it is less.
    return max_rows * row + (scatters ? max_rows * row / 2 + 2 * threads * row : 0);
}

Status AllReduce::exchange(LayerCollective& collective, ThreadPool& pool, std::size_t rows,
                           const float* partial, std::size_t as_many_as) {
    // A single device's partial is the sum: quantising it would only lose digits.
    alone_ = collective.size() == 1 ? partial : nullptr;
    if (alone_ != nullptr) return Status::ok;
    if (scatter_rows_ != 0 && begins_.size() != collective.size() + std::size_t{1}) {
        cut(collective.rank(), collective.size());
    }
    scattered_ = scatter_rows_ != 0 && std::min(rows, as_many_as) >= scatter_rows_;
    return scattered_ ? scatter(collective, pool, rows, partial)
                      : gather(collective, pool, rows, partial);
}

Status AllReduce::gather(LayerCollective& collective, ThreadPool& pool, std::size_t rows,
                         const float* partial) {
    if (partial != nullptr) {
        pool.run(rows, kRowChunk, [&](std::size_t begin, std::size_t end) {
            code_.encode(partial + begin * dim_, payload_.data() + begin * row_bytes_,
                         (end - begin) * dim_);
        });
    }
    const std::size_t bytes = rows * row_bytes_;
    const Status status =
        collective.all_gather({payload_.data(), partial != nullptr ? bytes : 0}, received_);
    if (status != Status::ok) return status;
    for (const auto payload : received_) {
        if (!payload.empty() && payload.size() != bytes) return Status::malformed;
    }
    return Status::ok;
}

// Which columns are whose, and room for the sums of our own.
void AllReduce::cut(std::uint32_t rank, std::uint32_t devices) {
    own_ = rank;
    begins_.resize(devices + std::size_t{1});
    for (std::uint32_t r = 0; r <= devices; ++r) {
        begins_[r] = part_begin(static_cast<std::uint32_t>(dim_), code_.step(), devices, r);
    }
    parts_.resize(devices);
    own_sums_.resize(max_rows_ * code_.bytes(width(own_)));
}

Status AllReduce::scatter(LayerCollective& collective, ThreadPool& pool, std::size_t rows,
                          const float* partial) {
    if (partial != nullptr) {
        pool.run(rows, kRowChunk, [&](std::size_t begin, std::size_t end) {
            encode_parts(partial, rows, begin, end);
        });
    }
    for (std::size_t r = 0; r < parts_.size(); ++r) {
        const std::size_t bytes = partial != nullptr ? rows * code_.bytes(width(r)) : 0;
        parts_[r] = {payload_.data() + rows * code_.bytes(begins_[r]), bytes};
    }
    Status status = collective.all_to_all(parts_, received_);
    if (status != Status::ok) return status;
    const std::size_t own_bytes = rows * code_.bytes(width(own_));
    for (const auto payload : received_) {
        if (!payload.empty() && payload.size() != own_bytes) return Status::malformed;
    }
    if (own_bytes != 0) {
        pool.run(rows, kRowChunk, [&](std::size_t begin, std::size_t end, std::uint32_t worker) {
            add_own_part(begin, end, worker);
        });
    }
    status = collective.all_gather({own_sums_.data(), own_bytes}, received_);
    if (status != Status::ok) return status;
    for (std::size_t r = 0; r < received_.size(); ++r) {
        if (received_[r].size() != rows * code_.bytes(width(r))) return Status::malformed;
    }
    return Status::ok;
}

// Of each rank's part all rows lie together.
void AllReduce::encode_parts(const float* partial, std::size_t rows, std::size_t begin,
                             std::size_t end) noexcept {
    for (std::size_t r = 0; r < parts_.size(); ++r) {
        const std::size_t n = width(r);
        const std::size_t bytes = code_.bytes(n);
        std::byte* const part = payload_.data() + rows * code_.bytes(begins_[r]);
        for (std::size_t row = begin; n != 0 && row < end; ++row) {
            code_.encode(partial + row * dim_ + begins_[r], part + row * bytes, n);
        }
    }
}

// The sums of our own columns, coded.
void AllReduce::add_own_part(std::size_t begin, std::size_t end, std::uint32_t worker) noexcept {
    const std::size_t n = width(own_);
    const std::size_t bytes = code_.bytes(n);
    for (std::size_t row = begin; row < end; ++row) {
        code_.encode(sum(row, bytes, n, worker), own_sums_.data() + row * bytes, n);
    }
}

// What the ranks sent for a row of so many columns, added in rank order.
const float* AllReduce::sum(std::size_t row, std::size_t row_bytes, std::size_t columns,
                            std::uint32_t worker) noexcept {
    float* const sum = &sum_[worker * dim_];
    std::fill_n(sum, columns, 0.0F);
    for (const auto payload : received_) {
        if (!payload.empty()) code_.accumulate(payload.data() + row * row_bytes, sum, columns);
    }
    return sum;
}

void AllReduce::add(std::size_t begin, std::size_t end, float* x, std::uint32_t worker) noexcept {
    for (std::size_t row = begin; row < end; ++row) {
        float* const to = x + row * dim_;
        if (alone_ != nullptr) {
            kernels_.add(to, alone_ + row * dim_, dim_);
        } else if (scattered_) {
            for (std::size_t r = 0; r < received_.size(); ++r) {
                const std::size_t n = width(r);
                if (n == 0) continue;
                code_.accumulate(received_[r].data() + row * code_.bytes(n), to + begins_[r], n);
            }
        } else if (scatter_rows_ != 0) {
            // As if it had been cut: a row that is computed again in another step has the same
            // bits.
            std::byte* const coded = &coded_[worker * row_bytes_];
            code_.encode(sum(row, row_bytes_, dim_, worker), coded, dim_);
            code_.accumulate(coded, to, dim_);
        } else {
            for (const auto payload : received_) {
                if (!payload.empty()) code_.accumulate(payload.data() + row * row_bytes_, to, dim_);
            }
        }
    }
}

}  // namespace shoal::exec
