// A TCP proxy that cuts its connections on purpose, without warning and with data under way.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>

namespace shoal::mesh::testing {

class CuttingProxy {
  public:
    /// Listens on a free port of 127.0.0.1 and forwards to 127.0.0.1:`target`. `every` so often,
    /// 0 for never, all connections that have carried `least` bytes are cut. With a few kilobytes
    /// every connection gets something done, however slow the machine is.
    CuttingProxy(std::uint16_t target, std::chrono::milliseconds every, std::size_t least = 0);
    ~CuttingProxy();
    CuttingProxy(const CuttingProxy&) = delete;
    CuttingProxy& operator=(const CuttingProxy&) = delete;

    std::string endpoint() const { return "tcp://127.0.0.1:" + std::to_string(port_); }
    /// Connections cut so far.
    int cuts() const noexcept { return cuts_; }
    /// Changes the time between cuts, 0 for never.
    void cut_every(std::chrono::milliseconds time) noexcept { every_ = time; }
    /// Takes no connection any more and forwards nothing, without a word to either side.
    void freeze() noexcept { frozen_ = true; }

  private:
    void run(const std::stop_token& stop);

    std::uint16_t target_;
    std::atomic<std::chrono::milliseconds> every_;
    std::size_t least_;
    int listener_ = -1;
    std::uint16_t port_ = 0;
    std::atomic<int> cuts_{0};
    std::atomic<bool> frozen_{false};
    std::jthread thread_;
};

}  // namespace shoal::mesh::testing
