// Answers that take a while to work out, and need no plan.
#pragma once

#include <cstddef>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "daemon/loop/loop.hpp"
#include "daemon/requests/request_ports.hpp"

namespace shoal {

/// Owned by the control thread, on which heartbeats must not wait: others do the work, with the
/// loop and no more of this. An origin waits for one answer at a time.
class Answers {
  public:
    /// Answers that may wait for a model's description or their turn.
    static constexpr std::size_t kMaxPending = 64;

    using Reply = std::function<void(const Origin&, const mesh::messages::Event&)>;
    /// On a thread of `Background`; ends early when asked to stop.
    using Work = std::function<mesh::messages::Event(const std::stop_token&)>;
    /// What is to be done with the model, on the control thread.
    using Start = std::function<Work(std::shared_ptr<const OpenModel>)>;

    Answers(Loop& loop, Background& by, Reply reply)
        : loop_(loop), by_(by), reply_(std::move(reply)) {}

    /// Instead of an earlier answer to the origin. `open` gets the model, now or later; without one
    /// the origin hears why.
    void begin(const Origin& origin, const std::function<void(RequestPorts::Opened)>& open,
               Start start);

    /// Nothing more is said to the origin; false when nothing was to be.
    bool stop(const Origin& origin);
    template <typename Predicate>
    void stop_if(const Predicate& of) {
        for (auto it = running_.begin(); it != running_.end();) {
            it = of(it->first) ? stop(it) : std::next(it);
        }
    }

    std::size_t pending() const noexcept { return running_.size(); }

  private:
    using Running = std::map<Origin, std::stop_source>;

    Running::iterator stop(Running::iterator it) {
        it->second.request_stop();
        return running_.erase(it);
    }
    void work(const Origin& origin, Work work);
    void end(const Origin& origin, const std::stop_token& stopped,
             const mesh::messages::Event& event);

    Loop& loop_;
    Background& by_;
    const Reply reply_;
    Running running_;
};

}  // namespace shoal
