// Measures links over a data plane of its own, which plans do not know of: so a plan that stands
// and waits for work is not touched.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>

#include "daemon/links/link_tester.hpp"
#include "daemon/loop/loop.hpp"
#include "daemon/loop/worker.hpp"
#include "mesh/exchange/data_plane.hpp"

namespace shoal {

/// Owned by the control thread; a thread of its own ("links") owns the data plane.
class LinkThread final : public LinkTester {
  public:
    /// For both devices to find each other, and for one to say something.
    static constexpr std::chrono::milliseconds kJoin{3000}, kSilence{2000};

    using MakeDataPlane = std::function<std::unique_ptr<mesh::DataPlane>()>;
    /// Throws what `make` throws, which is called by the thread.
    LinkThread(Loop& loop, const MakeDataPlane& make);
    ~LinkThread() override;

    std::uint16_t port() const noexcept override { return port_; }
    void test(LinkTestSpec spec, std::function<void(const LinkTestOutcome&)> done) override;
    void stop() noexcept override { stop_.request_stop(); }

  private:
    LinkTestOutcome run(const LinkTestSpec& spec, const std::stop_token& stop);

    Loop& loop_;
    std::unique_ptr<mesh::DataPlane> data_plane_;  // the thread's
    std::uint16_t port_ = 0;
    std::stop_source stop_{std::nostopstate};  // of the latest test
    Worker thread_{"links"};
};

}  // namespace shoal
