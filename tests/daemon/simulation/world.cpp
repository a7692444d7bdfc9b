#include "tests/daemon/simulation/world.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "daemon/requests/status.hpp"

namespace shoal::tests::simulation {

namespace {

constexpr auto kTextTime = std::chrono::milliseconds(20);

}  // namespace

const mesh::DeviceId& SimulatedMesh::self() const noexcept {
    return world_.network.id(device_);
}

std::optional<mesh::DeviceId> SimulatedMesh::root() const noexcept {
    return world_.network.core(device_).root();
}

mesh::Term SimulatedMesh::term() const noexcept {
    return world_.network.core(device_).term();
}

std::vector<mesh::Member> SimulatedMesh::members() const {
    return world_.network.core(device_).members();
}

bool SimulatedMesh::send(const mesh::DeviceId& to, std::span<const std::byte> bytes) {
    if (world_.machine(device_).faults.full) return false;
    return world_.network.core(device_).send(to, bytes);
}

void SimulatedMesh::describe(mesh::DeviceDescription self) {
    world_.network.core(device_).describe(std::move(self), world_.time.now());
}

std::vector<mesh::messages::Warning> SimulatedMesh::warnings() const {
    return world_.network.core(device_).warnings(world_.time.now());
}

Life::Life(World& world, Machine& machine, const DaemonCore::Settings& settings)
    : loop(world.time),
      texts(world.time, kTextTime),
      plans(world.time, kTextTime),
      mesh(world, machine.index),
      models({loop, world.random, machine.faults, machine.disk}, model_links()),
      engine({machine.index, world.time, world.random, world.plane, machine.faults, machine.speed,
              [&world](const mesh::DeviceId& id) { return world.network.index_of(id); }},
             engine_events()),
      core({loop, mesh, engine, models, texts, plans},
           {"simulation",
            [&machine] {
                mesh::DeviceDescription d;
                d.name = std::string("device").append(std::to_string(machine.index));
                d.memory_total = std::uint64_t{8} << 30;
                d.memory_available = machine.memory;
                d.threads = 4;
                d.cpu = "portable";
                d.version = "1";
                d.priority = machine.priority;
                d.speed = machine.speed;
                d.data_endpoint = "tcp://*:4000";
                return d;
            },
            [] { return std::string(); }},
           settings),
      world_(world),
      machine_(machine) {
    start_node();
    core.start();
}

void Life::start_node() {
    mesh::Node::Callbacks events;
    events.joined = [this](const mesh::Member& m) {
        members.insert(m.id);
        core.on_joined(m);
    };
    events.updated = [this](const mesh::Member& m) { core.on_updated(m); };
    events.lost = [this](const mesh::DeviceId& id) {
        world_.count("membership: a device was lost");
        members.erase(id);
        core.on_lost(id);
    };
    events.root_changed = [this](const std::optional<mesh::DeviceId>& root, mesh::Term term) {
        world_.count(!root                  ? "election: no root"
                     : *root == mesh.self() ? "election: this device"
                                            : "election: another device");
        core.on_root_changed(root, term);
    };
    events.message = [this](const mesh::DeviceId& from, std::span<const std::byte> bytes) {
        core.on_message(from, bytes);
    };
    world_.network.start(machine_.index, {}, std::move(events));
}

// From the engine's thread to the control thread.
EngineEvents Life::engine_events() {
    EngineEvents events;
    events.loading = [this](mesh::PlanId plan, std::uint64_t done, std::uint64_t total) {
        loop.post([this, plan, done, total] { core.on_loading(plan, done, total); });
    };
    events.loaded = [this](mesh::PlanId plan, const HeldBytes& held) {
        loop.post([this, plan, held] { core.on_loaded(plan, held); });
    };
    events.started = [this](mesh::PlanId plan) {
        loop.post([this, plan] { core.on_started(plan); });
    };
    events.parked = [this](mesh::PlanId plan) {
        loop.post([this, plan] { core.on_parked(plan); });
    };
    events.ended = [this](mesh::PlanId plan, const PlanOutcome& outcome) {
        world_.count(outcome.error.empty() ? "engine: asked to end" : "engine: " + outcome.error);
        loop.post([this, plan, outcome] { core.on_ended(plan, outcome); });
    };
    events.event = [this](JobId job, const mesh::messages::Event& event) {
        loop.post([this, job, event] { core.on_job_event(job, event); });
    };
    return events;
}

ModelProvider::Links Life::model_links() {
    ModelProvider::Links links;
    links.self = mesh.self();
    links.send = [this](const mesh::DeviceId& to, const mesh::messages::PlanFrame& frame) {
        return core.send(to, frame);
    };
    links.holders = [this](const mesh::ModelHash& hash) { return core.holders(hash); };
    links.catalogue_changed = [this] { core.describe(); };
    return links;
}

World::World(std::uint64_t given, Coverage& coverage, bool verbose)
    : seed(given),
      random(given * 2 + 1),
      network(given),
      plane(network, time, random),
      coverage_(coverage),
      verbose_(verbose),
      begin_(time.now()) {
    // Alone, a device is quickest with models as small as these.
    settings.plan.min_devices = mesh::messages::kMaxPlanDevices;
    network.hold_application_messages();
    for (std::size_t i = 0; i < key_.secret.size(); ++i) {
        key_.secret[i] = static_cast<std::uint8_t>(i);
    }
}

std::size_t World::add(Machine machine) {
    MemoryNetwork::Options options;
    options.key = key_;
    machine.index = network.add(options);
    machines_.push_back(std::make_unique<Machine>(std::move(machine)));
    lives_.emplace_back();
    seen_.emplace_back();
    return machines_.size() - 1;
}

void World::start(std::size_t device) {
    Machine& machine = *machines_[device];
    ++machine.lives;
    log("device" + std::to_string(device) + " starts");
    lives_[device] = std::make_unique<Life>(*this, machine, settings);
    seen_[device] = {};
}

void World::stop(std::size_t device, End end) {
    static constexpr const char* kHow[] = {"crashes", "loses its power", "says goodbye"};
    const char* how = kHow[static_cast<std::size_t>(end)];
    log("device" + std::to_string(device) + " " + how);
    count(std::string("disturbance: a device ").append(how));
    if (end == End::goodbye) network.core(device).leave(time.now());
    lives_[device].reset();
    network.kill(device, end != End::crash);
}

bool World::run_until(const std::function<bool()>& done, std::chrono::milliseconds at_most) {
    const Loop::Time end = time.now() + at_most;
    while (!done()) {
        if (time.now() >= end) return false;
        const Loop::Time next =
            std::max(time.now(), std::min({end, network.next(), time.next().value_or(end)}));
        network.pass(next);
        time.pass(next - time.now());
        network.turn();
        observe();
        watch();
    }
    return true;
}

// Counts how plans go from state to state, and why devices are left out of them.
void World::observe() {
    static constexpr const char* kStates[] = {"none",    "opening", "loading", "starting",
                                              "running", "parking", "parked"};
    for (std::size_t i = 0; i < lives_.size(); ++i) {
        if (!lives_[i]) continue;
        observe_left_out(*lives_[i], seen_[i]);
        const PlanLife::State state = lives_[i]->core.root().state();
        const PlanLife::State before = std::exchange(seen_[i].plan, state);
        if (before == state) continue;
        count(std::string("plan: ")
                  .append(kStates[static_cast<std::size_t>(before)])
                  .append(" -> ")
                  .append(kStates[static_cast<std::size_t>(state)]));
    }
}

void World::observe_left_out(Life& life, Seen& seen) {
    std::set<std::string> left_out;
    for (const mesh::messages::Warning& warning : life.core.warnings().list()) {
        if (warning.name == "left-out") left_out.insert(warning.device + ": " + warning.text);
    }
    if (left_out == seen.left_out) return;
    for (std::string why : left_out) {
        if (seen.left_out.contains(why)) continue;
        why.erase(0, why.rfind(": "));
        std::replace_if(
            why.begin(), why.end(), [](char c) { return c >= '0' && c <= '9'; }, '#');
        count("left out" + why);
    }
    seen.left_out = std::move(left_out);
}

void World::log(const std::string& line) const {
    if (!verbose_) return;
    const auto now = std::chrono::duration<double>(time.now() - begin_).count();
    std::printf("%9.4f %s\n", now, line.c_str());
}

}  // namespace shoal::tests::simulation
