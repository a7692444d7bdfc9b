// Devices, links and a model from a file: what a person could buy (`shoal plan --what-if`).
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "daemon/planner/choose.hpp"
#include "daemon/planner/profile.hpp"
#include "daemon/planner/shape.hpp"

namespace shoal::planner {

/// What is wrong with a file: where, what, and what is allowed.
class WhatIfError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

struct WhatIf {
    std::optional<Shape> model;  ///< unless a model file says it
    Cluster cluster;
    std::uint32_t context = 4096;                   ///< positions of KV cache
    std::vector<std::uint32_t> counts;              ///< of devices to show; empty: all
    std::vector<double> positions{0, 4096, 32768};  ///< at which decoding is predicted
    std::uint32_t prompt = 2048;                    ///< of which prefill is predicted
    std::uint32_t min_devices = 1;
};

/// KV cache in f16, buffers by rule of thumb, partial sums in q8_0.
Terms terms_of(const WhatIf& what_if, const model::Hparams& hparams);

/// The most devices that a file may name.
inline constexpr std::size_t kMostDevices = 1024;

/// Reads TOML; `file` is its name in messages. The tables and keys are described in PLANNING.md.
/// Throws WhatIfError.
WhatIf read_what_if(const std::string& text, const std::string& file);

}  // namespace shoal::planner
