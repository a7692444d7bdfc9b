#include "mesh/discovery/discovery.hpp"

#include <sodium.h>

#include <algorithm>
#include <utility>

namespace shoal::mesh::discovery {

namespace {

/// Announcements that may still be answered. More than are made within a nonce's life unless
/// members send us to many addresses at once; then the oldest lose.
constexpr std::size_t kMaxIssued = 64;
/// Devices whose latest courtesy answer is remembered.
constexpr std::size_t kMaxCourtesies = 1024;
/// Addresses of other clusters that are told. The first stay while they are heard, so that a flood
/// of invented ones changes nothing that a person reads.
constexpr std::size_t kMaxForeigners = 3;

}  // namespace

Discovery::Discovery(Self self, const wire::BeaconKey& key, DiscoveryConfig config, Random random,
                     IsSettled is_settled, Time now)
    : self_(self),
      keys_{key},
      config_(config),
      random_(std::move(random)),
      is_settled_(std::move(is_settled)),
      limit_(config.answers, now),
      start_(now),
      burst_start_(now),
      next_announcement_(now) {
    random_(cookie_key_);
}

wire::BeaconBytes Discovery::make(wire::Beacon::Kind kind, const wire::Nonce& nonce,
                                  const wire::Nonce& echo, const wire::BeaconKey& key,
                                  Time now) const {
    wire::Beacon beacon;
    beacon.kind = kind;
    beacon.control_port = self_.control_port;
    beacon.instance = self_.instance;
    beacon.age = static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::seconds>(now - start_).count());
    beacon.public_key = self_.public_key;
    beacon.nonce = nonce;
    beacon.echo = echo;
    return wire::encode(beacon, key);
}

wire::Nonce Discovery::issue_nonce(Time now) {
    Issued issued{{}, now};
    random_(issued.nonce);
    if (issued_.size() >= kMaxIssued) issued_.pop_front();
    issued_.push_back(issued);
    return issued.nonce;
}

bool Discovery::was_issued(const wire::Nonce& nonce, Time now) const noexcept {
    return std::ranges::any_of(issued_, [&](const Issued& issued) {
        return issued.nonce == nonce && now - issued.at < config_.nonce_life;
    });
}

std::uint64_t Discovery::period_of(Time now) const noexcept {
    return static_cast<std::uint64_t>((now - start_) / config_.nonce_life);
}

wire::Nonce Discovery::cookie(const DeviceId& id, std::uint64_t period) const noexcept {
    // Computed rather than remembered, so that nobody can fill a table with questions.
    std::array<std::uint8_t, sizeof id.bytes + sizeof period> input{};
    std::copy(id.bytes.begin(), id.bytes.end(), input.begin());
    for (std::size_t i = 0; i < sizeof period; ++i) {
        input[sizeof id.bytes + i] = static_cast<std::uint8_t>(period >> (8 * i));
    }
    wire::Nonce nonce{};
    crypto_generichash(nonce.data(), nonce.size(), input.data(), input.size(), cookie_key_.data(),
                       cookie_key_.size());
    return nonce;
}

void Discovery::set_keys(std::vector<wire::BeaconKey> keys, IsKnown is_known, Time now) {
    keys_ = std::move(keys);
    is_known_ = std::move(is_known);
    foreigners_.clear();  // They may be ours now.
    announced_ = 0;
    burst_start_ = next_announcement_ = now;
}

const wire::BeaconKey* Discovery::key_of(std::span<const std::byte> bytes,
                                         const wire::Beacon& beacon) const noexcept {
    const auto made = std::ranges::find_if(
        keys_, [&](const wire::BeaconKey& key) { return wire::is_authentic(bytes, key); });
    if (made == keys_.end()) return nullptr;
    return made == keys_.begin() || is_known_(beacon.public_key) ? &*made : nullptr;
}

void Discovery::tick(Time now, Output& out) {
    if (now < next_announcement_) return;
    out.send.push_back(
        {std::nullopt, make(wire::Beacon::Kind::announce, issue_nonce(now), {}, keys_[0], now)});
    ++announced_;
    next_announcement_ = announced_ < config_.burst.size()
                             ? std::max(burst_start_ + config_.burst[announced_], now)
                             : now + config_.interval;
}

void Discovery::contact(const Endpoint& to, Time now, Output& out) {
    if (!limit_.allow(to.host, now)) {
        ++counters_.limited;
        return;
    }
    out.send.push_back(
        {to, make(wire::Beacon::Kind::announce, issue_nonce(now), {}, keys_[0], now)});
}

void Discovery::received(std::span<const std::byte> bytes, const Endpoint& from, Time now,
                         Output& out) {
    const auto beacon = wire::decode_beacon(bytes);
    if (!beacon) {
        ++counters_.malformed;
        return;
    }
    const bool has_our_key = beacon->public_key == self_.public_key;
    if (has_our_key && beacon->instance == self_.instance) return;  // Our own, heard again.
    const wire::BeaconKey* key = key_of(bytes, *beacon);
    if (key == nullptr) {
        ++counters_.foreign;
        return note_foreigner(from.host, now);
    }
    const DeviceId id = device_id_of(beacon->public_key);
    if (beacon->kind == wire::Beacon::Kind::announce) {
        return answer(*beacon, id, from, *key, now, out);
    }
    if (!is_fresh(*beacon, id, now)) {
        ++counters_.stale;
        return;
    }
    if (has_our_key) {
        out.clones.push_back(from);
        return;
    }
    if (beacon->kind == wire::Beacon::Kind::answer) {
        if (!limit_.allow(from.host, now)) {
            ++counters_.limited;
            return;
        }
        out.send.push_back({from, make(wire::Beacon::Kind::confirm, {}, beacon->nonce, *key, now)});
    }
    out.sighted.push_back({beacon->public_key, id, beacon->instance, beacon->control_port, from,
                           now - std::chrono::seconds(beacon->age)});
}

bool Discovery::is_fresh(const wire::Beacon& beacon, const DeviceId& id, Time now) const noexcept {
    if (beacon.kind == wire::Beacon::Kind::answer) return was_issued(beacon.echo, now);
    const std::uint64_t period = period_of(now);
    return beacon.echo == cookie(id, period) ||
           (period > 0 && beacon.echo == cookie(id, period - 1));
}

void Discovery::answer(const wire::Beacon& beacon, const DeviceId& id, const Endpoint& from,
                       const wire::BeaconKey& key, Time now, Output& out) {
    if (is_settled_(id, beacon.instance)) {
        const auto it = courtesies_.find(id);
        if (it != courtesies_.end() && now - it->second < config_.courtesy) return;
        if (it == courtesies_.end() && courtesies_.size() >= kMaxCourtesies) courtesies_.clear();
        courtesies_[id] = now;
    }
    if (!limit_.allow(from.host, now)) {
        ++counters_.limited;
        return;
    }
    out.send.push_back({from, make(wire::Beacon::Kind::answer, cookie(id, period_of(now)),
                                   beacon.nonce, key, now)});
}

void Discovery::note_foreigner(const std::string& host, Time now) {
    std::erase_if(foreigners_,
                  [&](const auto& entry) { return now - entry.second >= config_.foreign_life; });
    if (foreigners_.contains(host) || foreigners_.size() < kMaxForeigners) foreigners_[host] = now;
}

std::vector<std::string> Discovery::foreigners(Time now) const {
    std::vector<std::string> hosts;
    for (const auto& [host, heard] : foreigners_) {
        if (now - heard < config_.foreign_life) hosts.push_back(host);
    }
    return hosts;
}

}  // namespace shoal::mesh::discovery
