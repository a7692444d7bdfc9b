// The daemon: everything put together. Member order is start-up order.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/settings.hpp"
#include "daemon/catalogue.hpp"
#include "daemon/control_loop.hpp"
#include "daemon/control_socket.hpp"
#include "daemon/device_facts.hpp"
#include "daemon/engine.hpp"
#include "daemon/http/server.hpp"
#include "daemon/model_provider.hpp"
#include "daemon/outbox.hpp"
#include "daemon/plan_member.hpp"
#include "daemon/plan_root.hpp"
#include "daemon/request_router.hpp"
#include "daemon/worker.hpp"
#include "mesh/discovery/cluster_key.hpp"
#include "mesh/node.hpp"
#include "mesh/transport/identity_store.hpp"
#include "mesh/transport/zmq_context.hpp"

namespace shoal {

/// Constructed, run and destroyed by one thread, which becomes the control thread.
class Daemon {
  public:
    /// Throws std::runtime_error (perhaps nested) when something cannot be had: state folder,
    /// cluster key, sockets.
    explicit Daemon(config::Settings settings);
    ~Daemon();

    /// Serves until stop(). `ready` is called once everything listens.
    void run(const std::function<void()>& ready);
    /// Async-signal-safe.
    void stop() noexcept { loop_.stop(); }

  private:
    mesh::DeviceDescription description() const;
    Engine::Callbacks engine_callbacks();
    mesh::Node::Callbacks node_callbacks();
    std::unique_ptr<Engine> make_engine();
    ModelProvider::Links provider_links();
    PlanMember::Links member_links();
    PlanRoot::Links root_links();
    RequestRouter::Links router_links();
    void add_sources();
    void scan_models();
    void refresh();
    void tick();

    void on_message(const mesh::DeviceId& from, std::span<const std::byte> bytes);
    void on_plan_message(const mesh::DeviceId& from, mesh::wire::PlanFrame frame);
    void on_root_changed(const std::optional<mesh::DeviceId>& root, mesh::Term term);
    bool is_member(const mesh::DeviceId& id) const;
    bool send(const mesh::DeviceId& to, std::vector<std::byte> message);
    bool send_request(const mesh::DeviceId& to, const mesh::wire::RequestFrame& frame);
    bool send_event(const mesh::DeviceId& to, const mesh::wire::EventFrame& frame);
    bool send_plan(const mesh::DeviceId& to, const mesh::wire::PlanFrame& frame);
    std::vector<mesh::Member> members() const;
    std::vector<mesh::Member> followers() const;
    std::vector<mesh::DeviceId> holders(const mesh::ModelHash& hash) const;
    mesh::wire::ModelsReply models() const;
    mesh::wire::StatusReply status() const;

    const config::Settings settings_;
    const kernels::Table& kernels_;
    const Placement placement_;
    const double speed_;
    const mesh::Identity identity_;
    const mesh::ClusterKey key_;
    ControlLoop loop_;
    Worker worker_;
    Catalogue catalogue_;
    mesh::ZmqContext context_;
    bool reading_models_ = false;  // the folders are being looked through
    std::unique_ptr<Engine> engine_;
    ModelProvider models_;
    PlanMember member_;
    PlanRoot root_;
    RequestRouter router_;
    std::unique_ptr<mesh::Node> node_;
    Outbox outbox_;
    std::unique_ptr<ControlSocket> control_;
    std::unique_ptr<http::HttpServer> http_;
};

}  // namespace shoal
