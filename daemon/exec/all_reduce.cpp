#include "daemon/exec/all_reduce.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "daemon/exec/q16.hpp"

namespace shoal::exec {
namespace {

PayloadType usable(PayloadType type, std::uint32_t dim) {
    const bool blocks = type == PayloadType::q8_0 || type == PayloadType::q16;
    return blocks && dim % kernels::kActivationBlock != 0 ? PayloadType::f32 : type;
}

std::size_t bytes_of(PayloadType type, std::uint32_t dim) {
    switch (type) {
        case PayloadType::q8_0:
            return kernels::row_bytes(kernels::DType::q8_0, dim);
        case PayloadType::q16:
            return dim / std::size(Q16Block{}.q) * sizeof(Q16Block);
        case PayloadType::f16:
            return std::size_t{2} * dim;
        case PayloadType::f32:
            return std::size_t{4} * dim;
    }
    return 0;
}

}  // namespace

std::optional<PayloadType> payload_type(std::string_view text) noexcept {
    for (const PayloadType type :
         {PayloadType::q8_0, PayloadType::q16, PayloadType::f16, PayloadType::f32}) {
        if (text == name(type)) return type;
    }
    return std::nullopt;
}

AllReduce::AllReduce(const kernels::Table& kernels, PayloadType type, std::uint32_t dim,
                     std::size_t max_values)
    : kernels_(kernels),
      type_(usable(type, dim)),
      dim_(dim),
      row_bytes_(bytes_of(type_, dim)),
      payload_(max_values / dim * row_bytes_) {}

Status AllReduce::exchange(Collective& collective, ThreadPool& pool, std::size_t rows,
                           const float* partial) {
    // A single device's partial is the sum: quantising it would only lose digits.
    alone_ = collective.size() == 1 ? partial : nullptr;
    if (alone_ != nullptr) return Status::ok;
    if (partial != nullptr) {
        pool.run(rows, kRowChunk, [&](std::size_t b, std::size_t e) { encode(partial, b, e); });
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

void AllReduce::add(std::size_t begin, std::size_t end, float* x) const noexcept {
    if (alone_ != nullptr) {
        kernels_.add(x + begin * dim_, alone_ + begin * dim_, (end - begin) * dim_);
        return;
    }
    for (const auto payload : received_) {
        if (!payload.empty()) accumulate(payload, begin, end, x);
    }
}

void AllReduce::encode(const float* partial, std::size_t begin, std::size_t end) noexcept {
    const float* from = partial + begin * dim_;
    std::byte* to = payload_.data() + begin * row_bytes_;
    const std::size_t n = (end - begin) * dim_;
    switch (type_) {
        case PayloadType::q8_0:
            kernels_.quantize_q8_0(from, to, n);
            break;
        case PayloadType::q16:
            quantize_q16(from, to, n);
            break;
        case PayloadType::f16:
            kernels_.f32_to_f16(from, reinterpret_cast<std::uint16_t*>(to), n);
            break;
        case PayloadType::f32:
            std::memcpy(to, from, n * sizeof(float));
            break;
    }
}

void AllReduce::accumulate(std::span<const std::byte> payload, std::size_t begin, std::size_t end,
                           float* x) const noexcept {
    // Payloads lie wherever the transport received them; copy a row to alignment where the
    // kernel reads wider elements than bytes.
    alignas(64) std::byte row[4096];
    const std::size_t unit = type_ == PayloadType::f16 ? 2 : 4;
    for (std::size_t r = begin; r < end; ++r) {
        const std::byte* from = payload.data() + r * row_bytes_;
        float* to = x + r * dim_;
        if (type_ == PayloadType::q8_0) {
            kernels_.accumulate_q8_0(from, to, dim_);
            continue;
        }
        if (type_ == PayloadType::q16) {
            accumulate_q16(from, to, dim_);
            continue;
        }
        for (std::size_t done = 0; done < dim_;) {
            const std::size_t n = std::min<std::size_t>(sizeof row / unit, dim_ - done);
            std::memcpy(row, from + done * unit, n * unit);
            if (type_ == PayloadType::f16) {
                kernels_.accumulate_f16(reinterpret_cast<const std::uint16_t*>(row), to + done, n);
            } else {
                kernels_.add(to + done, reinterpret_cast<const float*>(row), n);
            }
            done += n;
        }
    }
}

}  // namespace shoal::exec
