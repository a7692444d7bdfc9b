// A simulated device's loop: virtual time, and an account of the timers that wait.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/daemon/virtual_loop.hpp"

namespace shoal::tests::simulation {

class DeviceLoop final : public Loop {
  public:
    explicit DeviceLoop(VirtualTime& time) : loop_(time) {}

    Time now() const noexcept override { return loop_.now(); }
    Timer at(Time when, Task task, const char* name = "a timer") override {
        // What has run counts no more, whoever keeps its handle.
        auto waits = std::make_shared<const char*>(name);
        std::erase_if(waiting_, [](const auto& timer) { return timer.expired(); });
        waiting_.push_back(waits);
        return loop_.at(when, [task = std::move(task), waits = std::move(waits)]() mutable {
            waits.reset();
            task();
        });
    }
    void post(Task task, const char* name = "a posted task") override {
        loop_.post(std::move(task), name);
    }

    /// The names of the timers that wait.
    std::vector<std::string> waiting() const {
        std::vector<std::string> names;
        for (const auto& timer : waiting_) {
            if (const auto name = timer.lock()) names.emplace_back(*name);
        }
        return names;
    }

  private:
    VirtualLoop loop_;
    std::vector<std::weak_ptr<const char*>> waiting_;
};

}  // namespace shoal::tests::simulation
