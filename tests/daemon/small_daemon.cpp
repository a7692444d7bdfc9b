#include "tests/daemon/small_daemon.hpp"

#include <algorithm>

#include "daemon/device_facts.hpp"

namespace shoal::tests {

using namespace mesh::messages;

namespace {

// The first byte of a message between cores.
enum class Channel : std::uint8_t { plan = 1, request = 2, event = 3 };

template <typename Frame>
std::vector<std::byte> on_channel(Channel channel, const Frame& frame) {
    auto bytes = encode(frame);
    bytes.insert(bytes.begin(), static_cast<std::byte>(channel));
    return bytes;
}

}  // namespace

bool ScriptedMesh::send(const mesh::DeviceId& to, std::span<const std::byte> bytes) {
    const auto body = bytes.subspan(1);
    switch (static_cast<Channel>(bytes[0])) {
        case Channel::plan:
            plans.emplace_back(to, *decode_plan(body));
            break;
        case Channel::request:
            requests.emplace_back(to, *decode_request(body));
            break;
        case Channel::event:
            events.emplace_back(to, *decode_event(body));
            break;
    }
    return true;
}

SoloEngine::SoloEngine(const EngineThread::Options& options, bool carries, EngineEvents events)
    : carries_(carries), engine_(choose_kernels("auto"), options, nullptr, std::move(events)) {}

void SoloEngine::load(PlanSpec spec) {
    if (!carries_) return;
    if (spec.rank == 0) {
        const model::Hparams& hp = spec.model->hparams;
        spec.slices = {{{0, hp.n_heads}, {0, hp.n_kv_heads}, {0, hp.n_ff}, {0, hp.n_vocab}}};
        spec.peers.resize(1);
    }
    engine_.load(std::move(spec));
}

SmallDaemon::SmallDaemon(Options given)
    : options(std::move(given)),
      catalogue(state.folder),
      engine(std::make_unique<SoloEngine>(EngineThread::Options{.parallel = options.parallel},
                                          options.carries, engine_events())),
      models(control.loop, worker, catalogue, state.folder / "pieces", provider_links()),
      core({control.loop, mesh, *engine, models, texts, plans}, device(),
           {options.settings,
            {{}, {}, mesh::messages::kMaxPlanDevices},
            options.plan_patience,
            options.patience}) {
    for (const auto& path : options.models) catalogue.add(path);
    control.call([&] {
        control.loop.add({[this] { return std::vector<int>{models.descriptor()}; },
                          [] { return ControlLoop::Clock::time_point::max(); },
                          [this] { models.hear(); }});
        core.start();
    });
    if (options.root) elect(self);
}

SmallDaemon::~SmallDaemon() {
    catalogue.stop();
    worker.stop();
    texts.stop();
    plans.stop();
    control.stop();  // What was posted uses the engine.
    engine.reset();
}

void SmallDaemon::elect(std::optional<mesh::DeviceId> device) {
    control.call([&] {
        mesh.leader = device;
        mesh.current = device ? mesh::Term{mesh.current.counter + 1, *device} : mesh.current;
        for (mesh::Member& member : mesh.all) member.term = mesh.current;
        core.on_root_changed(device, mesh.current);
    });
}

void SmallDaemon::join(mesh::Member member, Announcement announcement) {
    control.call([&] {
        std::erase_if(mesh.all, [&](const mesh::Member& m) { return m.id == member.id; });
        const bool is_new = announcements_.insert_or_assign(member.id, announcement).second;
        member.term = mesh.current;
        mesh.all.push_back(member);
        announce_sight();
        is_new ? core.on_joined(mesh.all.back()) : core.on_updated(mesh.all.back());
    });
}

void SmallDaemon::join_client(std::uint8_t number) {
    mesh::Member member = other_device(number);
    member.description.memory_available = 1;
    join(std::move(member));
}

void SmallDaemon::lose(const mesh::DeviceId& device) {
    control.call([&] {
        std::erase_if(mesh.all, [&](const mesh::Member& m) { return m.id == device; });
        announcements_.erase(device);
        announce_sight();
        core.on_lost(device);
    });
}

void SmallDaemon::part(const mesh::DeviceId& one, const mesh::DeviceId& other) {
    control.call([&] {
        apart_.push_back(std::minmax(one, other));
        announce_sight();
        for (const mesh::Member& member : mesh.members()) {
            if (member.id == one || member.id == other) core.on_updated(member);
        }
    });
}

void SmallDaemon::announce_sight() {
    for (mesh::Member& member : mesh.all) {
        if (member.id == self) continue;
        Announcement& announcement = announcements_.at(member.id);
        announcement.sees.clear();
        for (const mesh::Member& seen : mesh.all) {
            const Pair pair = std::minmax(member.id, seen.id);
            if (std::find(apart_.begin(), apart_.end(), pair) != apart_.end()) continue;
            if (seen.id != member.id) announcement.sees.push_back(seen.id.bytes);
        }
        member.description.models = encode(PlanFrame{0, announcement});
    }
}

void SmallDaemon::tell(const mesh::DeviceId& from, const PlanMessage& message, std::uint64_t id) {
    control.call([&] { core.on_message(from, on_channel(Channel::plan, PlanFrame{id, message})); });
}

void SmallDaemon::ask(const mesh::DeviceId& from, const RequestFrame& frame) {
    control.call([&] { core.on_message(from, on_channel(Channel::request, frame)); });
}

void SmallDaemon::answer(const mesh::DeviceId& from, const EventFrame& frame) {
    control.call([&] { core.on_message(from, on_channel(Channel::event, frame)); });
}

http::Service::Ticket SmallDaemon::start(Request request, Door door) {
    // The ticket is known only when start() has returned; events come on the control thread.
    const auto ticket = std::make_shared<std::atomic<std::uint64_t>>(0);
    return control.call([&] {
        *ticket = core.service().start(
            std::move(request), door,
            [this, ticket](const Event& event) { recorder.add(*ticket, event); });
        return ticket->load();
    });
}

std::string SmallDaemon::warning(const std::string& name, const mesh::DeviceId& device) {
    return control.call([&]() -> std::string {
        for (const Warning& warning : core.warnings().list()) {
            if (warning.name == name && warning.device == device.hex()) return warning.text;
        }
        return "";
    });
}

EngineEvents SmallDaemon::engine_events() {
    EngineEvents events;
    events.loading = [this](mesh::PlanId plan, std::uint64_t done, std::uint64_t total) {
        control.loop.post([=, this] { core.on_loading(plan, done, total); });
    };
    events.loaded = [this](mesh::PlanId plan, HeldBytes held) {
        control.loop.post([=, this] { core.on_loaded(plan, held); });
    };
    events.started = [this](mesh::PlanId plan) {
        control.loop.post([=, this] { core.on_started(plan); });
    };
    events.parked = [this](mesh::PlanId plan) {
        control.loop.post([=, this] { core.on_parked(plan); });
    };
    events.ended = [this](mesh::PlanId plan, const PlanOutcome& outcome) {
        control.loop.post([=, this] { core.on_ended(plan, outcome); });
    };
    events.event = [this](JobId job, const Event& event) {
        job_events.add(job, event);
        control.loop.post([=, this] { core.on_job_event(job, event); });
    };
    return events;
}

ModelProvider::Links SmallDaemon::provider_links() {
    ModelProvider::Links links;
    links.self = self;
    links.send = [this](const mesh::DeviceId& to, const PlanFrame& frame) {
        return core.send(to, frame);
    };
    links.holders = [this](const mesh::ModelHash& hash) { return core.holders(hash); };
    links.warn = [this](Warning warning) { core.warnings().raise(std::move(warning)); };
    links.unwarn = [this](const std::string& name) { core.warnings().clear(name, self.hex()); };
    links.catalogue_changed = [this] { core.describe(); };
    links.spare_memory = [this] { return spare_memory.load(); };
    return links;
}

DaemonCore::Device SmallDaemon::device() {
    return {"test",
            [this] {
                mesh::DeviceDescription d = other_device(1).description;
                d.memory_available = memory;
                return d;
            },
            [] { return std::string(); }};
}

}  // namespace shoal::tests
