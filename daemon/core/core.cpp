#include "daemon/core/core.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "daemon/log/log.hpp"
#include "daemon/requests/status.hpp"

namespace shoal {
namespace {

// What this device says of its memory is renewed this often.
constexpr auto kRefresh = std::chrono::seconds(5);
// A device that was lost stays in the status for this long.
constexpr auto kLostShown = std::chrono::minutes(10);

}  // namespace

DaemonCore::DaemonCore(const Ports& ports, Device device, const Settings& settings)
    : ports_(ports),
      device_(std::move(device)),
      self_(ports.mesh.self()),
      warnings_([this] { describe(); }),
      outbox_(ports.loop,
              [this](const mesh::DeviceId& to, const std::vector<std::byte>& message) {
                  return ports_.mesh.send(to, message);
              }),
      member_(ports.loop, ports.models, ports.engine, member_links()),
      root_(ports.loop, ports.models, ports.engine, PlanRules{settings.models, settings.plan},
            root_links(), settings.plans),
      measuring_(ports.loop, ports.measurement, measuring_links()),
      survey_(ports.loop, ports.links, survey_links(), std::move(device_.links)),
      fetches_files_(settings.models.whole_file == config::WholeFile::automatic),
      fetch_(ports.loop, ports.files, fetch_links()),
      router_ports_(router_ports()),
      router_(ports.loop, ports.texts, ports.plans, *router_ports_, settings.models.default_model,
              settings.requests) {}

void DaemonCore::set(const config::ModelSettings& models, const config::PlanSettings& plan) {
    root_.set_rules({models, plan});
    fetches_files_ = models.whole_file == config::WholeFile::automatic;
    router_.set_default_model(models.default_model);
}

void DaemonCore::start() {
    refresh();
    watch_mesh();
    measuring_.start();
    fetch_.start();
}

void DaemonCore::refresh() {
    forget_long_lost();
    root_.compare_speeds();
    describe();
    refreshing_ = ports_.loop.after(
        kRefresh, [this] { refresh(); }, "its description");
}

void DaemonCore::describe() {
    ports_.mesh.describe(description());
}

mesh::DeviceDescription DaemonCore::description() const {
    mesh::DeviceDescription d = device_.description();
    if (unfit_) {
        d.priority = std::numeric_limits<std::int32_t>::min() + (*unfit_ == Unfit::failing ? 1 : 0);
    }
    mesh::messages::Announcement announcement;
    announcement.warnings = warnings_.list();
    for (const auto& [id, known] : known_) {
        if (!known.lost) announcement.sees.push_back(id.bytes);
    }
    const Effort effort = ports_.engine.effort();
    if (member_.offer() != nullptr && member_.offer()->plan.id() == effort.plan) {
        announcement.plan = effort.plan.number;
        announcement.steps = effort.steps;
        announcement.compute_seconds = effort.seconds;
    }
    announcement.profile = measuring_.profile();
    announcement.link_port = survey_.port();
    ports_.models.announce(announcement);
    d.models = mesh::messages::encode(mesh::messages::PlanFrame{0, std::move(announcement)});
    return d;
}

void DaemonCore::on_joined(const mesh::Member& member) {
    log::info("device {} ({}) joined from {}", member.id.hex().substr(0, 8),
              member.description.name, member.address);
    known_[member.id] = {member, std::nullopt};
    describe();  // whom we see
    if (ports_.admin != nullptr) ports_.admin->on_joined(member);
    root_.on_member_joined(member.id);
    survey_.on_joined(member.id);
}

void DaemonCore::on_updated(const mesh::Member& member) {
    known_[member.id].member = member;
    if (ports_.admin != nullptr) ports_.admin->on_updated(member);
    root_.on_members_changed();
}

void DaemonCore::on_lost(const mesh::DeviceId& id) {
    log::warn("device {} is lost", id.hex().substr(0, 8));
    known_[id].lost = ports_.loop.now();
    forget_long_lost();
    outbox_.drop(id);
    describe();
    if (ports_.admin != nullptr) ports_.admin->on_lost(id);
    survey_.on_lost(id);
    root_.on_member_lost(id);
    router_.on_member_lost(id);
}

void DaemonCore::on_root_changed(const std::optional<mesh::DeviceId>& root, mesh::Term term) {
    log::info("term {}: root is {}", term.counter,
              root ? (*root == self_ ? "this device" : root->hex().substr(0, 8)) : "none");
    if (root == self_) {
        root_.become_root(term);
        survey_.become_root(term);
    } else {
        root_.resign();
        survey_.resign();
    }
    member_.abandon();
    router_.on_root_changed(root);
}

void DaemonCore::on_loading(mesh::PlanId plan, std::uint64_t done, std::uint64_t total) {
    member_.on_loading(plan, done, total);
}

void DaemonCore::on_loaded(mesh::PlanId plan, const HeldBytes& held) {
    member_.on_loaded(plan, held);
}

void DaemonCore::on_started(mesh::PlanId plan) {
    root_.on_started(plan);
}

void DaemonCore::on_parked(mesh::PlanId plan) {
    describe();  // what it did in its turn
    root_.on_parked(plan);
}

void DaemonCore::on_ended(mesh::PlanId plan, const PlanOutcome& outcome) {
    member_.on_ended(plan, outcome);
}

void DaemonCore::on_job_event(JobId job, const mesh::messages::Event& event) {
    root_.on_job_event(job, event);
}

std::string DaemonCore::name_of(const mesh::DeviceId& id) const {
    if (id == self_) return ports_.mesh.members().front().description.name;
    const auto it = known_.find(id);
    return it == known_.end() || it->second.member.description.name.empty()
               ? id.hex().substr(0, 8)
               : it->second.member.description.name;
}

std::string DaemonCore::address_of(const mesh::DeviceId& id) const {
    for (const mesh::Member& m : ports_.mesh.members()) {
        if (m.id == id) return m.address;
    }
    return "";
}

// Status shows devices for a while after they were lost.
void DaemonCore::forget_long_lost() {
    const auto now = ports_.loop.now();
    std::erase_if(known_, [&](const auto& entry) {
        return entry.second.lost && now - *entry.second.lost > kLostShown;
    });
}

// Those that acknowledged our term: only they take an offer of ours.
std::vector<mesh::Member> DaemonCore::followers() const {
    std::vector<mesh::Member> out = ports_.mesh.members();
    std::erase_if(
        out, [&](const mesh::Member& m) { return m.id != self_ && m.term != ports_.mesh.term(); });
    return out;
}

std::vector<mesh::DeviceId> DaemonCore::holders(const mesh::ModelHash& hash) const {
    std::vector<mesh::DeviceId> out;
    for (const mesh::Member& m : ports_.mesh.members()) {
        if (m.id == self_) continue;
        for (const auto& model : announcement_of(m).models) {
            if (model.hash == hash.bytes) out.push_back(m.id);
        }
    }
    return out;
}

// The plan's first, then what was begun for an earlier one. A file that was here and is not any
// more was removed, by somebody who did not want it to come back.
std::vector<KnownModel> DaemonCore::wanted_files() {
    std::vector<KnownModel> out;
    if (!fetches_files_) return out;
    const auto want = [&](const KnownModel& model) {
        if (ports_.models.holds(model.hash)) {
            had_files_.insert(model.hash);
        } else if (!had_files_.contains(model.hash)) {
            out.push_back(model);
        }
    };
    for (const mesh::ModelHash& planned : member_.models()) {
        if (ports_.models.holds(planned)) had_files_.insert(planned);
    }
    if (const auto model = member_.wanted_file()) want(*model);
    for (const mesh::ModelHash& hash : ports_.files->begun()) {
        for (const mesh::Member& m : ports_.mesh.members()) {
            if (m.id == self_) continue;
            const auto models = announcement_of(m).models;
            const auto it =
                std::ranges::find(models, hash.bytes, &mesh::messages::AnnouncedModel::hash);
            if (it == models.end()) continue;
            want({hash, it->name, it->file_bytes});
            break;
        }
    }
    return out;
}

mesh::messages::ModelsReply DaemonCore::models() const {
    auto reply = cluster_models(ports_.mesh.members(), member_.models());
    ports_.models.locate(reply);
    return reply;
}

mesh::messages::StatusReply DaemonCore::status() const {
    StatusParts parts;
    parts.cluster = device_.cluster;
    parts.self = self_;
    parts.root = ports_.mesh.root();
    parts.term = ports_.mesh.term();
    parts.members = ports_.mesh.members();
    parts.version = parts.members.front().description.version;
    for (const auto& [id, known] : known_) {
        if (known.lost) parts.lost.push_back({known.member, *known.lost});
    }
    parts.now = ports_.loop.now();
    parts.address = device_.address();
    parts.offer = member_.offer();
    parts.states = &root_.devices();
    parts.speed = ports_.engine.speed();
    parts.parallel = ports_.engine.parallel();
    // Of those that the engine has, some wait for room.
    parts.queued =
        root_.queued() + root_.submitted() - std::min(root_.submitted(), parts.speed.running);
    parts.links = &survey_.known();
    parts.loaded = root_.loaded();
    return cluster_status(parts);
}

PlanFigures DaemonCore::plan_figures() const {
    const std::lock_guard lock(figures_mutex_);
    return plan_figures_;
}

PlanMember::Links DaemonCore::member_links() {
    PlanMember::Links links;
    links.self = self_;
    links.send = [this](const mesh::DeviceId& to, const mesh::messages::PlanMessage& message) {
        // What cannot be sent is lost with its receiver: membership tells.
        static_cast<void>(send(to, {0, message}));
    };
    links.address = [this](const mesh::DeviceId& id) { return address_of(id); };
    links.vocabulary_warning = [this](const std::string& text) { warn_vocabulary(text); };
    return links;
}

struct DaemonCore::RootLinks final : PlanLinks {
    explicit RootLinks(DaemonCore& owner) : core(owner) {}

