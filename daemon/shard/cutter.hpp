// The cut of a model: who computes which part of it. A pure function of model and devices.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "daemon/model/hparams.hpp"
#include "daemon/shard/slice.hpp"

namespace shoal::shard {

/// How long a device takes for its share, in any unit of time: for each unit of what is cut, in all
/// layers together. All are positive but that of KV heads, which may be 0.
struct Pace {
    double query_head = 1;  ///< its rows of wq, its columns of wo, its attention
    double kv_head = 0;     ///< held: its rows of wk and wv
    double ffn_column = 1;
    double vocab_row = 1;
};

/// What a cut is made from, in rank order.
struct Device {
    std::string name;  ///< for messages
    Pace pace{};
    std::uint64_t memory_bytes = 0;  ///< what slice, KV cache and buffers may take; 0: no limit
    bool embedding = false;          ///< must hold the embedding table as well (a root)
    double most = 1;                 ///< at most this part of heads, columns and rows each
};

/// What the slices must leave room for besides weights.
struct Demand {
    std::uint64_t kv_positions = 0;   ///< positions of KV cache
    std::uint64_t kv_head_bytes = 0;  ///< K (or V) of one head at one position
    std::uint64_t buffer_bytes = 0;   ///< activations and the like, per device
};

/// The parts of a model that are cut apart from each other.
enum class Part : std::uint8_t { heads, ffn, vocab };
inline constexpr std::array kParts{Part::heads, Part::ffn, Part::vocab};

/// A slice's query heads, FFN columns or vocabulary rows.
inline Range& range_of(Slice& slice, Part part) noexcept {
    return part == Part::heads ? slice.q_heads : part == Part::ffn ? slice.ffn : slice.vocab;
}
inline Range range_of(const Slice& slice, Part part) noexcept {
    return part == Part::heads ? slice.q_heads : part == Part::ffn ? slice.ffn : slice.vocab;
}

/// A model that does not fit the devices: the message has the numbers.
class PlanError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// Cuts one model, any number of times. Header and hyperparameters outlive it. Thread-safe.
class Cutter {
  public:
    Cutter(const model::GgufHeader& header, const model::Hparams& hparams);

    /// Slices for which the sum of what the slowest takes for its heads, for its FFN columns and
    /// for its vocabulary rows is near its least, within the memory of each. Each query head, FFN
    /// column and LM-head row belongs to exactly one device; a range may be empty.
    /// Throws PlanError when no cut is found that the devices' memory holds.
    std::vector<Slice> cut(std::span<const Device> devices, const Demand& demand) const;

    /// The pace of a device that multiplies `speed` bytes of weights in a unit of time.
    Pace pace(double speed) const noexcept;
    /// Devices without limits that are all alike.
    std::vector<Device> equal_devices(std::size_t count) const;

    /// Whether a device may have a slice: by its memory, and by the most that it takes.
    bool fits(const Slice& slice, const Device& device, const Demand& demand) const;
    /// Bytes that a device takes with its slice: weights, KV cache, buffers.
    std::uint64_t needed_bytes(const Slice& slice, const Device& device,
                               const Demand& demand) const;

    /// What cuts of a part lie on, among so many devices.
    std::uint32_t unit(Part part, std::size_t devices) const noexcept;
    /// The same cut but for `count` heads, columns or rows that rank `to` has of `from`'s; those
    /// between them move on. Nothing when `from` has not so many.
    std::optional<std::vector<Slice>> moved(std::vector<Slice> slices, Part part, std::size_t from,
                                            std::size_t to, std::uint32_t count) const;

  private:
    using Limits = std::vector<std::array<double, kParts.size()>>;  ///< bytes, of each rank

    std::optional<std::vector<Slice>> cut_within(std::span<const Device> devices,
                                                 const Demand& demand, const Limits& limits) const;
    std::optional<std::vector<Slice>> cut_giving(std::span<const Device> devices,
                                                 const Demand& demand,
                                                 std::span<const Part> order) const;
    std::vector<Slice> cut_by_memory(std::span<const Device> devices, const Demand& demand) const;
    Limits limits_of(std::span<const Device> devices, const Demand& demand) const;
    std::uint64_t excess(const Slice& slice, const Device& device, const Demand& demand) const;
    double part_bytes(const Slice& slice, Part part, const Demand& demand) const noexcept;
    double kv_head_bytes(const Demand& demand) const noexcept;

    const model::GgufHeader& header_;
    const model::Hparams& hp_;
    const SliceSizes sizes_;
    std::uint32_t ffn_step_;
    // Bytes of weights held for a unit of each share, and by every device.
    double every_ = 0, query_head_ = 0, kv_head_ = 0, ffn_column_ = 0, vocab_row_ = 0;
};

/// For devices without limits that are all alike.
std::vector<Slice> cut_evenly(const model::GgufHeader& header, const model::Hparams& hparams,
                              std::size_t devices);

}  // namespace shoal::shard
