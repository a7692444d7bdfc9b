// What connects the daemon's parts: the functions that each of them is given to reach the others.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "daemon/daemon.hpp"
#include "daemon/status.hpp"

namespace shoal {

// The engine's thread hands over to the control thread.
Engine::Callbacks Daemon::engine_callbacks() {
    Engine::Callbacks c;
    c.loading = [this](mesh::PlanId plan, std::uint64_t done, std::uint64_t total) {
        loop_.post([this, plan, done, total] { member_.on_loading(plan, done, total); });
    };
    c.loaded = [this](mesh::PlanId plan, HeldBytes held) {
        loop_.post([this, plan, held] { member_.on_loaded(plan, held); });
    };
    c.started = [this](mesh::PlanId plan) { loop_.post([this, plan] { root_.on_started(plan); }); };
    c.ended = [this](mesh::PlanId plan, std::string error) {
        loop_.post([this, plan, error = std::move(error)] { member_.on_ended(plan, error); });
    };
    c.event = [this](JobId job, const mesh::wire::Event& event) {
        loop_.post([this, job, event] { root_.on_job_event(job, event); });
    };
    return c;
}

mesh::Node::Callbacks Daemon::node_callbacks() {
    mesh::Node::Callbacks c;
    c.joined = [](const mesh::Member& m) {
        spdlog::info("device {} ({}) joined from {}", m.id.hex().substr(0, 8), m.description.name,
                     m.address);
    };
    c.updated = [](const mesh::Member&) {};
    c.lost = [this](const mesh::DeviceId& id) {
        spdlog::warn("device {} is lost", id.hex().substr(0, 8));
        outbox_.drop(id);
        root_.on_member_lost(id);
        router_.on_member_lost(id);
    };
    c.root_changed = [this](std::optional<mesh::DeviceId> root, mesh::Term term) {
        on_root_changed(root, term);
    };
    c.message = [this](const mesh::DeviceId& from, std::span<const std::byte> bytes) {
        on_message(from, bytes);
    };
    return c;
}

ModelProvider::Links Daemon::provider_links() {
    ModelProvider::Links links;
    links.send = [this](const mesh::DeviceId& to, const mesh::wire::PlanFrame& frame) {
        return send_plan(to, frame);
    };
    links.holders = [this](const mesh::ModelHash& hash) { return holders(hash); };
    return links;
}

PlanMember::Links Daemon::member_links() {
    PlanMember::Links links;
    links.self = identity_.id;
    links.send = [this](const mesh::DeviceId& to, const mesh::wire::PlanMessage& message) {
        // What cannot be sent is lost with its receiver: membership tells.
        static_cast<void>(send_plan(to, {0, message}));
    };
    links.address = [this](const mesh::DeviceId& id) -> std::string {
        for (const mesh::Member& m : members()) {
            if (m.id == id) return m.address;
        }
        return "";
    };
    return links;
}

PlanRoot::Links Daemon::root_links() {
    PlanRoot::Links links;
    links.self = identity_.id;
    links.send = [this](const mesh::DeviceId& to, const mesh::wire::PlanMessage& message) {
        static_cast<void>(send_plan(to, {0, message}));
    };
    links.members = [this] { return followers(); };
    links.settled = [this] { return followers().size() == members().size(); };
    links.emit = [this](JobId job, const mesh::wire::Event& event) {
        router_.on_job_event(job, event);
    };
    return links;
}

RequestRouter::Links Daemon::router_links() {
    RequestRouter::Links links;
    links.self = identity_.id;
    links.send_request = [this](const mesh::DeviceId& to, const mesh::wire::RequestFrame& frame) {
        return send_request(to, frame);
    };
    links.send_event = [this](const mesh::DeviceId& to, const mesh::wire::EventFrame& frame) {
        return send_event(to, frame);
    };
    links.models = [this] { return models(); };
    links.status = [this] { return status(); };
    links.localise = [this](mesh::wire::StatusReply& reply) {
        localise_status(reply, identity_.id, members());
    };
    links.reading_models = [this] {
        const auto all = members();
        return std::any_of(all.begin(), all.end(),
                           [](const mesh::Member& m) { return announcement_of(m).reading; });
    };
    links.catalogue_changed = [this] { node_->describe(description()); };
    links.vocabulary = [this](const KnownModel& model, auto done) {
        ModelProvider::Want want;
        want.owner = &router_;
        want.hash = model.hash;
        want.name = model.name;
        want.file_bytes = model.file_bytes;
        want.tokenizer = true;
        want.pieces = [](const OpenModel&) { return std::vector<model::Piece>(); };
        want.progress = [](std::uint64_t, std::uint64_t) {};
        want.done = std::move(done);
        models_.get(std::move(want));
    };
    return links;
}

}  // namespace shoal
