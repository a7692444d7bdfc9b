#include "daemon/plan/failure_policy.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace shoal {

using mesh::messages::Fault;

std::vector<Pair> pairs_of(std::span<const Report> reports, std::span<const Candidate> devices) {
    const auto at_hand = [&](const mesh::DeviceId& id) {
        return std::ranges::any_of(devices, [&](const Candidate& c) { return c.member.id == id; });
    };
    std::vector<Pair> out;
    for (const Report& report : reports) {
        for (const auto& bytes : report.end.peers) {
            const mesh::DeviceId peer{bytes};
            if (peer == report.from || !at_hand(peer) || !at_hand(report.from)) continue;
            const Pair pair = std::minmax(report.from, peer);
            if (std::ranges::find(out, pair) == out.end()) out.push_back(pair);
        }
    }
    return out;
}

std::vector<Blame> judge(std::span<const Report> reports, std::span<const Candidate> devices) {
    std::vector<Blame> blamed;
    for (const Report& report : reports) {
        if (report.end.fault == Fault::own) blamed.push_back({report.from, report.end.error});
    }
    if (!blamed.empty()) return blamed;
    for (const mesh::DeviceId& id : smaller_side(devices, pairs_of(reports, devices), {})) {
        blamed.push_back({id, "other devices get no answer from it"});
    }
    return blamed;
}

FailurePolicy::Time FailurePolicy::report(const mesh::DeviceId& from, mesh::messages::PlanEnd end,
                                          Time now) {
    switch (end.fault) {
        case Fault::own:
            verdict_at_ = now;
            break;
        case Fault::peers:
            verdict_at_ = std::max(reported() ? verdict_at_ : now, now + patience_.missing);
            break;
        case Fault::none:
            if (!reported()) verdict_at_ = now + patience_.reports;
            break;
    }
    reports_.push_back({from, std::move(end)});
    return verdict_at_;
}

FailurePolicy::Verdict FailurePolicy::conclude(std::span<const Candidate> devices,
                                               const Namer& name, Time now) {
    assert(reported());
    Verdict verdict;
    for (const Blame& blame : judge(reports_, devices)) {
        exclusions_.failed(blame.device, blame.reason, now);
        if (blame.device != self_) verdict.blamed.push_back(blame.device);
        verdict.error +=
            (verdict.error.empty() ? "" : "; ") + name(blame.device) + ": " + blame.reason;
    }
    if (verdict.error.empty()) {
        const Report& first = reports_.front();
        verdict.error =
            name(first.from) + ": " + (first.end.error.empty() ? "left the plan" : first.end.error);
    }
    if (exclusions_.strikes(self_) >= kMaxOwnFaults && devices.size() > 1) {
        verdict.unfit = exclusions_.reason(self_, now);
    }
    return verdict;
}

std::optional<std::chrono::milliseconds> FailurePolicy::next_try(bool somebody_is_blamed,
                                                                 bool under_jobs) noexcept {
    if (somebody_is_blamed) return std::chrono::milliseconds(0);
    if (under_jobs) return patience_.retry;
    if (++failures_ < kMaxFailures) return patience_.retry;
    failures_ = 0;
    return std::nullopt;
}

void FailurePolicy::pardon(const std::set<mesh::DeviceId>& devices) {
    for (const mesh::DeviceId& id : devices) exclusions_.forget(id);
    exclusions_.forget(self_);
}

void FailurePolicy::clear() {
    reports_.clear();
    exclusions_.clear();
    failures_ = 0;
}

}  // namespace shoal
