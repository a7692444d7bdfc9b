#include "daemon/plan/speed_watch.hpp"

#include <algorithm>
#include <utility>

namespace shoal {

void SpeedWatch::begin(std::map<mesh::DeviceId, double> expected) {
    devices_.clear();
    for (const auto& [id, time] : expected) {
        if (time > 0) devices_[id].expected = time;
    }
}

bool SpeedWatch::look(const std::map<mesh::DeviceId, Effort>& efforts) {
    std::map<mesh::DeviceId, double> ratios;
    std::vector<double> sorted;
    for (const auto& [id, device] : devices_) {
        const auto it = efforts.find(id);
        if (it == efforts.end() || it->second.steps < device.seen.steps + kSteps) return false;
        const auto steps = static_cast<double>(it->second.steps - device.seen.steps);
        const double seconds = it->second.seconds - device.seen.seconds;
        sorted.push_back(ratios[id] = std::max(seconds, 1e-9) / steps / device.expected);
    }
    if (sorted.size() < 2) return false;
    // Of two, the faster is the measure: nothing makes a device faster than it is.
    std::sort(sorted.begin(), sorted.end());
    const double median = sorted[(sorted.size() - 1) / 2];
    bool changed = false;
    for (auto& [id, device] : devices_) {
        device.seen = efforts.at(id);
        const double factor = ratios[id] / median;
        const double before = std::exchange(device.before, factor);
        const double lasting = factor > 1 ? std::min(factor, before) : std::max(factor, before);
        if (lasting < kMuch && lasting > 1 / kMuch) continue;
        const double old = correction(id);
        const double now = std::clamp(old * lasting, 1.0, kMost);
        if (now == old) continue;
        corrections_[id] = now;
        changed = true;
    }
    return changed;
}

double SpeedWatch::correction(const mesh::DeviceId& device) const {
    const auto it = corrections_.find(device);
    return it == corrections_.end() ? 1 : it->second;
}

}  // namespace shoal
