#include "daemon/exec/sequence_parallel.hpp"

#include <algorithm>
#include <numeric>

namespace shoal::exec {
namespace {

PayloadType payload_of(kernels::KvType type) noexcept {
    switch (type) {
        case kernels::KvType::f32:
            return PayloadType::f32;
        case kernels::KvType::f16:
            return PayloadType::f16;
        case kernels::KvType::q8_0:
            break;
    }
    return PayloadType::q8_0;
}

// Payloads are added to what is there.
void clear_rows(std::vector<float>& x, std::size_t dim, std::size_t begin, std::size_t end) {
    std::fill_n(x.begin() + static_cast<std::ptrdiff_t>(begin * dim), (end - begin) * dim, 0.0F);
}

}  // namespace

void RowShares::cut(std::size_t rows, std::vector<std::size_t>& begins) const {
    const std::uint64_t all = std::accumulate(shares.begin(), shares.end(), std::uint64_t{0});
    begins.assign(1, 0);
    std::uint64_t before = 0;
    for (const std::uint32_t share : shares) {
        before += share;
        begins.push_back(static_cast<std::size_t>(rows * before / all));
    }
}

std::size_t RowShares::most(std::uint32_t rank, std::size_t rows) const noexcept {
    const std::uint64_t all = std::accumulate(shares.begin(), shares.end(), std::uint64_t{0});
    const std::uint64_t even = rows * shares[rank] / all;
    // Rounding moves each end by less than a row.
    return shares[rank] == 0 ? 0 : std::min<std::size_t>(rows, even + 1);
}

SequenceParallel::SequenceParallel(const model::Hparams& hp, const kernels::Table& kernels,
                                   ThreadPool& pool, const RowShares& shares, std::uint32_t rank,
                                   kernels::KvType kv_type, PayloadType payload,
                                   std::uint32_t max_rows, bool floats)
    : head_dim_(hp.head_dim),
      pool_(pool),
      shares_(shares),
      rank_(rank),
      kv_code_(kernels, payload_of(kv_type), hp.head_dim),
      code_(kernels, payload, hp.head_dim),
      local_(hp, shard::whole_slice(hp), kernels,
             static_cast<std::uint32_t>(shares.most(rank, max_rows)), floats),
      parts_(shares.slices.size()) {
    begins_.reserve(shares.slices.size() + 1);
    std::size_t heads = 0;
    for (const shard::Slice& slice : shares.slices) {
        heads += code_.bytes(slice.q_heads.size() * head_dim_) +
                 2 * kv_code_.bytes(slice.kv_heads.size() * head_dim_);
    }
    const std::size_t attended =
        code_.bytes(shares.slices[rank].q_heads.size() * head_dim_) * max_rows;
    message_.resize(std::max(heads * shares.most(rank, max_rows), attended));
}

std::uint64_t SequenceParallel::bytes(const model::Hparams& hp, const RowShares& shares,
                                      std::uint32_t rank, std::uint32_t max_rows) {
    const auto own = static_cast<std::uint32_t>(shares.most(rank, max_rows));
    std::uint64_t heads = 0;
    for (const shard::Slice& slice : shares.slices) {
        heads += slice.q_heads.size() + std::uint64_t{2} * slice.kv_heads.size();
    }
    const std::uint64_t message =
        std::max(heads * own, std::uint64_t{shares.slices[rank].q_heads.size()} * max_rows);
    return Workspace::bytes(hp, shard::whole_slice(hp), own) +
           message * hp.head_dim * sizeof(float);
}

void SequenceParallel::begin(const Workspace& heads) {
    shares_.cut(heads.rows.size(), begins_);
    const auto first = heads.rows.begin() + static_cast<std::ptrdiff_t>(begins_[rank_]);
    local_.rows.assign(first, first + static_cast<std::ptrdiff_t>(count()));
}

void SequenceParallel::keep(std::span<const std::uint32_t> rows) noexcept {
    for (std::size_t& begin : begins_) {
        begin = static_cast<std::size_t>(std::lower_bound(rows.begin(), rows.end(), begin) -
                                         rows.begin());
    }
}

std::size_t SequenceParallel::rank_of(std::size_t row) const noexcept {
    return static_cast<std::size_t>(std::upper_bound(begins_.begin(), begins_.end(), row) -
                                    begins_.begin()) -
           1;
}

// Of each rank's part the rows of K lie together, behind them those of V and q.
void SequenceParallel::encode_heads(std::size_t begin, std::size_t end) noexcept {
    std::byte* part = message_.data();
    for (const shard::Slice& to : shares_.slices) {
        const std::size_t kv_dim = to.kv_heads.size() * head_dim_;
        const std::size_t q_dim = to.q_heads.size() * head_dim_;
        const std::size_t kv_bytes = kv_code_.bytes(kv_dim), q_bytes = code_.bytes(q_dim);
        std::byte* const v = part + count() * kv_bytes;
        std::byte* const q = v + count() * kv_bytes;
        for (std::size_t r = begin; r < end; ++r) {
            const std::size_t kv_at = r * local_.kv_dim + to.kv_heads.begin * head_dim_;
            const std::size_t q_at = r * local_.q_dim + to.q_heads.begin * head_dim_;
            if (q_dim == 0) continue;
            kv_code_.encode(&local_.k[kv_at], part + r * kv_bytes, kv_dim);
            kv_code_.encode(&local_.v[kv_at], v + r * kv_bytes, kv_dim);
            code_.encode(&local_.q[q_at], q + r * q_bytes, q_dim);
        }
        part = q + count() * q_bytes;
    }
}

Status SequenceParallel::to_heads(LayerCollective& collective, Workspace& heads) {
    pool_.run(count(), kRowChunk,
              [&](std::size_t begin, std::size_t end) { encode_heads(begin, end); });
    const std::byte* part = message_.data();
    for (std::size_t r = 0; r < parts_.size(); ++r) {
        const shard::Slice& to = shares_.slices[r];
        parts_[r] = {part, count() * (2 * kv_code_.bytes(to.kv_heads.size() * head_dim_) +
                                      code_.bytes(to.q_heads.size() * head_dim_))};
        part += parts_[r].size();
    }
    if (const Status s = collective.all_to_all(parts_, received_); s != Status::ok) return s;

    const std::size_t kv_dim = heads.kv_dim, q_dim = heads.q_dim;
    const std::size_t kv_bytes = kv_code_.bytes(kv_dim), q_bytes = code_.bytes(q_dim);
    for (std::size_t r = 0; r < received_.size(); ++r) {
        if (received_[r].size() != rows_of(r) * (2 * kv_bytes + q_bytes)) return Status::malformed;
    }
    if (q_dim == 0) return Status::ok;
    pool_.run(begins_.back(), kRowChunk, [&](std::size_t begin, std::size_t end) {
        clear_rows(heads.k, kv_dim, begin, end);
        clear_rows(heads.v, kv_dim, begin, end);
        clear_rows(heads.q, q_dim, begin, end);
        for (std::size_t row = begin; row < end; ++row) {
            const std::size_t from = rank_of(row), at = row - begins_[from];
            const std::byte* const k = received_[from].data();
            const std::byte* const v = k + rows_of(from) * kv_bytes;
            const std::byte* const q = v + rows_of(from) * kv_bytes;
            kv_code_.accumulate(k + at * kv_bytes, &heads.k[row * kv_dim], kv_dim);
            kv_code_.accumulate(v + at * kv_bytes, &heads.v[row * kv_dim], kv_dim);
            code_.accumulate(q + at * q_bytes, &heads.q[row * q_dim], q_dim);
        }
    });
    return Status::ok;
}

Status SequenceParallel::to_rows(LayerCollective& collective, const Workspace& heads) {
    const std::size_t row_bytes = code_.bytes(heads.q_dim);
    pool_.run(begins_.back(), kRowChunk, [&](std::size_t begin, std::size_t end) {
        for (std::size_t row = begin; heads.q_dim != 0 && row < end; ++row) {
            code_.encode(&heads.attended[row * heads.q_dim], message_.data() + row * row_bytes,
                         heads.q_dim);
        }
    });
    for (std::size_t r = 0; r < parts_.size(); ++r) {
        parts_[r] = {message_.data() + begins_[r] * row_bytes, rows_of(r) * row_bytes};
    }
    if (const Status s = collective.all_to_all(parts_, received_); s != Status::ok) return s;

    for (std::size_t r = 0; r < received_.size(); ++r) {
        const std::size_t heads_of = shares_.slices[r].q_heads.size();
        if (received_[r].size() != count() * code_.bytes(heads_of * head_dim_)) {
            return Status::malformed;
        }
    }
    pool_.run(count(), kRowChunk, [&](std::size_t begin, std::size_t end) {
        clear_rows(local_.attended, local_.q_dim, begin, end);
        for (std::size_t r = 0; r < received_.size(); ++r) {
            const shard::Range from = shares_.slices[r].q_heads;
            const std::size_t dim = from.size() * head_dim_;
            const std::size_t bytes = code_.bytes(dim);
            for (std::size_t row = begin; dim != 0 && row < end; ++row) {
                code_.accumulate(received_[r].data() + row * bytes,
                                 &local_.attended[row * local_.q_dim + from.begin * head_dim_],
                                 dim);
            }
        }
    });
    return Status::ok;
}

}  // namespace shoal::exec
