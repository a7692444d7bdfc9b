#include "daemon/plan/speed_watch.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace shoal {

void SpeedWatch::begin(const mesh::PlanId& plan, const std::map<mesh::DeviceId, double>& expected) {
    const auto [it, is_new] = plans_.try_emplace(plan);
    if (!is_new) return;
    for (const auto& [id, time] : expected) {
        if (time > 0) it->second[id].expected = time;
    }
}

void SpeedWatch::hear(const std::map<mesh::DeviceId, Effort>& efforts) {
    for (const auto& [id, effort] : efforts) {
        const auto plan = plans_.find(effort.plan);
        if (plan == plans_.end()) continue;
        const auto device = plan->second.find(id);
        if (device != plan->second.end()) device->second.heard = effort;
    }
}

bool SpeedWatch::look() {
    bool changed = false;
    for (auto& [id, devices] : plans_) changed = look(devices) || changed;
    return changed;
}

bool SpeedWatch::look(Devices& devices) {
    std::map<mesh::DeviceId, double> ratios;
    std::vector<double> sorted;
    for (const auto& [id, device] : devices) {
        if (device.heard.steps < device.seen.steps + kSteps) return false;
        const auto steps = static_cast<double>(device.heard.steps - device.seen.steps);
        const double seconds = std::max(device.heard.seconds - device.seen.seconds, 1e-9);
        sorted.push_back(ratios[id] = seconds / steps / (device.expected * correction(id)));
    }
    if (sorted.size() < 2) return false;
    // Of two, the faster is the measure: nothing makes a device faster than it is.
    std::sort(sorted.begin(), sorted.end());
    const double median = sorted[(sorted.size() - 1) / 2];
    bool changed = false;
    for (auto& [id, device] : devices) {
        const double seconds = device.heard.seconds - device.seen.seconds;
        device.seen = device.heard;
        double factor = ratios[id] / median;
        if (factor > 1 && factor * (seconds - kMomentSeconds) < kMuch * seconds) factor = 1;
        const double before = std::exchange(device.before, factor);
        const double lasting = factor > 1 ? std::max(1.0, std::min(factor, before))
                                          : std::min(1.0, std::max(factor, before));
        if (lasting < kMuch && lasting > 1 / kMuch) continue;
        const double old = correction(id);
        const double now = std::clamp(old * lasting, 1.0, kMost);
        if (now == old) continue;
        corrections_[id] = now;
        device.before = 1;
        changed = true;
    }
    return changed;
}

double SpeedWatch::correction(const mesh::DeviceId& device) const {
    const auto it = corrections_.find(device);
    return it == corrections_.end() ? 1 : it->second;
}

}  // namespace shoal
