// The devices of a plan in this process, which carry out what a Batch on the first of them orders.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "daemon/engine/batch.hpp"
#include "tests/daemon/support.hpp"

namespace shoal::tests {

struct BatchSetting {
    std::uint32_t devices = 1;
    std::uint64_t positions = 32768;  ///< of the cache
    std::uint32_t parallel = 64;
    std::uint32_t max_rows = 64;
    std::uint32_t sequence_rows = 0;  ///< prompts from here on are shared out by rows, evenly
    exec::PayloadType collectives = exec::PayloadType::f32;
    /// Where each device keeps blocks, from one run to the next; none: nowhere.
    std::vector<std::filesystem::path> folders{};
};

class BatchDevices {
  public:
    /// Loads the model's slices, which stay for all that is run.
    BatchDevices(std::shared_ptr<const OpenModel> model, const BatchSetting& setting);
    ~BatchDevices();

    /// A plan's life: everything begins with empty caches. `body` has it step.
    void run(Recorder& recorder, const std::function<void(Batch&)>& body);
    /// What requests give that come at once, in order. Then the disks have what can be kept, if all
    /// have a folder.
    std::vector<Story> answers(const std::vector<mesh::messages::Generate>& requests);

    /// Steps until `over`, from when all jobs have begun that were added, so that it does not
    /// depend on when another thread is done. Each succeeds, so that no device lacks a block that
    /// the batch counted on.
    void step_until(Batch& batch, const std::function<bool()>& over);
    const BatchCounts& counts() const noexcept { return counts_; }  ///< of the last answers()
    const exec::Executor& root() const;

  private:
    struct Device;

    PlanSpec spec_;
    std::uint32_t parallel_;
    std::vector<std::filesystem::path> folders_;
    std::vector<std::unique_ptr<Device>> devices_;
    Worker* prompts_ = nullptr;  // of the plan that runs
    BatchCounts counts_;
};

/// Requests of all kinds, with prompts of up to 300 tokens; as different as they can be for their
/// number.
std::vector<mesh::messages::Generate> mixed_requests(std::size_t count);

/// What a reader can tell, times apart.
bool same_story(const Story& a, const Story& b);

}  // namespace shoal::tests
