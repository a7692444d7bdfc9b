#include "mesh/joining/invitations.hpp"

#include <sodium.h>

#include <algorithm>

namespace shoal::mesh::joining {

namespace {

constexpr discovery::RateLimit::Config kKnocks{1, 5, 20, 40, 512};

}  // namespace

Invitations::~Invitations() {
    for (Made& made : made_) sodium_memzero(made.secret.data(), made.secret.size());
}

std::optional<Secret> Invitations::make(Time now) {
    forget(now);
    if (open(now) >= kMaxOpen) return std::nullopt;
    if (open(now) == 0) wrong_.clear();
    if (!limit_) limit_.emplace(kKnocks, now);
    Made made{{}, now + kInvitationLife, {}};
    random_(made.secret);
    made_.push_back(made);
    return made.secret;
}

Invitations::Verdict Invitations::judge(const PublicKey& joiner, const std::string& host,
                                        const Proof& proof, Time now) {
    if (!limit_ || !limit_->allow(host, now)) return Verdict::busy;
    Made* found = nullptr;
    for (Made& made : made_) {
        // All of them, so that the time says nothing either.
        const Proof expected = prove(made.secret, inviter_, joiner);
        if (sodium_memcmp(expected.data(), proof.data(), proof.size()) == 0) found = &made;
    }
    if (wrong_.contains(joiner)) return Verdict::wrong;
    if (found == nullptr) {
        wrong_.insert(joiner);
        if (wrong_.size() < kMaxWrong) return Verdict::wrong;
        for (Made& made : made_) made.until = std::min(made.until, now);
        return Verdict::wrong_all_closed;
    }
    if (now >= found->until) return found->used_by ? Verdict::used : Verdict::expired;
    if (found->used_by) return *found->used_by == joiner ? Verdict::once_more : Verdict::used;
    found->used_by = joiner;
    found->until = std::min(found->until, now + kUsedLife);
    return Verdict::welcome;
}

std::size_t Invitations::open(Time now) const noexcept {
    return static_cast<std::size_t>(
        std::ranges::count_if(made_, [&](const Made& made) { return now < made.until; }));
}

void Invitations::forget(Time now) {
    for (std::size_t i = 0; i < made_.size();) {
        const bool is_old = now - made_[i].until >= kRemembered && now >= made_[i].until;
        const bool no_room = i == 0 && made_.size() > kMaxRemembered && now >= made_[i].until;
        if (!is_old && !no_room) {
            ++i;
            continue;
        }
        sodium_memzero(made_[i].secret.data(), made_[i].secret.size());
        made_.erase(made_.begin() + static_cast<std::ptrdiff_t>(i));
    }
}

Time Invitations::next_deadline(Time now) const noexcept {
    Time at = Time::max();
    for (const Made& made : made_) {
        if (now < made.until) at = std::min(at, made.until);
    }
    return at;
}

}  // namespace shoal::mesh::joining
