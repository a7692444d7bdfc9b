#include "daemon/plan/exclusions.hpp"

#include <algorithm>
#include <utility>

namespace shoal {

Exclusions::Faults& Exclusions::faults_of(const mesh::DeviceId& device, Time now) {
    Faults& faults = faults_[device];
    if (now - std::max(faults.latest, faults.until) > kMemory) faults = {};
    faults.latest = now;
    return faults;
}

void Exclusions::failed(const mesh::DeviceId& device, std::string reason, Time now) {
    Faults& faults = faults_of(device, now);
    const std::uint32_t doublings = std::min(faults.strikes++, 16U);
    faults.until = now + std::min(kFirstPause * (1 << doublings), kLongestPause);
    faults.reason = std::move(reason);
}

void Exclusions::lost(const mesh::DeviceId& device, Time now) {
    Faults& faults = faults_of(device, now);
    if (++faults.losses <= kFreeLosses) return;
    const std::uint32_t doublings = std::min(faults.losses - kFreeLosses - 1, 16U);
    faults.until = now + std::min(kFirstPause * (1 << doublings), kLongestPause);
    faults.reason = "it was lost " + std::to_string(faults.losses) + " times in a short while";
}

void Exclusions::joined(const mesh::DeviceId& device, Time now) {
    const auto it = faults_.find(device);
    if (it != faults_.end() && it->second.losses <= kFreeLosses) it->second.until = now;
}

std::optional<std::string> Exclusions::reason(const mesh::DeviceId& device, Time now) const {
    const auto it = faults_.find(device);
    if (it == faults_.end() || now >= it->second.until) return std::nullopt;
    return it->second.reason;
}

std::uint32_t Exclusions::strikes(const mesh::DeviceId& device) const {
    const auto it = faults_.find(device);
    return it == faults_.end() ? 0 : it->second.strikes;
}

}  // namespace shoal
