#include "tests/daemon/small_node.hpp"

#include <algorithm>

#include "daemon/device_facts.hpp"
#include "daemon/status.hpp"

namespace shoal::tests {

using namespace mesh::wire;

SmallNode::SmallNode(Options given)
    : options(std::move(given)),
      catalogue(state.folder),
      engine(std::make_unique<Engine>(choose_kernels("auto"),
                                      Engine::Options{.parallel = options.parallel}, nullptr,
                                      engine_callbacks())),
      models(control.loop, worker, catalogue, state.folder / "pieces", provider_links()),
      member(models, *engine, member_links()),
      root(control.loop, models, *engine, options.settings, root_links()),
      router(control.loop, worker, catalogue, root, options.settings.default_model, router_links(),
             options.patience) {
    for (const auto& path : options.models) catalogue.add(path);
    control.call([this] { tick(); });
    if (options.root) elect(self);
}

SmallNode::~SmallNode() {
    catalogue.stop();
    worker.stop();
    engine.reset();
    control.stop();
}

mesh::Member SmallNode::other(std::uint8_t number) {
    mesh::Member member;
    member.id = device_id(number);
    member.description.name.assign("device ").append(std::to_string(number));
    member.description.speed = 1;
    member.description.data_endpoint = "tcp://*:4000";
    member.address.assign("10.0.0.").append(std::to_string(number));
    return member;
}

void SmallNode::elect(std::optional<mesh::DeviceId> device) {
    control.call([&] {
        elected = device;
        if (device) term = {term.counter + 1, *device};
        if (device == self) {
            root.become_root(term);
        } else {
            root.resign();
        }
        member.abandon();
        router.on_root_changed(device);
    });
}

void SmallNode::lose(const mesh::DeviceId& device) {
    control.call([&] {
        std::erase_if(others, [&](const mesh::Member& m) { return m.id == device; });
        root.on_member_lost(device);
        router.on_member_lost(device);
    });
}

std::vector<std::byte> SmallNode::announcement(const std::vector<CatalogueEntry>& entries) {
    Announcement announcement;
    for (const CatalogueEntry& entry : entries) announcement.models.push_back(announced(entry));
    return encode(PlanFrame{0, std::move(announcement)});
}

http::Service::Ticket SmallNode::start(Request request, Door door) {
    // The ticket is known only when start() has returned; events come on the control thread.
    const auto ticket = std::make_shared<std::atomic<std::uint64_t>>(0);
    return control.call([&] {
        *ticket = router.start(std::move(request), door, [this, ticket](const Event& event) {
            recorder.add(*ticket, event);
        });
        return ticket->load();
    });
}

std::optional<PlanOffer> SmallNode::last_offer(const mesh::DeviceId& device) const {
    const auto offers = sent_to<PlanOffer>(device);
    return offers.empty() ? std::nullopt : std::optional(offers.back());
}

void SmallNode::loaded(const mesh::DeviceId& device) {
    control.call([&] {
        const auto offer = last_offer(device);
        if (offer) root.on_loaded(device, PlanLoaded{offer->plan, 10, 10, 10, 10});
    });
}

std::vector<mesh::Member> SmallNode::members() const {
    mesh::Member own = other(1);
    own.description.memory_available = memory;
    own.description.models = announcement(catalogue.list());
    std::vector<mesh::Member> all{own};
    all.insert(all.end(), others.begin(), others.end());
    return all;
}

ModelsReply SmallNode::known_models() const {
    const auto& offer = member.offer();
    return cluster_models(members(), offer ? &*offer : nullptr);
}

Engine::Callbacks SmallNode::engine_callbacks() {
    Engine::Callbacks c;
    c.loading = [this](mesh::PlanId plan, std::uint64_t done, std::uint64_t total) {
        control.loop.post([=, this] { member.on_loading(plan, done, total); });
    };
    c.loaded = [this](mesh::PlanId plan, HeldBytes held) {
        control.loop.post([=, this] { member.on_loaded(plan, held); });
    };
    c.started = [this](mesh::PlanId plan) {
        control.loop.post([=, this] { root.on_started(plan); });
    };
    c.ended = [this](mesh::PlanId plan, const std::string& error) {
        control.loop.post([=, this] { member.on_ended(plan, error); });
    };
    c.event = [this](JobId job, const Event& event) {
        control.loop.post([=, this] { root.on_job_event(job, event); });
    };
    return c;
}

ModelProvider::Links SmallNode::provider_links() {
    ModelProvider::Links links;
    links.send = [this](const mesh::DeviceId& to, const PlanFrame& frame) {
        if (!reachable(to)) return false;
        pieces_sent.emplace_back(to, frame);
        return true;
    };
    links.holders = [this](const mesh::ModelHash& hash) {
        std::vector<mesh::DeviceId> out;
        for (const mesh::Member& m : others) {
            for (const auto& model : announcement_of(m).models) {
                if (model.hash == hash.bytes) out.push_back(m.id);
            }
        }
        return out;
    };
    return links;
}

PlanMember::Links SmallNode::member_links() {
    PlanMember::Links links;
    links.self = self;
    links.send = [this](const mesh::DeviceId& to, const PlanMessage& message) {
        plan_sent.emplace_back(to, message);
        if (to == self) control.loop.post([this, message] { to_self(message); });
    };
    links.address = [this](const mesh::DeviceId& id) -> std::string {
        for (const mesh::Member& m : members()) {
            if (m.id == id) return m.address;
        }
        return "";
    };
    return links;
}

PlanRoot::Links SmallNode::root_links() {
    PlanRoot::Links links;
    links.self = self;
    links.send = member_links().send;
    links.members = [this] { return members(); };
    links.settled = [this] { return settled; };
    links.emit = [this](JobId job, const Event& event) {
        job_events.add(job, event);
        router.on_job_event(job, event);
    };
    return links;
}

RequestRouter::Links SmallNode::router_links() {
    RequestRouter::Links links;
    links.self = self;
    links.send_request = [this](const mesh::DeviceId& to, const RequestFrame& frame) {
        if (!reachable(to)) return false;
        static_cast<void>(encode(frame));  // throws beyond the limits, as the mesh's link does
        requests_sent.emplace_back(to, frame);
        return true;
    };
    links.send_event = [this](const mesh::DeviceId& to, const EventFrame& frame) {
        events_sent.emplace_back(to, frame);
        return true;
    };
    links.models = [this] { return known_models(); };
    links.status = [this] {
        StatusParts parts;
        parts.version = "1";
        parts.self = self;
        parts.root = elected;
        parts.term = term;
        parts.members = members();
        parts.offer = member.offer() ? &*member.offer() : nullptr;
        parts.states = &root.devices();
        parts.speed = engine->speed();
        parts.queued = root.queued();
        return cluster_status(parts);
    };
    links.catalogue_changed = [] {};
    links.reading_models = [] { return false; };
    links.vocabulary = [this](const KnownModel& model, auto done) {
        ModelProvider::Want want;
        want.owner = &router;
        want.hash = model.hash;
        want.name = model.name;
        want.file_bytes = model.file_bytes;
        want.tokenizer = true;
        want.pieces = [](const OpenModel&) { return std::vector<model::Piece>(); };
        want.progress = [](std::uint64_t, std::uint64_t) {};
        want.done = std::move(done);
        models.get(std::move(want));
    };
    return links;
}

void SmallNode::to_self(const PlanMessage& message) {
    if (const auto* offer = std::get_if<PlanOffer>(&message)) {
        if (!options.carries) return;
        PlanOffer alone = *offer;
        for (const PlanDevice& d : offer->devices) {
            alone.devices[0].q_end = std::max(alone.devices[0].q_end, d.q_end);
            alone.devices[0].kv_end = std::max(alone.devices[0].kv_end, d.kv_end);
            alone.devices[0].ffn_end = std::max(alone.devices[0].ffn_end, d.ffn_end);
            alone.devices[0].vocab_end = std::max(alone.devices[0].vocab_end, d.vocab_end);
        }
        alone.devices.resize(1);
        return member.on_offer(self, std::move(alone), term);
    }
    if (const auto* m = std::get_if<PlanStart>(&message)) return member.on_start(self, *m);
    if (const auto* m = std::get_if<PlanProgress>(&message)) return root.on_progress(self, *m);
    if (const auto* m = std::get_if<PlanLoaded>(&message)) return root.on_loaded(self, *m);
    if (const auto* m = std::get_if<PlanEnd>(&message)) {
        member.on_end(self, *m);
        root.on_plan_end(self, *m);
    }
}

void SmallNode::tick() {
    models.tick();
    router.tick();
    control.loop.at(ControlLoop::Clock::now() + std::chrono::milliseconds(5), [this] { tick(); });
}

}  // namespace shoal::tests
