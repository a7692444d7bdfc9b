#include "mesh/exchange/memory_exchange.hpp"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "mesh/exchange/lockstep_exchange.hpp"
#include "mesh/exchange/memory_buffer.hpp"

namespace shoal::mesh {

namespace {

/// As good as for ever, and no time that is added to it overflows.
constexpr std::chrono::hours kForEver{24 * 365};

}  // namespace

using exchange::Clock;
using exchange::Collective;
using exchange::Frame;
using exchange::kEveryone;
using exchange::Lockstep;
using exchange::LockstepExchange;
using exchange::Time;

/// All of it is guarded by the mutex, but what a device's thread reads between its calls.
struct MemoryGroup::State {
    struct Device final : exchange::Port {
        Device(State& all, const exchange::Place& place, std::chrono::milliseconds silence_limit)
            : group(all),
              arrived(place.devices.size()),
              steps(*this, place, silence_limit, stats) {}

        Frame make(std::size_t size) override {
            return std::make_shared<exchange::MemoryBuffer>(size);
        }
        bool send(std::uint32_t to, const Frame& frame) override {
            for (auto& device : group.devices) {
                const std::uint32_t r = device->steps.rank();
                if (r == steps.rank() || (to != kEveryone && to != r)) continue;
                device->arrived[steps.rank()].push_back(frame);
                device->has_news = true;
            }
            return true;
        }
        Frame receive(std::uint32_t from) override {
            if (arrived[from].empty()) return nullptr;
            Frame frame = std::move(arrived[from].front());
            arrived[from].pop_front();
            return frame;
        }
        std::uint64_t connection(std::uint32_t /*from*/) override { return 1; }

        State& group;
        std::vector<std::deque<Frame>> arrived;  ///< by sender
        DataPlaneStats stats;
        Lockstep steps;
        bool taken = false;
        bool waits = false;     ///< in a call that has not ended
        bool sleeps = false;    ///< and its thread is to be woken when it has
        bool has_news = false;  ///< should take a step if it waits
        std::condition_variable wake;
    };

    State(std::uint32_t size, std::chrono::milliseconds silence_limit)
        : limited(silence_limit.count() != 0) {
        if (!limited) silence_limit = kForEver;
        exchange::Place place{{}, 0, std::vector<Peer>(size)};
        for (std::uint32_t r = 0; r < size; ++r) {
            for (int i = 0; i < 4; ++i) {
                place.devices[r].id.bytes[i] = static_cast<std::uint8_t>(r >> 8 * i);
            }
        }
        const Time now = Clock::now();
        for (place.rank = 0; place.rank < size; ++place.rank) {
            devices.push_back(std::make_unique<Device>(*this, place, silence_limit));
        }
        for (auto& device : devices) {
            device->steps.join(now, silence_limit);
            device->waits = device->has_news = true;
        }
        go_on(now);
    }

    /// Takes the steps of all devices that wait, then wakes those that have waited enough: with
    /// eight devices, waking all on every frame costs more than the exchange.
    void go_on(Time now) {
        for (bool any = true; any;) {
            any = false;
            for (auto& device : devices) {
                if (!device->waits || !std::exchange(device->has_news, false)) continue;
                any = true;
                device->waits = !device->steps.step(now);
            }
        }
        for (auto& device : devices) {
            if (device->waits || !std::exchange(device->sleeps, false)) continue;
            device->wake.notify_one();
        }
    }
    void abort() noexcept {
        const std::lock_guard lock(mutex);
        for (auto& device : devices) {
            device->steps.stop();
            device->has_news = true;
        }
        go_on(Clock::now());
    }

    const bool limited;  ///< silence is a failure
    std::mutex mutex;
    std::vector<std::unique_ptr<Device>> devices;

    struct Abort {
        State* state;
        void operator()() const noexcept { state->abort(); }
    };
    std::optional<std::stop_callback<Abort>> on_stop;  // last member: gone before the rest
};

namespace {

/// Externally synchronised: one thread uses it.
class MemoryExchange final : public LockstepExchange {
  public:
    MemoryExchange(std::shared_ptr<MemoryGroup::State> group, std::uint32_t rank) noexcept
        : LockstepExchange(group->devices[rank]->steps),
          group_(std::move(group)),
          device_(*group_->devices[rank]) {}

    ~MemoryExchange() override {
        const std::lock_guard lock(group_->mutex);
        lockstep_.leave();
        group_->go_on(Clock::now());
    }

    ExchangeFailure failure() const override {
        const std::lock_guard lock(group_->mutex);
        return lockstep_.failure();
    }

  private:
    ExchangeStatus run(const Collective& what) override {
        std::unique_lock lock(group_->mutex);
        const Time now = Clock::now();
        lockstep_.begin(now, what);
        device_.waits = device_.has_news = true;
        group_->go_on(now);
        device_.sleeps = true;
        while (device_.waits) sleep(lock);
        device_.sleeps = false;
        return *lockstep_.step(now);
    }

    void sleep(std::unique_lock<std::mutex>& lock) {
        // Nothing gets lost here, so time matters to silence alone.
        if (!group_->limited) return device_.wake.wait(lock);
        if (device_.wake.wait_until(lock, lockstep_.deadline()) == std::cv_status::no_timeout)
            return;
        device_.has_news = true;
        group_->go_on(Clock::now());
    }

    std::shared_ptr<MemoryGroup::State> group_;
    MemoryGroup::State::Device& device_;
};

}  // namespace

MemoryGroup::MemoryGroup(std::uint32_t size, MemoryExchangeOptions options) {
    if (size == 0 || size > exchange::kMaxRanks) {
        throw std::invalid_argument("a memory exchange needs 1 to " +
                                    std::to_string(exchange::kMaxRanks) + " devices, not " +
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
    if (rank >= state_->devices.size() || std::exchange(state_->devices[rank]->taken, true)) {
        throw std::invalid_argument("rank " + std::to_string(rank) +
                                    " of a memory exchange does not exist or is taken");
    }
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
