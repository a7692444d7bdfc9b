// What the tests of the daemon's parts share: tiny models, a control thread, recorded events.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "daemon/engine/engine.hpp"
#include "daemon/engine/plan_spec.hpp"
#include "daemon/loop/control_loop.hpp"
#include "mesh/mesh.hpp"
#include "mesh/messages/requests.hpp"
#include "tests/instrumented.hpp"
#include "tests/model/model_maker.hpp"
#include "tests/model/temporary_folder.hpp"

namespace shoal::tests {

/// Longer than anything here takes on a slow and busy machine.
inline constexpr std::chrono::seconds kPatience{by_speed(60, 300)};

/// A device of a test; number 1 comes before number 2.
mesh::DeviceId device_id(std::uint8_t number);
/// The same as a member, with nothing announced.
mesh::Member other_device(std::uint8_t number);

/// Model files that are made once for the process. 320 tokens, two layers, f32.
const std::filesystem::path& tiny_model();
/// Another content of the same shape.
const std::filesystem::path& other_model();
/// Wide enough that header and embedding take several messages; has rope_freqs.weight.
const std::filesystem::path& wide_model();
/// 256 wide, in a type of ModelShape::type.
const std::filesystem::path& typed_model(const std::string& type);
/// The tiny one with a context that takes seconds to fill.
const std::filesystem::path& long_model();
/// Another content of that.
const std::filesystem::path& other_long_model();

std::shared_ptr<const OpenModel> open_model(const std::filesystem::path& path);

/// A plan of this device alone.
PlanSpec solo_spec(std::shared_ptr<const OpenModel> model, mesh::PlanId id,
                   std::uint64_t positions);
mesh::PlanId plan_id(std::uint32_t number);

/// A greedy generation that ignores end tokens.
mesh::messages::Generate greedy(const std::string& prompt, std::uint32_t max_tokens);
Job job_of(JobId id, mesh::messages::Generate request);

/// The events of one request, looked at.
struct Story {
    std::vector<mesh::messages::Event> events;

    std::vector<std::int32_t> ids() const;
    std::string text() const;  ///< with what the final event releases
    bool numbered() const;     ///< tokens are numbered from 0 without gap or repeat
    std::size_t finals() const;
    bool over() const { return finals() != 0; }
    const mesh::messages::Done* done() const;
    const mesh::messages::Failed* failed() const;
};

/// Events by job. Thread-safe.
class Recorder {
  public:
    void add(std::uint64_t job, const mesh::messages::Event& event);
    Story story(std::uint64_t job) const;
    void clear();

  private:
    mutable std::mutex mutex_;
    std::map<std::uint64_t, Story> stories_;
};

/// Waits for something that another thread does.
bool eventually(const std::function<bool()>& done);

/// A control loop that runs in a thread of its own, as in a daemon; the test's thread has it do
/// one thing after another.
class ControlThread {
  public:
    ControlThread() : thread_([this] { loop.run(); }) {}
    ~ControlThread() { stop(); }
    void stop() {
        loop.stop();
        if (thread_.joinable()) thread_.join();
    }

    /// Runs `fn` on the control thread and waits for it.
    template <typename Fn>
    auto call(Fn fn) {
        using Result = std::invoke_result_t<Fn>;
        std::promise<Result> promise;
        loop.post([&] {
            try {
                if constexpr (std::is_void_v<Result>) {
                    fn();
                    promise.set_value();
                } else {
                    promise.set_value(fn());
                }
            } catch (...) {
                promise.set_exception(std::current_exception());
            }
        });
        return promise.get_future().get();
    }
    /// Waits until `done`, looked at on the control thread.
    bool eventually(const std::function<bool()>& done) {
        return tests::eventually([&] { return call(done); });
    }
    /// What was posted so far is done.
    void drain() {
        call([] {});
    }

    ControlLoop loop;

  private:
    std::jthread thread_;
};

}  // namespace shoal::tests
