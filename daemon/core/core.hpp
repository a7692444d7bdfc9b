// All of a daemon that decides, over ports: no clock, thread, socket or file of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "config/settings.hpp"
#include "daemon/core/link_survey.hpp"
#include "daemon/core/measuring.hpp"
#include "daemon/core/whole_fetch.hpp"
#include "daemon/engine/engine.hpp"
#include "daemon/links/link_tester.hpp"
#include "daemon/loop/loop.hpp"
#include "daemon/pieces/models.hpp"
#include "daemon/plan/plan_member.hpp"
#include "daemon/plan/plan_root.hpp"
#include "daemon/requests/cluster_admin.hpp"
#include "daemon/requests/log_limit.hpp"
#include "daemon/requests/outbox.hpp"
#include "daemon/requests/request_router.hpp"
#include "daemon/requests/warnings.hpp"
#include "mesh/mesh.hpp"

namespace shoal {

/// Owned by the loop's thread, on which everything is called. The ports outlive it.
class DaemonCore {
  public:
    struct Ports {
        Loop& loop;
        mesh::Mesh& mesh;
        Engine& engine;
        Models& models;
        Background& texts;  ///< texts to tokens and back, and nothing that takes longer
        Background& plans;  ///< what plans would do, and nothing else
        SelfMeasurement* measurement = nullptr;  ///< null: there is none
        LinkTester* links = nullptr;             ///< null: no links are measured
        ClusterAdmin* admin = nullptr;           ///< null: who is in the cluster stays as it is
        WholeFiles* files = nullptr;             ///< null: no files of models are fetched or given
    };
    /// What is known of this device, as of now.
    struct Device {
        std::string cluster;  ///< the key's fingerprint
        /// All that it says of itself but its models.
        std::function<mesh::DeviceDescription()> description;
        /// As others know it; empty: as the mesh says.
        std::function<std::string()> address;
        /// UTC, as "2026-11-29T16:40:00Z"; null where there are no links to measure.
        std::function<std::string()> date{};
        KnownLinks links{};  ///< that earlier starts have measured
        /// Keeps them for later ones; null: nobody does.
        std::function<void(const KnownLinks&)> keep_links{};
    };
    struct Settings {
        config::ModelSettings models;
        config::PlanSettings plan;
        PlanPatience plans;
        RequestPatience requests;
    };

    DaemonCore(const Ports& ports, Device device, const Settings& settings);

    /// Says who this device is, and goes on from there. Before the mesh's first event.
    void start();

    /// This device is in another cluster; the mesh has said already that the members are lost.
    void set_cluster(std::string fingerprint) { device_.cluster = std::move(fingerprint); }
    /// Other settings, for what begins from now on.
    void set(const config::ModelSettings& models, const config::PlanSettings& plan);

    /// For clients of this device.
    http::Service& service() noexcept { return router_; }
    Warnings& warnings() noexcept { return warnings_; }
    const PlanRoot& root() const noexcept { return root_; }
    const PlanMember& member() const noexcept { return member_; }
    const RequestRouter& router() const noexcept { return router_; }
    /// Of this device as the root. Thread-safe.
    PlanFigures plan_figures() const;

    // Events of the mesh; see mesh::Node::Callbacks.
    void on_joined(const mesh::Member& member);
    void on_updated(const mesh::Member& member);
    void on_lost(const mesh::DeviceId& id);
    void on_root_changed(const std::optional<mesh::DeviceId>& root, mesh::Term term);
    void on_message(const mesh::DeviceId& from, std::span<const std::byte> bytes);

    // Events of the engine; see EngineEvents.
    void on_loading(mesh::PlanId plan, std::uint64_t done, std::uint64_t total);
    void on_loaded(mesh::PlanId plan, const HeldBytes& held);
    void on_started(mesh::PlanId plan);
    void on_parked(mesh::PlanId plan);
    void on_ended(mesh::PlanId plan, const PlanOutcome& outcome);
    void on_job_event(JobId job, const mesh::messages::Event& event);

    // What models need of the others.
    bool send(const mesh::DeviceId& to, const mesh::messages::PlanFrame& frame);
    /// What ClusterAdmin says to that of another device.
    bool send_about_devices(const mesh::DeviceId& to, std::vector<std::byte> frame);
    /// Other devices that have a model's file.
    std::vector<mesh::DeviceId> holders(const mesh::ModelHash& hash) const;
    /// This device's models are others, or a warning has changed: tell.
    void describe();

  private:
    struct RootLinks;
    struct RouterPorts;
    // A device that is a member, or was one.
    struct Known {
        mesh::Member member;
        std::optional<Loop::Time> lost;
    };

    PlanMember::Links member_links();
    std::unique_ptr<PlanLinks> root_links();
    std::unique_ptr<RequestPorts> router_ports();
    Measuring::Links measuring_links();
    LinkSurvey::Links survey_links();
    WholeFetch::Links fetch_links();
    std::vector<KnownModel> wanted_files();

    mesh::DeviceDescription description() const;
    mesh::messages::ModelsReply models() const;
    mesh::messages::StatusReply status() const;
    std::vector<mesh::Member> followers() const;
    std::string name_of(const mesh::DeviceId& id) const;
    std::string address_of(const mesh::DeviceId& id) const;  // empty: it is no member
    void forget_long_lost();

    void refresh();
    void watch_mesh();
    void warn_left_out(const LeftOutDevices& devices);
    void warn_slow(const std::map<mesh::DeviceId, double>& slow);
    void warn_vocabulary(const std::string& text);
    void abdicate(Unfit why, const std::string& reason);

    void on_plan_message(const mesh::DeviceId& from, mesh::messages::PlanFrame frame);
    bool send(const mesh::DeviceId& to, std::vector<std::byte> message);

    const Ports ports_;
    Device device_;
    const mesh::DeviceId self_;
    Warnings warnings_;
    std::vector<mesh::messages::Warning> mesh_warnings_;  // those of warnings_ that the mesh told
    LogLimit complaints_;
    std::map<mesh::DeviceId, Known> known_;
    Outbox outbox_;
    PlanMember member_;
    PlanRoot root_;
    Measuring measuring_;
    LinkSurvey survey_;
    bool fetches_files_;
    std::set<mesh::ModelHash> had_files_;  // of models, also those that were removed
    WholeFetch fetch_;
    std::unique_ptr<RequestPorts> router_ports_;
    RequestRouter router_;
    mutable std::mutex figures_mutex_;
    PlanFigures plan_figures_;  // guarded by figures_mutex_
    std::optional<Unfit> unfit_;
    Timer refreshing_, watching_, abdication_;
};

}  // namespace shoal