    mesh::DeviceId self() const override { return core.self_; }
    Cluster cluster() const override {
        Cluster out;
        out.followers = core.followers();
        out.apart = apart_pairs(out.followers);
        out.links = core.survey_.known();
        out.settled =
            out.followers.size() == core.ports_.mesh.members().size() && out.apart.empty();
        return out;
    }
    std::string name(const mesh::DeviceId& id) const override { return core.name_of(id); }
    std::set<mesh::DeviceId> holders(const mesh::ModelHash& hash) const override {
        const auto others = core.holders(hash);
        std::set<mesh::DeviceId> out(others.begin(), others.end());
        if (core.ports_.models.holds(hash)) out.insert(core.self_);
        return out;
    }
    std::map<mesh::DeviceId, Effort> efforts() const override {
        return efforts_of(core.followers(), core.ports_.mesh.term());
    }
    void send(const mesh::DeviceId& to, const mesh::messages::PlanMessage& message) override {
        static_cast<void>(core.send(to, {0, message}));
    }
    void emit(JobId job, const mesh::messages::Event& event) override {
        core.router_.on_job_event(job, event);
    }
    void left_out(const LeftOutDevices& devices) override { core.warn_left_out(devices); }
    void slow(const std::map<mesh::DeviceId, double>& devices) override { core.warn_slow(devices); }
    void planned(PlanCause cause) override {
        const std::lock_guard lock(core.figures_mutex_);
        ++core.plan_figures_.made[static_cast<std::size_t>(cause)];
    }
    void plan_runs(std::chrono::duration<double> loading) override {
        const std::lock_guard lock(core.figures_mutex_);
        core.plan_figures_.loading_seconds = loading.count();
    }
    void abdicate(Unfit why, const std::string& reason) override { core.abdicate(why, reason); }

    DaemonCore& core;
};

std::unique_ptr<PlanLinks> DaemonCore::root_links() {
    return std::make_unique<RootLinks>(*this);
}

}  // namespace shoal
