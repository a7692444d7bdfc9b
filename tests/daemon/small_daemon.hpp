// A daemon's core with a real loop, engine and models, in a cluster that a test plays.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/settings.hpp"
#include "daemon/core/core.hpp"
#include "daemon/engine/engine_thread.hpp"
#include "daemon/loop/worker.hpp"
#include "daemon/pieces/catalogue.hpp"
#include "daemon/pieces/model_provider.hpp"
#include "tests/daemon/support.hpp"

namespace shoal::tests {

/// The mesh as a test says; what is sent into it is kept. For the control thread.
class ScriptedMesh final : public mesh::Mesh {
  public:
    const mesh::DeviceId& self() const noexcept override { return all.front().id; }
    std::optional<mesh::DeviceId> root() const noexcept override { return leader; }
    mesh::Term term() const noexcept override { return current; }
    std::vector<mesh::Member> members() const override { return all; }
    bool send(const mesh::DeviceId& to, std::span<const std::byte> bytes) override;
    void describe(mesh::DeviceDescription self) override {
        all.front().description = std::move(self);
    }
    std::vector<mesh::messages::Warning> warnings() const override { return {}; }

    std::vector<mesh::Member> all{other_device(1)};
    std::optional<mesh::DeviceId> leader;
    mesh::Term current;
    std::vector<std::pair<mesh::DeviceId, mesh::messages::PlanFrame>> plans;
    std::vector<std::pair<mesh::DeviceId, mesh::messages::RequestFrame>> requests;
    std::vector<std::pair<mesh::DeviceId, mesh::messages::EventFrame>> events;
};

/// Runs a plan that this device leads alone, on the whole model, so that its jobs are real while
/// the other devices are not. Or no plan at all.
class SoloEngine final : public Engine {
  public:
    SoloEngine(const EngineThread::Options& options, bool carries, EngineEvents events);

    void load(PlanSpec spec) override;
    void start(mesh::PlanId plan, std::uint32_t run, bool keeps_blocks) override {
        engine_.start(plan, run, keeps_blocks);
    }
    void park(mesh::PlanId plan) override { engine_.park(plan); }
    void end(mesh::PlanId plan) override { engine_.end(plan); }
    void submit(Job job) override { engine_.submit(std::move(job)); }
    void cancel(JobId job) override { engine_.cancel(job); }
    EngineSpeed speed() const noexcept override { return engine_.speed(); }
    Effort effort() const noexcept override { return engine_.effort(); }
    std::vector<mesh::LinkReport> links() const override { return engine_.links(); }
    mesh::DataPlaneStats data_stats() const override { return engine_.data_stats(); }
    std::uint32_t parallel() const noexcept override { return engine_.parallel(); }
    std::uint16_t data_port() const noexcept override { return engine_.data_port(); }

  private:
    const bool carries_;
    EngineThread engine_;
};

/// This device is number 1. Members are touched on the control thread once the daemon runs (see
/// ControlThread::call).
class SmallDaemon {
  public:
    struct Options {
        std::vector<std::filesystem::path> models{tiny_model()};
        config::ModelSettings settings{};
        std::uint32_t parallel = 4;
        RequestPatience patience{};
        PlanPatience plan_patience{std::chrono::milliseconds(2), std::chrono::milliseconds(20),
                                   std::chrono::milliseconds(2)};
        bool root = true;     ///< elected from the start
        bool carries = true;  ///< this device's engine does something
    };
    explicit SmallDaemon(Options options);
    SmallDaemon() : SmallDaemon(Options()) {}
    ~SmallDaemon();

    /// Elects a device, or nobody; the others follow.
    void elect(std::optional<mesh::DeviceId> root);
    /// A device joins, or says something new of itself. It sees all others.
    void join(mesh::Member member, mesh::messages::Announcement announcement = {});
    void join(std::uint8_t number) { join(other_device(number)); }
    /// A device that asks, and has no memory for a part of a plan.
    void join_client(std::uint8_t number);
    void lose(const mesh::DeviceId& device);
    /// Two of the others do not see each other any more.
    void part(const mesh::DeviceId& one, const mesh::DeviceId& other);

    /// What a device says to this one.
    void tell(const mesh::DeviceId& from, const mesh::messages::PlanMessage& message,
              std::uint64_t id = 0);
    void ask(const mesh::DeviceId& from, const mesh::messages::RequestFrame& frame);
    void answer(const mesh::DeviceId& from, const mesh::messages::EventFrame& frame);

    /// A request of a client of this device; its events are recorded under the ticket.
    http::Service::Ticket start(mesh::messages::Request request,
                                mesh::messages::Door door = mesh::messages::Door::control);
    void cancel(http::Service::Ticket ticket) { core.service().cancel(ticket); }
    Story story(std::uint64_t ticket) const { return recorder.story(ticket); }
    bool ends(std::uint64_t ticket) {
        return eventually([&] { return story(ticket).over(); });
    }
    bool eventually(const std::function<bool()>& done) { return control.eventually(done); }

    /// What was sent to another device about plans, of one kind.
    template <typename T>
    std::vector<T> sent_to(const mesh::DeviceId& device) {
        return control.call([&] {
            std::vector<T> out;
            for (const auto& [to, frame] : mesh.plans) {
                const T* body = std::get_if<T>(&frame.body);
                if (to == device && body != nullptr) out.push_back(*body);
            }
            return out;
        });
    }
    template <typename T>
    std::vector<T> events_to(const mesh::DeviceId& device, std::uint64_t id) {
        return control.call([&] {
            std::vector<T> out;
            for (const auto& [to, frame] : mesh.events) {
                const T* body = std::get_if<T>(&frame.body);
                if (to == device && frame.id == id && body != nullptr) out.push_back(*body);
            }
            return out;
        });
    }
    std::vector<std::pair<mesh::DeviceId, mesh::messages::RequestFrame>> requests() {
        return control.call([&] { return mesh.requests; });
    }
    /// The plan that this device takes part in.
    std::optional<mesh::messages::PlanOffer> plan() {
        return control.call([&]() -> std::optional<mesh::messages::PlanOffer> {
            const auto* const offer = core.member().offer();
            if (offer == nullptr) return std::nullopt;
            return *offer;
        });
    }
    /// What a warning of a kind says of a device; empty: there is none.
    std::string warning(const std::string& name, const mesh::DeviceId& device);

    const mesh::DeviceId self = device_id(1);
    TemporaryFolder state;
    const Options options;
    Recorder recorder;                            // by ticket
    Recorder job_events;                          // of the engine
    std::atomic<std::uint64_t> memory = 0;        ///< for plans; 0: no limit
    std::atomic<std::uint64_t> spare_memory = 0;  ///< for pieces

    ControlThread control;
    Worker worker;
    Worker texts{"texts"}, plans{"plans"};
    Catalogue catalogue;
    ScriptedMesh mesh;
    std::unique_ptr<Engine> engine;
    ModelProvider models;
    DaemonCore core;

  private:
    void announce_sight();
    EngineEvents engine_events();
    ModelProvider::Links provider_links();
    DaemonCore::Device device();

    std::map<mesh::DeviceId, mesh::messages::Announcement> announcements_;
    std::vector<Pair> apart_;
};

}  // namespace shoal::tests
