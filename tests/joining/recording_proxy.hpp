// Somebody between two devices, who writes down what passes, changes it, or says it again later.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace shoal::mesh::testing {

class RecordingProxy {
  public:
    /// Listens on a free port of 127.0.0.1 and forwards to 127.0.0.1:`target`, one connection at a
    /// time.
    explicit RecordingProxy(std::uint16_t target);
    ~RecordingProxy();
    RecordingProxy(const RecordingProxy&) = delete;
    RecordingProxy& operator=(const RecordingProxy&) = delete;

    std::uint16_t port() const noexcept { return port_; }
    /// What the first connection said to the target, and the target to it.
    std::string there() const;
    std::string back() const;
    /// Every byte of a connection to the target from this one on is changed.
    void flip_from(std::size_t byte) noexcept { flip_from_ = byte; }
    /// Says to the target what was written down, and gives what it answers within a second.
    std::string replay(const std::string& said) const;

  private:
    void run(const std::stop_token& stop);
    void carry(int near, const std::stop_token& stop);

    const std::uint16_t target_;
    int listener_ = -1;
    std::uint16_t port_ = 0;
    std::atomic<std::size_t> flip_from_{SIZE_MAX};
    mutable std::mutex mutex_;
    std::string there_, back_;  // guarded by mutex_
    bool recorded_ = false;     // guarded by mutex_
    std::jthread thread_;
};

}  // namespace shoal::mesh::testing
