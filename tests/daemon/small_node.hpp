// The daemon's parts put together as in a daemon, with a scripted mesh around them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "config/settings.hpp"
#include "daemon/catalogue.hpp"
#include "daemon/engine.hpp"
#include "daemon/model_provider.hpp"
#include "daemon/plan_member.hpp"
#include "daemon/plan_root.hpp"
#include "daemon/request_router.hpp"
#include "daemon/worker.hpp"
#include "tests/daemon/support.hpp"

namespace shoal::tests {

/// This device is number 1. Other devices are what a test says; messages to them are kept. A plan
/// with other devices runs here alone, on the whole model, so that its jobs are real.
/// Members are touched on the control thread once the node runs (see ControlThread::call).
class SmallNode {
  public:
    struct Options {
        std::vector<std::filesystem::path> models{tiny_model()};
        config::ModelSettings settings{};
        std::uint32_t parallel = 4;
        RequestRouter::Patience patience{};
        bool root = true;     ///< elected from the start
        bool carries = true;  ///< this device answers the offers to it
    };
    explicit SmallNode(Options options);
    SmallNode() : SmallNode(Options()) {}
    ~SmallNode();

    static mesh::Member other(std::uint8_t number);
    /// Elects a device, or nobody.
    void elect(std::optional<mesh::DeviceId> root);
    void lose(const mesh::DeviceId& device);
    /// Models that another device announces.
    static std::vector<std::byte> announcement(const std::vector<CatalogueEntry>& entries);

    /// A request of a client of this device; its events are recorded under the ticket.
    http::Service::Ticket start(mesh::wire::Request request,
                                mesh::wire::Door door = mesh::wire::Door::control);
    Story story(std::uint64_t ticket) const { return recorder.story(ticket); }
    bool ends(std::uint64_t ticket) {
        return eventually([&] { return story(ticket).over(); });
    }
    /// What the root sent to a device, of one kind.
    template <typename T>
    std::vector<T> sent_to(const mesh::DeviceId& device) const {
        std::vector<T> out;
        for (const auto& [to, message] : plan_sent) {
            const T* body = std::get_if<T>(&message);
            if (to == device && body != nullptr) out.push_back(*body);
        }
        return out;
    }
    std::optional<mesh::wire::PlanOffer> last_offer(const mesh::DeviceId& device) const;
    /// Another device has loaded what it was offered last.
    void loaded(const mesh::DeviceId& device);
    bool eventually(const std::function<bool()>& done) { return control.eventually(done); }

    const mesh::DeviceId self = device_id(1);
    TemporaryFolder state;
    const Options options;
    Recorder recorder;  // by ticket
    Recorder job_events;
    std::vector<mesh::Member> others;
    mesh::Term term;
    std::optional<mesh::DeviceId> elected;
    bool settled = true;
    std::uint64_t memory = 0;  ///< of this device; 0: no limit
    std::vector<std::pair<mesh::DeviceId, mesh::wire::PlanMessage>> plan_sent;
    std::vector<std::pair<mesh::DeviceId, mesh::wire::PlanFrame>> pieces_sent;
    std::vector<std::pair<mesh::DeviceId, mesh::wire::RequestFrame>> requests_sent;
    std::vector<std::pair<mesh::DeviceId, mesh::wire::EventFrame>> events_sent;
    std::function<bool(const mesh::DeviceId&)> reachable = [](const auto&) { return true; };

    ControlThread control;
    Worker worker;
    Catalogue catalogue;
    std::unique_ptr<Engine> engine;
    ModelProvider models;
    PlanMember member;
    PlanRoot root;
    RequestRouter router;

  private:
    std::vector<mesh::Member> members() const;
    mesh::wire::ModelsReply known_models() const;
    Engine::Callbacks engine_callbacks();
    ModelProvider::Links provider_links();
    PlanMember::Links member_links();
    PlanRoot::Links root_links();
    RequestRouter::Links router_links();
    void to_self(const mesh::wire::PlanMessage& message);
    void tick();
};

}  // namespace shoal::tests
