// A plan as one of its devices carries it out.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "daemon/exec/executor.hpp"
#include "daemon/pieces/open_model.hpp"
#include "daemon/shard/slice.hpp"
#include "mesh/exchange/exchange.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// Everything about a plan that one device needs.
struct PlanSpec {
    mesh::PlanId id;
    std::uint32_t rank = 0;            ///< 0 is the root
    std::vector<shard::Slice> slices;  ///< in rank order
    std::vector<mesh::Peer> peers;     ///< in rank order, this device included
    exec::ExecutorOptions options;
    std::uint64_t whole_bytes = 0;  ///< of memory for whole layers, where it has a share of rows
    std::shared_ptr<const OpenModel> model;
};

}  // namespace shoal
