#include "daemon/core/link_survey.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/log/log.hpp"
#include "daemon/plan/offer.hpp"

namespace shoal {

static_assert(LinkMeasurement::kSmallBytes == mesh::messages::kTimedExchangeBytes);

using mesh::messages::LinkEnd;
using mesh::messages::LinkResult;
using mesh::messages::LinkTest;
using mesh::messages::PlanRef;

namespace {

// How often the root looks whether something is to be measured, and what it leaves between two.
constexpr auto kLookEvery = std::chrono::seconds(1);
constexpr auto kBetween = std::chrono::milliseconds(100);
// The same when nothing is, as far as nobody joins.
constexpr auto kLookLater = std::chrono::seconds(5);

}  // namespace

// ---- the root's part ----

void LinkSurvey::become_root(mesh::Term term) {
    resign();
    term_ = term;
    quiet_since_ = loop_.now();
    if (tester_ == nullptr) return;
    known_ = kept_;
    for (const Device& device : links_.view().devices) joined_[device.id] = loop_.now();
    look_soon(kLookEvery);
}

void LinkSurvey::resign() {
    give_up();
    looking_.reset();
    term_.reset();
    known_.clear();
    joined_.clear();
    pauses_.clear();
    news_ = false;
}

void LinkSurvey::on_joined(const mesh::DeviceId& device) {
    if (!term_ || tester_ == nullptr) return;
    joined_[device] = loop_.now();
    look_soon(kLookEvery);
    std::erase_if(pauses_, [&](const auto& entry) {
        return entry.first.first == device || entry.first.second == device;
    });
}

void LinkSurvey::on_lost(const mesh::DeviceId& device) {
    if (running_ && (running_->first.id == device || running_->second.id == device)) give_up();
}

void LinkSurvey::disturb() {
    quiet_since_ = loop_.now();
    give_up();
}

void LinkSurvey::look_soon(Loop::Clock::duration wait) {
    looking_ = loop_.after(
        wait,
        [this] {
            look_soon(kLookEvery);
            look();
        },
        "links to measure");
}

// What was kept of a device that has another address may be of another network.
void LinkSurvey::forget_other_addresses() {
    std::map<mesh::DeviceId, std::string> addresses;
    for (const Device& device : links_.view().devices) addresses[device.id] = device.address;
    const auto is_other = [&](const mesh::DeviceId& id, const std::string& address) {
        const auto it = addresses.find(id);
        return it != addresses.end() && it->second != address;
    };
    std::erase_if(known_, [&](const auto& entry) {
        const auto& [pair, link] = entry;
        return link.measured == Loop::Time{} && (is_other(pair.first, link.first_address) ||
                                                 is_other(pair.second, link.second_address));
    });
}

void LinkSurvey::look() {
    forget_other_addresses();
    if (!links_.idle()) return disturb();
    const Loop::Time now = loop_.now();
    if (running_) {
        if (now - running_->since > kPatience) failed("nothing was heard of it");
        return;
    }
    if (now - quiet_since_ < kQuiet) return;
    if (const auto pair = next()) return begin(pair->first, pair->second);
    look_soon(kLookLater);
    if (std::exchange(news_, false)) links_.complete();
}

// This device's links first, then those of the others, in their order.
std::optional<std::pair<LinkSurvey::Device, LinkSurvey::Device>> LinkSurvey::next() const {
    const View view = links_.view();
    const std::vector<Device>& devices = view.devices;
    for (std::size_t a = 0; a < devices.size(); ++a) {
        for (std::size_t b = a + 1; b < devices.size(); ++b) {
            if (wanted(devices[a], devices[b], view.apart)) {
                return std::pair{devices[a], devices[b]};
            }
        }
    }
    return std::nullopt;
}

bool LinkSurvey::wanted(const Device& a, const Device& b, const std::set<Pair>& apart) const {
    const Loop::Time now = loop_.now();
    const Pair pair = std::minmax(a.id, b.id);
    if (a.port == 0 || b.port == 0 || apart.contains(pair)) return false;
    Loop::Time joined{};
    for (const Device* device : {&a, &b}) {
        const auto it = joined_.find(device->id);
        if (it != joined_.end()) joined = std::max(joined, it->second);
    }
    const auto pause = pauses_.find(pair);
    if (now - joined < kSettle || (pause != pauses_.end() && now < pause->second.until)) {
        return false;
    }
    const auto it = known_.find(pair);
    if (it == known_.end()) return true;
    const bool in_order = a.id == pair.first;
    const KnownLink& link = it->second;
    return link.measured < joined || now - link.measured > kOld ||
           link.first_address != (in_order ? a : b).address ||
           link.second_address != (in_order ? b : a).address;
}

void LinkSurvey::begin(const Device& first, const Device& second) {
    running_ = {PlanRef::of({*term_, next_test_++}), first, second, loop_.now()};
    const Running running = *running_;
    const LinkTest test{running.test,
                        {{first.id.bytes, first.public_key, first.port},
                         {second.id.bytes, second.public_key, second.port}}};
    links_.send(first.id, test);
    links_.send(second.id, test);
}

void LinkSurvey::on_result(const mesh::DeviceId& from, const LinkResult& result) {
    if (!running_ || result.test != running_->test) return;
    const bool is_first = from == running_->first.id;
    if (!is_first && from != running_->second.id) return;
    if (!result.error.empty()) return failed(result.error);
    if (!is_first) return;
    KnownLink link;
    link.there = {result.exchange_seconds, result.out_bytes_per_second};
    link.back = {result.exchange_seconds, result.in_bytes_per_second};
    if (!plausible(link.there) || !plausible(link.back)) return failed("no link does that");
    // A job may have come on this device's way to knowing of it.
    if (!links_.idle()) return disturb();
    const Running done = *running_;
    running_.reset();
    link.date = links_.date();
    link.first_address = done.first.address;
    link.second_address = done.second.address;
    link.transport = result.transport;
    link.cipher = result.cipher;
    link.measured = loop_.now();
    pauses_.erase(std::minmax(done.first.id, done.second.id));
    log::info("link {} - {}: an exchange takes {:.0f} us, {:.1f} MB/s there and {:.1f} back",
              done.first.id.hex().substr(0, 8), done.second.id.hex().substr(0, 8),
              result.exchange_seconds * 1e6, result.out_bytes_per_second / 1e6,
              result.in_bytes_per_second / 1e6);
    news_ |= take_down(known_, done.first.id, done.second.id, std::move(link));
    const Pair pair = std::minmax(done.first.id, done.second.id);
    kept_[pair] = known_.at(pair);
    kept_[pair].measured = Loop::Time{};
    links_.keep(kept_);
    look_soon(kBetween);
}

void LinkSurvey::failed(const std::string& why) {
    const Running ended = *running_;
    Pause& pause = pauses_[std::minmax(ended.first.id, ended.second.id)];
    log::info("link {} - {} was not measured: {}", ended.first.id.hex().substr(0, 8),
              ended.second.id.hex().substr(0, 8), why);
    pause.until = loop_.now() + pause.length;
    pause.length = std::min<std::chrono::seconds>(2 * pause.length, kLastPause);
    give_up();
}

void LinkSurvey::give_up() {
    if (!running_) return;
    const Running ended = *running_;
    running_.reset();
    links_.send(ended.first.id, LinkTest{ended.test, {}});
    links_.send(ended.second.id, LinkTest{ended.test, {}});
}

// ---- a member's part ----

void LinkSurvey::on_test(const mesh::DeviceId& from, const LinkTest& test, const mesh::Term& term) {
    const mesh::Term its = test.test.id().term;
    if (tester_ == nullptr || from != term.candidate || its != term) return;
    if (test.ends.empty()) {
        if (own_test_ == test.test) tester_->stop();
        return;
    }
    const auto is_here = [&](const LinkEnd& end) { return end.id == links_.self.bytes; };
    if (test.ends.size() != 2 || std::ranges::count_if(test.ends, is_here) != 1) return;
    const auto refuse = [&](const std::string& why) {
        LinkResult result;
        result.test = test.test;
        result.error = why;
        links_.send(from, result);
    };
    if (links_.busy()) return refuse("a device is busy");
    LinkTestSpec spec;
    spec.id = test.test.id();
    for (const LinkEnd& end : test.ends) {
        const mesh::DeviceId id{end.id};
        const std::string host = is_here(end) ? "self" : links_.address(id);
        if (host.empty()) return refuse("there is no connection to " + id.hex().substr(0, 8));
        if (is_here(end)) spec.rank = static_cast<std::uint32_t>(spec.peers.size());
        spec.peers.push_back(
            {id, end.public_key, with_host(fmt::format("tcp://*:{}", end.port), host)});
    }
    own_test_ = test.test;
    const std::uint32_t rank = spec.rank;
    tester_->test(std::move(spec),
                  [this, from, test = test.test, rank](const LinkTestOutcome& outcome) {
                      own_test_.reset();
                      if (outcome.error.empty() && rank != 0) return;
                      LinkResult result;
                      result.test = test;
                      result.error = outcome.error.substr(0, mesh::messages::kMaxText);
                      if (outcome.figures) {
                          result.exchange_seconds = outcome.figures->exchange_seconds;
                          result.out_bytes_per_second = outcome.figures->out_bytes_per_second;
                          result.in_bytes_per_second = outcome.figures->in_bytes_per_second;
                      }
                      result.transport = outcome.transport;
                      result.cipher = outcome.cipher;
                      links_.send(from, result);
                  });
}

}  // namespace shoal
