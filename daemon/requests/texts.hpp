// Texts that become tokens, and tokens that become text: requests that need no plan.
#pragma once

#include <cstddef>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <stop_token>
#include <utility>

#include "daemon/loop/loop.hpp"
#include "daemon/requests/request_ports.hpp"

namespace shoal {

/// Owned by the control thread. A long text takes a while, in which heartbeats must not wait, so
/// others do the work: it uses the loop and no more of this.
class Texts {
  public:
    /// Texts that may wait for their vocabulary or their turn.
    static constexpr std::size_t kMaxTexts = 64;

    using Reply = std::function<void(const Origin&, const mesh::messages::Event&)>;
    Texts(Loop& loop, Background& work, RequestPorts& ports, Reply reply)
        : loop_(loop), work_(work), ports_(ports), reply_(std::move(reply)) {}

    /// Answers a TokenizeRequest or DetokenizeRequest, instead of an earlier one of the origin.
    void answer(const Origin& origin, mesh::messages::Request request, const KnownModel& model);
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
    void begin(const Origin& origin, mesh::messages::Request request);

    Loop& loop_;
    Background& work_;
    RequestPorts& ports_;
    const Reply reply_;
    std::shared_ptr<const OpenModel> vocabulary_;  // the last one used
    Running running_;
};

}  // namespace shoal
