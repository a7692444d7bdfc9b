#include "mesh/exchange/memory_exchange.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <condition_variable>
#include <cstring>
#include <limits>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>

namespace shoal::mesh {

namespace {

/// Frames that a device may be ahead of the slowest one.
constexpr std::uint64_t kDepth = 4;
constexpr std::uint32_t kEveryone = std::numeric_limits<std::uint32_t>::max();

/// A payload of one collective. The buffer grows only, so a warm exchange allocates nothing.
struct Slot {
    std::uint64_t op = 0;  // Collectives count from 1, so 0 is "never filled".
    std::vector<std::byte> buffer;
    std::size_t size = 0;

    void fill(std::uint64_t number, std::span<const std::byte> payload) {
        if (buffer.size() < payload.size() + 1) buffer.resize(payload.size() + 1);
        if (!payload.empty()) std::memcpy(buffer.data() + 1, payload.data(), payload.size());
        size = payload.size();
        op = number;
    }
    std::span<const std::byte> view() const noexcept { return {buffer.data() + 1, size}; }
};

/// What a device waits for in its current collective.
struct Wait {
    enum class Kind : std::uint8_t { none, space, frames } kind = Kind::none;
    std::uint32_t from = kEveryone;
};

}  // namespace

struct MemoryGroup::State {
    struct Member {
        std::condition_variable wake;
        std::array<Slot, kDepth> slots;
        std::uint64_t entered = 0;  // number of the collective it is in or has finished last
        Wait wait;
        bool taken = false, left = false;
    };

    State(std::uint32_t size, std::chrono::milliseconds limit)
        : members(size), silence_limit(limit) {}

    bool has_frame(std::uint32_t from, std::uint64_t op) const noexcept {
        return members[from].slots[op % kDepth].op == op;
    }
    /// True when device `s` has done what device `r` waits for.
    bool served(std::uint32_t r, std::uint32_t s) const noexcept {
        const Member& me = members[r];
        if (me.wait.kind == Wait::Kind::space) return members[s].entered + kDepth > me.entered;
        return (me.wait.from != kEveryone && me.wait.from != s) || has_frame(s, me.entered);
    }
    bool ready(std::uint32_t r) const noexcept {
        for (std::uint32_t s = 0; s < members.size(); ++s) {
            if (s != r && !served(r, s)) return false;
        }
        return true;
    }
    /// True when what device `r` waits for cannot come any more, or nobody needs it: a device that
    /// left before the current collective has ended the plan.
    bool hopeless(std::uint32_t r) const noexcept {
        if (aborted) return true;
        for (std::uint32_t s = 0; s < members.size(); ++s) {
            if (s == r || !members[s].left) continue;
            if (members[s].entered < members[r].entered || !served(r, s)) return true;
        }
        return false;
    }
    /// Wakes only those who can go on: with eight devices, waking all on every frame costs more
    /// than the exchange.
    void wake_ready() {
        for (std::uint32_t r = 0; r < members.size(); ++r) {
            if (members[r].wait.kind != Wait::Kind::none && (hopeless(r) || ready(r))) {
                members[r].wake.notify_one();
            }
        }
    }
    void abort() noexcept {
        const std::lock_guard lock(mutex);
        aborted = true;
        for (Member& member : members) member.wake.notify_one();
    }

    std::mutex mutex;
    std::vector<Member> members;
    std::chrono::milliseconds silence_limit;
    bool aborted = false;

    struct Abort {
        State* state;
        void operator()() const noexcept { state->abort(); }
    };
    std::optional<std::stop_callback<Abort>> on_stop;  // last member: gone before the rest
};

namespace {

/// Externally synchronised: one thread uses it.
class MemoryExchange final : public Exchange {
  public:
    MemoryExchange(std::shared_ptr<MemoryGroup::State> group, std::uint32_t rank) noexcept
        : group_(std::move(group)), rank_(rank) {}

    ~MemoryExchange() override {
        const std::lock_guard lock(group_->mutex);
        me().left = true;
        group_->wake_ready();
    }

    std::uint32_t rank() const noexcept override { return rank_; }
    std::uint32_t size() const noexcept override {
        return static_cast<std::uint32_t>(group_->members.size());
    }

    ExchangeStatus all_gather(std::span<const std::byte> mine,
                              std::vector<std::span<const std::byte>>& theirs) override {
        std::unique_lock lock(group_->mutex);
        if (const auto status = send(lock, mine); status != ExchangeStatus::ok) return status;
        return receive_all(lock, theirs);
    }

    ExchangeStatus broadcast(std::uint32_t root, std::span<const std::byte> payload,
                             std::span<const std::byte>& received) override {
        assert(root < size());
        std::unique_lock lock(group_->mutex);
        ExchangeStatus status;
        if (root == rank_) {
            status = send(lock, payload);
        } else {
            status = begin();
            if (status == ExchangeStatus::ok) {
                status = wait(lock, {Wait::Kind::frames, root}, /*limited=*/false);
            }
        }
        if (status == ExchangeStatus::ok) received = frame_of(root);
        return status;
    }

