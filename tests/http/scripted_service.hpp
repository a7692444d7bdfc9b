// A service that does what a test says. It has a thread of its own, as the real one has.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/requests/service.hpp"

namespace shoal::http::test {

using namespace mesh::messages;

class ScriptedService : public Service {
  public:
    struct Call {
        Ticket ticket = 0;
        Request request;
        Door door = Door::control;
    };
    /// Called within start(): what it returns is emitted at once, before start() returns.
    using AtOnce = std::function<std::vector<Event>(const Request&)>;

    explicit ScriptedService(AtOnce at_once = {}) : at_once_(std::move(at_once)) {
        thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
    }
    ~ScriptedService() override {
        thread_.request_stop();
        changed_.notify_all();
    }

    Ticket start(Request request, Door door, Sink sink) override {
        Ticket ticket = 0;
        {
            const std::lock_guard lock(mutex_);
            ticket = ++last_;
            sinks_[ticket] = sink;
            if (!at_once_) calls_.push_back({ticket, request, door});
        }
        if (at_once_) {
            for (const Event& event : at_once_(request)) deliver(ticket, event);
        }
        changed_.notify_all();
        return ticket;
    }

    void cancel(Ticket ticket) noexcept override {
        {
            const std::lock_guard lock(mutex_);
            ++cancels_[ticket];
        }
        emit(ticket, Failed{ErrorCode::cancelled, "cancelled"});
    }

    /// From the service's thread, in order; after a final event nothing is delivered.
    void emit(Ticket ticket, Event event) {
        {
            const std::lock_guard lock(mutex_);
            jobs_.emplace_back(ticket, std::move(event));
        }
        changed_.notify_all();
    }

    /// The next request that was started. Throws when none comes.
    Call next() {
        std::unique_lock lock(mutex_);
        if (!changed_.wait_for(lock, std::chrono::seconds(10), [&] { return !calls_.empty(); })) {
            throw std::runtime_error("no request came");
        }
        Call call = std::move(calls_.front());
        calls_.pop_front();
        return call;
    }
    bool wait_cancelled(Ticket ticket, std::chrono::milliseconds limit = std::chrono::seconds(5)) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, limit, [&] { return cancels_.contains(ticket); });
    }
    bool cancelled(Ticket ticket) {
        const std::lock_guard lock(mutex_);
        return cancels_.contains(ticket);
    }
    std::size_t started() {
        const std::lock_guard lock(mutex_);
        return last_;
    }
    /// Until everything emitted so far has been delivered.
    void settle() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return jobs_.empty() && !busy_; });
    }

  private:
    void deliver(Ticket ticket, const Event& event) {
        Sink sink;
        {
            const std::lock_guard lock(mutex_);
            const auto found = sinks_.find(ticket);
            if (found == sinks_.end()) return;
            sink = found->second;
            if (is_final(event)) sinks_.erase(found);
        }
        sink(event);
    }
    void run(const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        while (true) {
            changed_.wait(lock, stop, [&] { return !jobs_.empty(); });
            if (stop.stop_requested()) return;
            auto [ticket, event] = std::move(jobs_.front());
            jobs_.pop_front();
            busy_ = true;
            lock.unlock();
            deliver(ticket, event);
            lock.lock();
            busy_ = false;
            changed_.notify_all();
        }
    }

    AtOnce at_once_;
    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::deque<Call> calls_;
    std::deque<std::pair<Ticket, Event>> jobs_;
    std::map<Ticket, Sink> sinks_;
    std::map<Ticket, int> cancels_;
    Ticket last_ = 0;
    bool busy_ = false;
    std::jthread thread_;  // Last: it uses the others.
};

}  // namespace shoal::http::test
