#include "mesh/membership/election.hpp"

#include <algorithm>
#include <utility>

namespace shoal::mesh::membership {

Election::Election(Candidate self, ElectionConfig config, std::uint64_t stored_counter,
                   Persist persist, Time now)
    : self_(self),
      config_(config),
      persist_(std::move(persist)),
      counter_(stored_counter),
      rootless_since_(now),
      latest_join_(now),
      retry_at_(now),
      takeover_until_(now) {}

void Election::seen(const Candidate& candidate, Time now) {
    const auto [it, is_new] = members_.try_emplace(candidate.id, Member{candidate, {}, now});
    it->second.candidate = candidate;
    if (is_new) latest_join_ = now;
    evaluate(now);
}

void Election::lost(const DeviceId& id, Time now) {
    members_.erase(id);
    evaluate(now);
}

void Election::heard(const DeviceId& id, const wire::ElectionState& state, Time now) {
    const auto it = members_.find(id);
    if (it == members_.end()) return;
    it->second.state = state;
    counter_ = std::max(counter_, state.term.counter);
    evaluate(now);
}

void Election::describe(const Candidate& self, Time now) {
    self_ = self;
    evaluate(now);
}

void Election::tick(Time now) {
    evaluate(now);
    if (!has_root_ && now >= claim_time()) claim(now);
    if (has_root_ && now >= takeover_time()) {
        takeover_until_ = now + config_.takeover;
        claim(now);
    }
}

std::optional<DeviceId> Election::root() const noexcept {
    return has_root_ ? std::optional(term_.candidate) : std::nullopt;
}

wire::ElectionState Election::state() const noexcept {
    if (!has_root_) return {};
    return {term_, leads() ? followers() : 0};
}

std::uint32_t Election::followers() const noexcept {
    return static_cast<std::uint32_t>(std::ranges::count_if(
        members_, [&](const auto& entry) { return entry.second.state.term == term_; }));
}

Election::Claim Election::claim_of(const Member& member) noexcept {
    return {member.state.followers > 0, member.state.term};
}

const Election::Member* Election::strongest_claimant() const noexcept {
    const Member* best = nullptr;
    for (const auto& [id, member] : members_) {
        const bool claims = member.state.term.counter != 0 && member.state.term.candidate == id;
        if (claims && (best == nullptr || claim_of(*best) < claim_of(member))) best = &member;
    }
    return best;
}

void Election::evaluate(Time now) {
    if (has_root_ && !leads()) {
        const auto root = members_.find(term_.candidate);
        if (root == members_.end() || root->second.state.term != term_) drop_root(now);
    }
    if (const Member* best = strongest_claimant()) consider(*best, now);
}

void Election::consider(const Member& claimant, Time now) {
    if (!has_root_) return adopt(claimant.state.term);
    if (leads()) {
        if (must_hand_over_to(claimant, now)) return adopt(claimant.state.term);
        // Our own takeover is on its way: the root that we replace still has its followers.
        if (now < takeover_until_ && claimant.candidate.priority < self_.priority &&
            claimant.state.term < term_) {
            return;
        }
    }
    // A root that we follow has at least this follower.
    const Claim ours{!leads() || followers() > 0, term_};
    if (ours < claim_of(claimant)) adopt(claimant.state.term);
}

bool Election::must_hand_over_to(const Member& claimant, Time now) const noexcept {
    // Half the delay, because the challenger may have met us a little earlier than we met it.
    return claimant.candidate.priority > self_.priority && term_ < claimant.state.term &&
           now - claimant.since >= config_.takeover / 2;
}

void Election::adopt(const Term& term) noexcept {
    has_root_ = true;
    had_root_ = true;
    term_ = term;
}

void Election::drop_root(Time now) noexcept {
    has_root_ = false;
    rootless_since_ = now;
}

Time Election::claim_time() const {
    const milliseconds patience = had_root_ ? config_.regather : config_.gather;
    Time at = rootless_since_ + patience;
    if (members_.empty()) {
        if (!had_root_) at = rootless_since_ + config_.lone;
    } else {
        const Time settled =
            std::min(latest_join_ + config_.settle, rootless_since_ + config_.lone);
        const auto preferred = std::ranges::count_if(members_, [&](const auto& entry) {
            return is_preferred(entry.second.candidate, self_);
        });
        at = std::max(at, settled) + preferred * config_.stagger;
        // Whoever follows a root will tell us when it is gone.
        const bool others_have_one = std::ranges::any_of(
            members_, [](const auto& entry) { return entry.second.state.term.counter != 0; });
        if (others_have_one) at = std::max(at, rootless_since_ + config_.defer);
    }
    return std::max(at, retry_at_);
}

Time Election::takeover_time() const {
    if (leads() || !has_root_) return Time::max();
    const auto root = members_.find(term_.candidate);
    if (root == members_.end() || root->second.candidate.priority >= self_.priority) {
        return Time::max();
    }
    for (const auto& [id, member] : members_) {
        if (is_preferred(member.candidate, self_)) return Time::max();
    }
    return std::max(
        {root->second.since + config_.takeover, takeover_until_ + config_.takeover, retry_at_});
}

void Election::claim(Time now) {
    if (counter_ >= wire::kMaxTermCounter || !persist_(counter_ + 1)) {
        retry_at_ = now + config_.retry;
        return;
    }
    ++counter_;
    adopt({counter_, self_.id});
}

Time Election::next_deadline() const {
    return has_root_ ? takeover_time() : claim_time();
}

}  // namespace shoal::mesh::membership