    ExchangeStatus gather(std::uint32_t root, std::span<const std::byte> mine,
                          std::vector<std::span<const std::byte>>& theirs) override {
        assert(root < size());
        std::unique_lock lock(group_->mutex);
        const auto status = send(lock, mine);
        if (status != ExchangeStatus::ok || root != rank_) return status;
        return receive_all(lock, theirs);
    }

  private:
    MemoryGroup::State::Member& me() const noexcept { return group_->members[rank_]; }
    std::span<const std::byte> frame_of(std::uint32_t r) const noexcept {
        return group_->members[r].slots[me().entered % kDepth].view();
    }

    ExchangeStatus fail(ExchangeStatus status) noexcept {
        failed_ = status;
        me().left = true;  // Who waits for us would wait in vain.
        group_->wake_ready();
        return status;
    }

    ExchangeStatus begin() noexcept {
        if (failed_ != ExchangeStatus::ok) return failed_;
        const std::uint64_t op = ++me().entered;
        group_->wake_ready();  // someone may wait for space
        if (group_->aborted) return fail(ExchangeStatus::aborted);
        for (const auto& member : group_->members) {
            if (member.left && member.entered < op) return fail(ExchangeStatus::aborted);
        }
        return ExchangeStatus::ok;
    }

    ExchangeStatus send(std::unique_lock<std::mutex>& lock, std::span<const std::byte> payload) {
        if (const auto status = begin(); status != ExchangeStatus::ok) return status;
        const auto status = wait(lock, {Wait::Kind::space, kEveryone}, /*limited=*/true);
        if (status != ExchangeStatus::ok) return status;
        me().slots[me().entered % kDepth].fill(me().entered, payload);
        group_->wake_ready();
        return ExchangeStatus::ok;
    }

    ExchangeStatus receive_all(std::unique_lock<std::mutex>& lock,
                               std::vector<std::span<const std::byte>>& theirs) {
        const auto status = wait(lock, {Wait::Kind::frames, kEveryone}, /*limited=*/true);
        if (status != ExchangeStatus::ok) return status;
        theirs.resize(size());
        for (std::uint32_t r = 0; r < size(); ++r) theirs[r] = frame_of(r);
        return ExchangeStatus::ok;
    }

    ExchangeStatus wait(std::unique_lock<std::mutex>& lock, Wait what, bool limited) {
        me().wait = what;
        const auto done = [&] { return group_->hopeless(rank_) || group_->ready(rank_); };
        bool in_time = true;
        if (limited && group_->silence_limit.count() > 0) {
            in_time = me().wake.wait_for(lock, group_->silence_limit, done);
        } else {
            me().wake.wait(lock, done);
        }
        const bool ready = group_->ready(rank_) && !group_->aborted;
        me().wait = {};
        if (ready) return ExchangeStatus::ok;
        return fail(in_time ? ExchangeStatus::aborted : ExchangeStatus::timed_out);
    }

    std::shared_ptr<MemoryGroup::State> group_;
    std::uint32_t rank_;
    ExchangeStatus failed_ = ExchangeStatus::ok;
};

}  // namespace

MemoryGroup::MemoryGroup(std::uint32_t size, MemoryExchangeOptions options) {
    if (size == 0 || size > 65535) {
        throw std::invalid_argument("a memory exchange needs 1 to 65535 devices, not " +
                                    std::to_string(size));
    }
    state_ = std::make_shared<State>(size, options.silence_limit);
    if (options.stop.stop_possible()) {
        state_->on_stop.emplace(std::move(options.stop), State::Abort{state_.get()});
    }
}
MemoryGroup::~MemoryGroup() = default;
MemoryGroup::MemoryGroup(MemoryGroup&&) noexcept = default;
MemoryGroup& MemoryGroup::operator=(MemoryGroup&&) noexcept = default;

std::unique_ptr<Exchange> MemoryGroup::member(std::uint32_t rank) {
    const std::lock_guard lock(state_->mutex);
    if (rank >= state_->members.size() || state_->members[rank].taken) {
        throw std::invalid_argument("rank " + std::to_string(rank) +
                                    " of a memory exchange does not exist or is taken");
    }
    state_->members[rank].taken = true;
    return std::make_unique<MemoryExchange>(state_, rank);
}

void MemoryGroup::abort() noexcept {
    state_->abort();
}

std::vector<std::unique_ptr<Exchange>> make_memory_exchange(std::uint32_t size,
                                                            MemoryExchangeOptions options) {
    MemoryGroup group(size, std::move(options));
    std::vector<std::unique_ptr<Exchange>> members;
    members.reserve(size);
    for (std::uint32_t rank = 0; rank < size; ++rank) members.push_back(group.member(rank));
    return members;
}

}  // namespace shoal::mesh
