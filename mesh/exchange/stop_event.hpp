// A descriptor that becomes readable when a stop is requested, so that poll() ends at once.
#pragma once

#include <stop_token>
#include <utility>

#include "mesh/exchange/event.hpp"

namespace shoal::mesh::exchange {

class StopEvent {
  public:
    /// Throws std::system_error when the process has no descriptor left.
    explicit StopEvent(std::stop_token stop) : callback_(std::move(stop), Signal{event_}) {}
    StopEvent(const StopEvent&) = delete;
    StopEvent& operator=(const StopEvent&) = delete;

    int descriptor() const noexcept { return event_.descriptor(); }

  private:
    struct Signal {
        const Event& event;
        void operator()() const noexcept { event.signal(); }
    };
    Event event_;
    std::stop_callback<Signal> callback_;  // ends before the event
};

}  // namespace shoal::mesh::exchange
