// The other end of the control socket: a real ROUTER that plays what a test tells it to.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "mesh/messages/requests.hpp"

namespace shoal::tests {

/// A folder of its own, removed at the end.
class TempDir {
  public:
    TempDir();
    ~TempDir();
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    const std::string& path() const noexcept { return path_; }
    std::string file(const std::string& name) const { return path_ + '/' + name; }

  private:
    std::string path_;
};

/// Listens from construction to destruction or die(). Thread-safe.
class FakeDaemon {
  public:
    using Reply = std::function<void(const mesh::messages::Event&)>;
    /// Called in the daemon's thread for every request but cancellations and descriptions.
    using Script = std::function<void(const mesh::messages::RequestFrame&, const Reply&)>;

    /// `socket` empty: in a folder of its own.
    explicit FakeDaemon(Script script, const std::string& socket = "");
    ~FakeDaemon();
    FakeDaemon(const FakeDaemon&) = delete;
    FakeDaemon& operator=(const FakeDaemon&) = delete;

    const std::string& socket() const noexcept { return socket_; }
    /// Closes the socket as a daemon does that ends.
    void die();
    /// Whether cancelled requests end with Done{cancelled}; true unless said otherwise.
    void answer_cancel(bool yes) { answer_cancel_ = yes; }
    /// What it says of every model; unless said otherwise that it has no chat template.
    void describe(mesh::messages::Event answer) { described_ = std::move(answer); }
    /// Sends these bytes instead of the script's events.
    void answer_bytes(std::string bytes) { bytes_ = std::move(bytes); }

    /// What has arrived so far.
    std::vector<mesh::messages::RequestFrame> requests() const;
    /// The requests of one kind.
    template <typename T>
    std::vector<T> requests_of() const {
        std::vector<T> found;
        for (const auto& frame : requests()) {
            if (const auto* body = std::get_if<T>(&frame.body)) found.push_back(*body);
        }
        return found;
    }
    /// Waits until a request of this kind has arrived, at most some seconds.
    template <typename T>
    bool wait_for() {
        std::unique_lock lock(mutex_);
        return arrived_.wait_for(lock, std::chrono::seconds(10), [&] {
            for (const auto& frame : requests_) {
                if (std::holds_alternative<T>(frame.body)) return true;
            }
            return false;
        });
    }

  private:
    TempDir dir_;
    std::string socket_;
    Script script_;
    std::atomic<bool> answer_cancel_ = true;
    std::string bytes_;
    mesh::messages::Event described_ = mesh::messages::DescribeReply{};
    mutable std::mutex mutex_;
    std::condition_variable arrived_;
    std::vector<mesh::messages::RequestFrame> requests_;
    std::jthread thread_;
};

}  // namespace shoal::tests
