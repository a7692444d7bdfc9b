#include "daemon/plan/parked_plans.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace shoal {
namespace {

// Models that were displaced longer ago are not expected back.
constexpr auto kLately = std::chrono::minutes(10);
constexpr std::uint32_t kOften = 2;

std::uint64_t taken(const PlanLife& plan, const mesh::DeviceId& device) {
    const auto it = plan.devices().find(device);
    if (it == plan.devices().end()) return 0;
    return it->second.held.weights + it->second.held.kv_cache + it->second.held.buffers;
}

// With a context of kRoomy.
std::uint64_t needed(const PlanLife& plan, const HeldBytes& held) {
    const std::uint64_t positions = std::max<std::uint64_t>(1, plan.offer().kv_positions);
    const std::uint64_t roomy = std::min(positions, ParkedPlans::kRoomy);
    return held.weights + held.buffers + held.kv_cache / positions * roomy;
}

}  // namespace

void ParkedPlans::add(PlanLife plan) {
    assert(plan.state() > PlanLife::State::loading);
    plans_.push_back(std::move(plan));
}

std::optional<PlanLife> ParkedPlans::take(const mesh::ModelHash& model) {
    auto taken = take_if([&](const PlanLife& plan) { return plan.model().hash == model; });
    if (taken.empty()) return std::nullopt;
    return std::move(taken.front());
}

std::vector<PlanLife> ParkedPlans::take_if(const std::function<bool(const PlanLife&)>& which) {
    std::vector<PlanLife> taken;
    std::erase_if(plans_, [&](PlanLife& plan) {
        if (!which(plan)) return false;
        taken.push_back(std::move(plan));
        return true;
    });
    return taken;
}

std::optional<PlanLife> ParkedPlans::displace(const std::function<bool(const PlanLife&)>& may_go,
                                              Time now) {
    const auto first = std::ranges::find_if(plans_, may_go);
    if (first == plans_.end()) return std::nullopt;
    PlanLife plan = std::move(*first);
    plans_.erase(first);
    std::erase_if(displaced_, [&](const auto& d) { return now - d.second.last > kLately; });
    Displaced& displaced = displaced_[plan.model().hash];
    ++displaced.times;
    displaced.last = now;
    displaced.needs.clear();
    for (const auto& [id, device] : plan.devices()) {
        displaced.needs[id] = needed(plan, device.held);
    }
    return plan;
}

bool ParkedPlans::contains(const mesh::ModelHash& model) const noexcept {
    return std::ranges::any_of(plans_, [&](const auto& p) { return p.model().hash == model; });
}

void ParkedPlans::reserve(std::vector<Candidate>& devices, const mesh::ModelHash& model,
                          Beside beside, Time now) const {
    for (Candidate& candidate : devices) {
        const mesh::DeviceId& id = candidate.member.id;
        std::uint64_t others = 0;
        for (const PlanLife& plan : plans_) others += taken(plan, id);
        for (const auto& [hash, displaced] : displaced_) {
            if (beside == Beside::parked || hash == model || contains(hash)) continue;
            if (displaced.times < kOften || now - displaced.last > kLately) continue;
            const auto it = displaced.needs.find(id);
            if (it != displaced.needs.end()) others += it->second;
        }
        std::uint64_t& memory = candidate.member.description.memory_available;
        // 0 is memory that nobody knows of.
        if (memory != 0) memory = std::max<std::uint64_t>(1, memory - std::min(memory, others));
    }
}

}  // namespace shoal
