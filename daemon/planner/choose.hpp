// Which devices take part, and with what: the plan that answers a request soonest. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/planner/prediction.hpp"
#include "daemon/planner/profile.hpp"
#include "daemon/planner/row_sharing.hpp"
#include "daemon/planner/work.hpp"
#include "daemon/shard/cutter.hpp"

namespace shoal::planner {

/// What a plan is for, besides model and devices.
struct Terms {
    /// KV cache and buffers, for a plan of so many devices.
    std::function<shard::Demand(std::size_t devices)> demand;
    Form form;
    Request request;
    std::optional<RowTerms> rows{};  ///< nothing: prompts' rows are never shared out
    std::optional<bool> overlap{};   ///< nothing: where prompts are quicker with it
    std::size_t min_devices = 1;     ///< as far as there are so many that the model fits
};

/// Some devices and the best cut among them.
struct Alternative {
    std::vector<std::size_t> members;     ///< indices of Cluster::devices, the root's 0 first
    std::vector<shard::Slice> slices;     ///< in their order
    double seconds = 0;                   ///< of Terms::request
    std::optional<RowSharing> sharing{};  ///< of long prompts
    bool overlap = false;                 ///< see Form
};

/// Requires: the cluster has devices. Everything that it is made of outlives it.
class Chooser {
  public:
    /// More devices must make a request this much shorter to be worth their failing and their
    /// electricity, and the error of the prediction.
    static constexpr double kWorth = 1.03;
    /// Up to so many devices every choice of them is looked at.
    static constexpr std::size_t kEveryChoice = 8;

    Chooser(const model::GgufHeader& header, const model::Hparams& hparams, const Cluster& cluster,
            const Terms& terms);

    /// Whether some choice of devices can hold the model.
    bool fits() const;
    /// The best cut among these devices, or nothing when the model does not fit them.
    std::optional<Alternative> among(std::vector<std::size_t> members) const;
    /// The best choice of each number of devices, from one on; none where the model does not fit.
    std::vector<std::optional<Alternative>> by_count() const;
    /// The fewest devices of those that are not worth another one. Throws shard::PlanError when the
    /// model fits no choice.
    Alternative best() const;
    Alternative best(const std::vector<std::optional<Alternative>>& by_count) const;
    /// Why a device is left out.
    struct Reason {
        bool spare = false;  ///< it would slow the others; else its memory is too little
        std::string text;
    };
    /// Of each device that `chosen` does not have.
    std::map<std::size_t, Reason> left_out(const Alternative& chosen) const;

    const ModelWork& work() const noexcept { return work_; }
    Predictor predictor(const Alternative& of) const;

  private:
    /// A device's paces in the prompt and in the answer of a request.
    struct Paces {
        shard::Pace prompt, answer;
    };
    /// How much each part of the request counts when shares are cut, for each part of the model.
    struct Weights {
        double prompt = 1, answer = 1;
    };
    using Weighting = std::array<Weights, 3>;  ///< heads, FFN, vocabulary

    std::vector<shard::Device> devices_of(const std::vector<std::size_t>& members,
                                          const Weighting& weighting) const;
    void assess(Alternative& some) const;
    void assess_prompts(Alternative& some, const std::optional<RowSharing>& sharing,
                        bool overlap) const;
    std::uint32_t sharing_pays_from(const Alternative& some) const;
    std::optional<Alternative> cut(std::vector<std::size_t> members,
                                   const Weighting& weighting) const;
    Alternative refined(Alternative some) const;
    void polish(Alternative& some) const;
    std::optional<Alternative> joined(const Alternative& some, std::size_t device) const;
    std::vector<std::size_t> all() const;
    std::vector<std::optional<Alternative>> choices() const;
    std::vector<std::optional<Alternative>> every_choice() const;
    std::vector<std::optional<Alternative>> one_by_one() const;
    bool alike(std::size_t a, std::size_t b) const;

    const Cluster& cluster_;
    const Terms& terms_;
    ModelWork work_;
    shard::Cutter cutter_;
    shard::LayerBytes layer_bytes_;
    std::vector<Paces> paces_;  ///< of each device
};

}  // namespace shoal::planner
