// What the devices of the root's plans come to, and when that asks for another plan.

#include <exception>
#include <map>
#include <utility>

#include "daemon/log/log.hpp"
#include "daemon/plan/device_profile.hpp"
#include "daemon/plan/plan_root.hpp"
#include "daemon/plan/planner.hpp"

namespace shoal {

Situation PlanRoot::situation(const mesh::ModelHash& model) const {
    const auto now = loop_.now();
    Cluster cluster = links_->cluster();
    const std::set<mesh::DeviceId> holders = links_->holders(model);
    Situation out;
    for (mesh::Member& m : cluster.followers) {
        const mesh::DeviceId id = m.id;
        auto profile = profile_of(m.description);
        out.devices.push_back({std::move(m), links_->name(id), speeds_.correction(id),
                               failures_.exclusions().reason(id, now),
                               failures_.exclusions().suspicious(id), profile,
                               holders.contains(id)});
    }
    out.apart = std::move(cluster.apart);
    out.links = std::move(cluster.links);
    for (const auto& [id, device] : plan_.devices()) out.planned.insert(id);
    return out;
}

void PlanRoot::on_members_changed() {
    review_soon();
    if (speeds_.watching()) speeds_.hear(links_->efforts());
}

void PlanRoot::on_member_joined(const mesh::DeviceId& device) {
    changed_ = loop_.now();
    stepped_aside_ = false;
    failures_.joined(device, changed_);
    speeds_.forget(device);
    review_soon();
}

// Devices and their shares follow from what devices do; which of them take part, from links as
// well. A plan that other devices would be chosen for by now is made anew before the next job.
void PlanRoot::on_links_measured() {
    if (plan_.state() != PlanLife::State::running) return;
    Models::Want want;
    want.owner = &links_reviewed_;
    want.model = plan_.model();
    want.done = [this, plan = plan_.offer().plan](const std::shared_ptr<const OpenModel>& model,
                                                  const std::string&) {
        if (!model || plan_.state() != PlanLife::State::running || plan_.offer().plan != plan)
            return;
        const auto ids = [](const mesh::messages::PlanOffer& offer) {
            std::vector<std::array<std::uint8_t, 16>> out;
            for (const auto& device : offer.devices) out.push_back(device.id);
            return out;
        };
        try {
            const Planned now = plan_model(*model, rules_, beside_parked(choose(situation())));
            if (ids(now.offer) == ids(plan_.offer())) return;
            log::info("by its links the cluster would be planned otherwise, and is before any job");
            reshape(PlanCause::links);
            loop_.post([this] { plan_ahead(); });
        } catch (const std::exception&) {
            // What a job is told when the plan at hand cannot be made again.
        }
    };
    models_.get(std::move(want));
}

// Devices see each other one after another, and a lost one is missed by some before others: what
// lasts is looked at.
void PlanRoot::review_soon() {
    if (!term_ || review_due_) return;
    review_due_ = loop_.after(
        patience_.missing,
        [this] {
            review_due_.reset();
            review();
        },
        "a review of the devices");
}

void PlanRoot::show_left_out(const Choice& choice) {
    LeftOutDevices left_out = choice.left_out;
    for (const Candidate& c : choice.taking.devices) {
        if (const auto it = no_room_.find(c.member.id); it != no_room_.end()) left_out.insert(*it);
    }
    if (left_out == left_out_) return;
    left_out_ = std::move(left_out);
    links_->left_out(left_out_);
}

void PlanRoot::compare_speeds() {
    if (!speeds_.watching()) return;
    speeds_.hear(links_->efforts());
    if (!speeds_.look()) return;
    reshape(PlanCause::speeds);
    end_parked(parked_.take_if([](const PlanLife&) { return true; }));
    std::map<mesh::DeviceId, double> slow;
    for (const Candidate& c : situation().devices) {
        if (c.slower >= SpeedWatch::kMuch) slow[c.member.id] = c.slower;
    }
    links_->slow(slow);
}

}  // namespace shoal
