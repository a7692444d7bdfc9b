#include "daemon/shard/cutter.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "daemon/model/tensors.hpp"
#include "daemon/shard/cut.hpp"

namespace shoal::shard {
namespace {

using model::Axis;
using model::GgufHeader;
using model::Hparams;
using model::ModelTensor;
using model::TensorInfo;

// Rounds of giving up shares for want of memory, besides one for each part of each device.
constexpr std::size_t kMemoryRounds = 16;

// Shares are counted exactly only where the sum of their units comes this near the memory.
constexpr double kNear = 0.9;

double mib(std::uint64_t bytes) {
    return static_cast<double>(bytes) / (1 << 20);
}

constexpr std::array<double, kParts.size()> kUnlimited{kNoLimit, kNoLimit, kNoLimit};

constexpr std::size_t index(Part part) noexcept {
    return static_cast<std::size_t>(part);
}

// Columns that FFN cuts lie on: where any is possible, as coarse as leaves every device some.
std::uint32_t ffn_granularity(std::uint32_t step, const Hparams& hp, std::size_t devices) {
    if (step == kernels::kActivationBlock) return step;
    for (step = kernels::kActivationBlock;
         step > 1 && (hp.n_ff % step != 0 || hp.n_ff / step < 8 * devices);) {
        step /= 2;
    }
    return step;
}

}  // namespace

Cutter::Cutter(const GgufHeader& header, const Hparams& hp)
    : header_(header), hp_(hp), sizes_(header, hp), ffn_step_(ffn_cut_step(header, hp)) {
    const auto bytes = [&](const Slice& slice) {
        return static_cast<double>(sizes_.weight_bytes(slice));
    };
    every_ = bytes({});
    query_head_ = (bytes({.q_heads = {0, hp.n_heads}}) - every_) / hp.n_heads;
    kv_head_ = (bytes({.kv_heads = {0, hp.n_kv_heads}}) - every_) / hp.n_kv_heads;
    ffn_column_ = (bytes({.ffn = {0, hp.n_ff}}) - every_) / hp.n_ff;
    vocab_row_ = (bytes({.vocab = {0, hp.n_vocab}}) - every_) / hp.n_vocab;
}

std::uint32_t Cutter::unit(Part part, std::size_t devices) const noexcept {
    return part == Part::ffn ? ffn_granularity(ffn_step_, hp_, devices) : 1;
}

std::optional<std::vector<Slice>> Cutter::moved(std::vector<Slice> slices, Part part,
                                                std::size_t from, std::size_t to,
                                                std::uint32_t count) const {
    if (range_of(slices[from], part).size() < count) return std::nullopt;
    std::uint32_t at = 0;
    for (std::size_t r = 0; r < slices.size(); ++r) {
        Range& range = range_of(slices[r], part);
        const std::uint32_t size = range.size() + (r == to ? count : 0) - (r == from ? count : 0);
        range = {at, at + size};
        at += size;
        slices[r].kv_heads = kv_heads_of(slices[r].q_heads, hp_.group());
    }
    return slices;
}

Pace Cutter::pace(double speed) const noexcept {
    return {query_head_ / speed, kv_head_ / speed, ffn_column_ / speed, vocab_row_ / speed};
}

std::vector<Device> Cutter::equal_devices(std::size_t count) const {
    return std::vector<Device>(count, Device{.name = "", .pace = pace(1)});
}

double Cutter::kv_head_bytes(const Demand& demand) const noexcept {
    return kv_head_ + static_cast<double>(kv_bytes(hp_, {.kv_heads = {0, 1}}, demand.kv_positions,
                                                   demand.kv_head_bytes));
}

double Cutter::part_bytes(const Slice& slice, Part part, const Demand& demand) const noexcept {
    switch (part) {
        case Part::heads:
            return slice.q_heads.size() * query_head_ +
                   slice.kv_heads.size() * kv_head_bytes(demand);
        case Part::ffn:
            return slice.ffn.size() * ffn_column_;
        case Part::vocab:
            break;
    }
    return slice.vocab.size() * vocab_row_;
}

std::uint64_t Cutter::needed_bytes(const Slice& slice, const Device& device,
                                   const Demand& demand) const {
    std::uint64_t bytes = sizes_.weight_bytes(slice) + demand.buffer_bytes +
                          kv_bytes(hp_, slice, demand.kv_positions, demand.kv_head_bytes);
    if (device.embedding) bytes += header_.tensor(model::tensor_name::kEmbedding).bytes;
    return bytes;
}

// What each device may take of each part, short of its memory.
Cutter::Limits Cutter::limits_of(std::span<const Device> devices, const Demand& demand) const {
    const Slice all{{0, hp_.n_heads}, {0, hp_.n_kv_heads}, {0, hp_.n_ff}, {0, hp_.n_vocab}};
    Limits limits(devices.size(), kUnlimited);
    for (std::size_t r = 0; r < devices.size(); ++r) {
        if (devices[r].most >= 1) continue;
        for (const Part part : kParts) {
            limits[r][index(part)] = devices[r].most * part_bytes(all, part, demand);
        }
    }
    return limits;
}

bool Cutter::fits(const Slice& slice, const Device& device, const Demand& demand) const {
    const auto limits = limits_of({&device, 1}, demand)[0];
    for (const Part part : kParts) {
        if (part_bytes(slice, part, demand) > limits[index(part)]) return false;
    }
    return excess(slice, device, demand) == 0;
}

// Bytes that a slice takes beyond the device's memory.
std::uint64_t Cutter::excess(const Slice& slice, const Device& device, const Demand& demand) const {
    if (device.memory_bytes == 0) return 0;
    double about = every_ + static_cast<double>(demand.buffer_bytes);
    if (device.embedding) {
        about += static_cast<double>(header_.tensor(model::tensor_name::kEmbedding).bytes);
    }
    for (const Part part : kParts) about += part_bytes(slice, part, demand);
    if (about < kNear * static_cast<double>(device.memory_bytes)) return 0;
    const std::uint64_t need = needed_bytes(slice, device, demand);
    return need > device.memory_bytes ? need - device.memory_bytes : 0;
}

// The best cut of each part apart, where each may take so many bytes.
std::optional<std::vector<Slice>> Cutter::cut_within(std::span<const Device> devices,
                                                     const Demand& demand,
                                                     const Limits& limits) const {
    const std::uint32_t step = ffn_granularity(ffn_step_, hp_, devices.size());
    const auto most = [](double bytes, double unit) {
        constexpr double kMost = std::numeric_limits<std::uint32_t>::max();
        return static_cast<std::uint32_t>(std::clamp(bytes / std::max(unit, 1e-9), 0.0, kMost));
    };
    std::vector<HeadShare> of_heads;
    std::vector<UnitShare> of_ffn, of_vocab;
    for (std::size_t r = 0; r < devices.size(); ++r) {
        const Pace& pace = devices[r].pace;
        of_heads.push_back({pace.query_head, pace.kv_head, limits[r][index(Part::heads)]});
        of_ffn.push_back(
            {step * pace.ffn_column, most(limits[r][index(Part::ffn)], step * ffn_column_)});
        of_vocab.push_back({pace.vocab_row, most(limits[r][index(Part::vocab)], vocab_row_)});
    }
    const auto head_cut =
        cut_heads(hp_.n_heads, hp_.group(), {query_head_, kv_head_bytes(demand)}, of_heads);
    const auto ffn_cut = cut_units((hp_.n_ff + step - 1) / step, of_ffn);
    const auto vocab_cut = cut_units(hp_.n_vocab, of_vocab);
    if (!head_cut || !ffn_cut || !vocab_cut) return std::nullopt;
    std::vector<Slice> slices(devices.size());
    for (std::size_t r = 0; r < slices.size(); ++r) {
        slices[r].q_heads = (*head_cut)[r];
        slices[r].kv_heads = kv_heads_of(slices[r].q_heads, hp_.group());
        slices[r].ffn = {std::min((*ffn_cut)[r].begin * step, hp_.n_ff),
                         std::min((*ffn_cut)[r].end * step, hp_.n_ff)};
        slices[r].vocab = (*vocab_cut)[r];
    }
    return slices;
}

// Devices that lack memory give up parts in this order until they fit; without an order, of all
// parts alike. What they give up the others take.
std::optional<std::vector<Slice>> Cutter::cut_giving(std::span<const Device> devices,
                                                     const Demand& demand,
                                                     std::span<const Part> order) const {
    Limits limits = limits_of(devices, demand);
    for (std::size_t round = 0; round < kMemoryRounds + kParts.size() * devices.size(); ++round) {
        auto slices = cut_within(devices, demand, limits);
        if (!slices) return std::nullopt;
        bool fits = true;
        for (std::size_t r = 0; r < devices.size(); ++r) {
            const auto over = static_cast<double>(excess((*slices)[r], devices[r], demand));
            if (over == 0) continue;
            fits = false;
            const auto held = [&](Part part) { return part_bytes((*slices)[r], part, demand); };
            double left = over;
            for (const Part part : order) {
                limits[r][index(part)] = std::max(0.0, held(part) - left);
                left -= held(part) - limits[r][index(part)];
            }
            if (order.empty()) {
                const double all = held(Part::heads) + held(Part::ffn) + held(Part::vocab);
                for (const Part part : kParts) {
                    limits[r][index(part)] = held(part) * std::max(0.0, 1 - over / all);
                }
            } else if (left > 0.5) {
                return std::nullopt;
            }
        }
        if (fits) return slices;
    }
    return std::nullopt;
}

// Shares in proportion to memory, whatever they take. Requires: limits_of() leave a cut. Throws
// PlanError when that does not fit.
std::vector<Slice> Cutter::cut_by_memory(std::span<const Device> devices,
                                         const Demand& demand) const {
    std::vector<Device> by_memory(devices.begin(), devices.end());
    for (Device& device : by_memory) {
        const std::uint64_t taken = needed_bytes({}, device, demand);
        const double room = device.memory_bytes == 0 ? 1e18
                            : device.memory_bytes > taken
                                ? static_cast<double>(device.memory_bytes - taken)
                                : 1;
        device.pace = {query_head_ / room, kv_head_bytes(demand) / room, ffn_column_ / room,
                       vocab_row_ / room};
    }
    const auto slices = cut_within(by_memory, demand, limits_of(devices, demand));
    std::string complaint;
    for (std::size_t r = 0; r < devices.size(); ++r) {
        if (excess((*slices)[r], devices[r], demand) == 0) continue;
        complaint += fmt::format(
            "{}{} needs {:.1f} MiB (weights {:.1f}, KV cache and buffers included) of {:.1f} MiB",
            complaint.empty() ? "" : "; ", devices[r].name,
            mib(needed_bytes((*slices)[r], devices[r], demand)),
            mib(sizes_.weight_bytes((*slices)[r])), mib(devices[r].memory_bytes));
    }
    if (complaint.empty()) return *slices;
    throw PlanError(
        hp_.name + " does not fit: " + complaint +
        ". Use a smaller context (models.context), a smaller model, or devices with more "
        "memory.");
}

std::vector<Slice> Cutter::cut(std::span<const Device> devices, const Demand& demand) const {
    if (devices.empty()) throw PlanError("no devices to plan for");
    const auto longest = [&](const std::vector<Slice>& slices) {
        double of_heads = 0, of_ffn = 0, of_vocab = 0;
        for (std::size_t r = 0; r < slices.size(); ++r) {
            const Pace& pace = devices[r].pace;
            of_heads = std::max(of_heads, slices[r].q_heads.size() * pace.query_head +
                                              slices[r].kv_heads.size() * pace.kv_head);
            of_ffn = std::max(of_ffn, slices[r].ffn.size() * pace.ffn_column);
            of_vocab = std::max(of_vocab, slices[r].vocab.size() * pace.vocab_row);
        }
        return of_heads + of_ffn + of_vocab;
    };
    const auto free = cut_within(devices, demand, limits_of(devices, demand));
    if (!free) {
        throw PlanError("the most that devices may take (plan.share) leaves a part of " + hp_.name +
                        " to nobody; allow more");
    }
    bool fits = true;
    for (std::size_t r = 0; r < devices.size(); ++r) {
        fits = fits && excess((*free)[r], devices[r], demand) == 0;
    }
    if (fits) return *free;
    // Which part frees the most memory for the least work depends on cache and types.
    using enum Part;
    static constexpr std::array kOrders{
        std::array{heads, ffn, vocab}, std::array{heads, vocab, ffn},
        std::array{ffn, heads, vocab}, std::array{ffn, vocab, heads},
        std::array{vocab, heads, ffn}, std::array{vocab, ffn, heads}};
    std::optional<std::vector<Slice>> best = cut_giving(devices, demand, {});
    for (const auto& order : kOrders) {
        auto slices = cut_giving(devices, demand, order);
        if (slices && (!best || longest(*slices) < longest(*best))) best = std::move(slices);
    }
    return best ? *best : cut_by_memory(devices, demand);
}

std::vector<Slice> cut_evenly(const GgufHeader& header, const Hparams& hparams,
                              std::size_t devices) {
    const Cutter cutter(header, hparams);
    return cutter.cut(cutter.equal_devices(devices), {});
}

}  // namespace shoal::shard
