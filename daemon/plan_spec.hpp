// A plan as one of its devices carries it out.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "daemon/exec/executor.hpp"
#include "daemon/model/hparams.hpp"
#include "daemon/model/piece.hpp"
#include "daemon/model/tokenizer.hpp"
#include "daemon/shard/plan.hpp"
#include "mesh/exchange/exchange.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// A model that this device can read: the mapped file, or shipped pieces of it.
struct OpenModel {
    mesh::ModelHash hash;
    std::string name;
    model::Hparams hparams;
    std::unique_ptr<const model::WeightSource> source;
    std::unique_ptr<const model::Tokenizer> tokenizer;  ///< null where nobody tokenises
};

struct PlanSpec {
    mesh::PlanId id;
    std::uint32_t rank = 0;            ///< 0 is the root
    std::vector<shard::Slice> slices;  ///< in rank order
    std::vector<mesh::Peer> peers;     ///< in rank order, this device included
    exec::ExecutorOptions options;
    std::shared_ptr<const OpenModel> model;
};

}  // namespace shoal
