#include "daemon/plan/plan_life.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace shoal {

void PlanLife::open(const KnownModel& model, Time now) {
    assert(state_ == State::none);
    state_ = State::opening;
    model_ = model;
    begun_ = now;
    used_ = now;
}

void PlanLife::offer(mesh::messages::PlanOffer offer, std::set<mesh::DeviceId> made_for, Time now) {
    assert(state_ == State::opening);
    state_ = State::loading;
    offer_ = std::move(offer);
    made_for_ = std::move(made_for);
    for (const mesh::messages::PlanDevice& device : offer_.devices) {
        devices_[{device.id}].heard = now;
    }
}

bool PlanLife::on_progress(const mesh::DeviceId& from, const mesh::messages::PlanProgress& progress,
                           Time now) {
    if (state_ != State::loading || !concerns(progress.plan, from)) return false;
    PlanDeviceState& device = devices_[from];
    device.heard = now;
    device.done = progress.done;
    device.total = progress.total;
    device.what = progress.what;
    return true;
}

bool PlanLife::on_loaded(const mesh::DeviceId& from, const mesh::messages::PlanLoaded& loaded) {
    if (state_ != State::loading || !concerns(loaded.plan, from)) return false;
    PlanDeviceState& device = devices_[from];
    device.loaded = true;
    device.done = device.total;
    device.held = {loaded.weight_bytes, loaded.planned_weight_bytes, loaded.kv_bytes,
                   loaded.buffer_bytes, loaded.keeps_blocks};
    if (!std::ranges::all_of(devices_, [](const auto& each) { return each.second.loaded; })) {
        return false;
    }
    state_ = State::starting;
    return true;
}

bool PlanLife::keeps_blocks() const noexcept {
    return std::ranges::all_of(devices_, [](const auto& d) { return d.second.held.keeps_blocks; });
}

bool PlanLife::on_started(const mesh::PlanId& plan, Time now) {
    if (state_ != State::starting || offer_.plan.id() != plan) return false;
    state_ = State::running;
    running_ = now;
    return true;
}

void PlanLife::park() noexcept {
    assert(state_ == State::running);
    state_ = State::parking;
}

bool PlanLife::on_parked(const mesh::PlanId& plan) noexcept {
    if (state_ != State::parking || offer_.plan.id() != plan) return false;
    state_ = State::parked;
    return true;
}

void PlanLife::start_again(Time now) noexcept {
    assert(state_ == State::parked);
    state_ = State::starting;
    begun_ = now;
}

void PlanLife::end() {
    state_ = State::none;
    devices_.clear();
    offer_ = {};
}

mesh::messages::Progress PlanLife::progress() const {
    std::string waiting;  // nobody goes on while one device waits
    mesh::messages::Progress sum;
    sum.what = "loading";
    for (const auto& [id, device] : devices_) {
        if (device.what == "fetching" && !device.loaded) sum.what = "fetching pieces";
        sum.done += device.done;
        sum.total += device.total;
        if (device.total == 0 && !device.what.empty()) waiting = device.what;
    }
    if (!waiting.empty()) return {waiting, 0, 0};
    return sum;
}

std::optional<mesh::DeviceId> PlanLife::stuck(Time since) const {
    if (state_ != State::loading) return std::nullopt;
    for (const auto& [id, device] : devices_) {
        if (!device.loaded && device.heard < since) return id;
    }
    return std::nullopt;
}

}  // namespace shoal
