// What a model takes to compute, for each unit of what is cut. Pure.
#pragma once

#include <array>
#include <cstdint>

#include "daemon/model/hparams.hpp"
#include "daemon/planner/profile.hpp"

namespace shoal::planner {

/// Of one unit in all layers together, for each family of weights.
struct Work {
    std::array<double, kFamilyCount> bytes{};  ///< of weights that one row reads
    std::array<double, kFamilyCount> madds{};  ///< multiply-adds for each row

    void add(Family family, double b, double m) noexcept {
        bytes[static_cast<std::size_t>(family)] += b;
        madds[static_cast<std::size_t>(family)] += m;
    }
    void add(const Work& other, double times) noexcept {
        for (std::size_t f = 0; f < kFamilyCount; ++f) {
            bytes[f] += times * other.bytes[f];
            madds[f] += times * other.madds[f];
        }
    }
};

/// A model as a plan sees it.
struct ModelWork {
    std::uint32_t n_layers = 0, n_heads = 0, n_kv_heads = 0, head_dim = 0, n_ff = 0, n_vocab = 0,
                  dim = 0;
    Work query_head;  ///< its rows of wq, its columns of wo
    Work kv_head;     ///< its rows of wk and wv
    Work ffn_column;  ///< of the widest layer; of a mixture what the chosen experts take
    Work vocab_row;

    /// All heads and columns.
    Work layers() const noexcept {
        Work all;
        all.add(query_head, n_heads);
        all.add(kv_head, n_kv_heads);
        all.add(ffn_column, n_ff);
        return all;
    }
};

ModelWork work_of(const model::GgufHeader& header, const model::Hparams& hparams);

/// Seconds for an element of K, with one of V, that one query head attends to in one of `rows`
/// rows, which share the reading.
double attend_seconds(const DeviceProfile& profile, double rows) noexcept;

/// Seconds that a device takes for a unit with `rows` rows, weights packed: as long as reading the
/// weights, or as multiplying them when that is longer.
double seconds_of(const Work& work, const DeviceProfile& profile, double rows) noexcept;

}  // namespace shoal::planner
