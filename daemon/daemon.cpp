#include "daemon/daemon.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <utility>
#include <zmq.hpp>

#include "daemon/status.hpp"
#include "daemon/version.hpp"
#include "mesh/exchange/data_plane.hpp"

namespace shoal {
namespace {

// The first byte of an application message says what follows.
enum class Channel : std::uint8_t { plan = 1, request = 2, event = 3 };

// Time-outs and retries are looked at this often.
constexpr auto kTick = std::chrono::milliseconds(100);
// What this device says of its memory is renewed this often.
constexpr auto kRefresh = std::chrono::seconds(5);

std::vector<std::byte> with_channel(Channel channel, std::vector<std::byte> bytes) {
    bytes.insert(bytes.begin(), static_cast<std::byte>(channel));
    return bytes;
}

http::HttpOptions http_options(const config::HttpSettings& s) {
    http::HttpOptions options;
    options.listen = s.listen;
    options.port = s.port;
    options.api_key = s.api_key;
    options.allowed_hosts = s.allowed_hosts;
    options.max_connections = s.max_connections;
    options.max_body_bytes = s.max_body_bytes;
    options.header_timeout = s.header_timeout;
    options.idle_timeout = s.idle_timeout;
    return options;
}

mesh::NodeConfig node_config(const config::Settings& s) {
    mesh::NodeConfig config;
    config.bind = s.cluster.bind;
    config.port = s.cluster.port;
    config.beacon_port = s.cluster.beacon_port;
    config.multicast = s.cluster.multicast;
    config.peers = s.cluster.peers;
    config.interfaces = s.cluster.interfaces;
    config.heartbeat = s.cluster.heartbeat;
    config.suspect_after = s.cluster.suspect;
    config.dead_after = s.cluster.dead;
    config.state_dir = s.device.state_dir;
    return config;
}

}  // namespace

Daemon::Daemon(config::Settings settings)
    : settings_(std::move(settings)),
      kernels_(choose_kernels(settings_.device.cpu)),
      placement_(place_threads(settings_.device.threads)),
      speed_(settings_.device.speed_bytes != 0 ? static_cast<double>(settings_.device.speed_bytes)
                                               : measure_speed(kernels_, placement_)),
      identity_(mesh::load_or_create_identity(settings_.device.state_dir)),
      key_(mesh::load_cluster_key(settings_.cluster.key_file)),
      catalogue_(settings_.device.state_dir),
      context_(identity_),
      engine_(make_engine()),
      models_(loop_, worker_, catalogue_,
              std::filesystem::path(settings_.device.state_dir) / "pieces", provider_links()),
      member_(models_, *engine_, member_links()),
      root_(loop_, models_, *engine_, settings_.models, root_links()),
      router_(loop_, worker_, catalogue_, root_, settings_.models.default_model, router_links()),
      node_(mesh::Node::start(context_, identity_, key_, node_config(settings_), description(),
                              node_callbacks())),
      outbox_([this](const mesh::DeviceId& to, const std::vector<std::byte>& message) {
          return node_->send(to, message);
      }),
      control_(std::make_unique<ControlSocket>(context_.zmq(), settings_.control.socket,
                                               settings_.control.group, loop_, router_)) {
    if (settings_.http.enabled) {
        http_ = std::make_unique<http::HttpServer>(http_options(settings_.http), router_);
    }
}

Daemon::~Daemon() {
    // Whoever calls from other threads first.
    http_.reset();
    catalogue_.stop();
    worker_.stop();
    engine_.reset();
    control_.reset();
    node_->leave();
}

void Daemon::run(const std::function<void()>& ready) {
    add_sources();
    spdlog::info("shoald {}: device {} ({}, {} threads), cluster {}, control socket {}", version(),
                 identity_.id.hex().substr(0, 8), kernels_.name, placement_.threads,
                 key_.fingerprint(), settings_.control.socket);
    if (http_) spdlog::info("HTTP on {}:{}", settings_.http.listen, http_->port());
    scan_models();
    tick();
    refresh();
    ready();
    loop_.run();
}

void Daemon::add_sources() {
    const auto never = [] { return ControlLoop::Clock::time_point::max(); };
    loop_.add({[this] { return node_->descriptors(); }, [this] { return node_->next_deadline(); },
               [this] { node_->poll(); }});
    loop_.add({[this] { return std::vector<int>{control_->descriptor()}; }, never,
               [this] { control_->poll(); }});
}

void Daemon::tick() {
    outbox_.flush();
    models_.tick();
    router_.tick();
    loop_.at(ControlLoop::Clock::now() + kTick, [this] { tick(); });
}

void Daemon::refresh() {
    node_->describe(description());
    loop_.at(ControlLoop::Clock::now() + kRefresh, [this] { refresh(); });
}

void Daemon::scan_models() {
    reading_models_ = true;
    worker_.post([this] {
        const auto complaints = catalogue_.scan(settings_.models.directories);
        for (const std::string& complaint : complaints) spdlog::warn("left out: {}", complaint);
        loop_.post([this] {
            reading_models_ = false;
            node_->describe(description());
        });
    });
}

mesh::DeviceDescription Daemon::description() const {
    mesh::DeviceDescription d;
    const Memory memory = read_memory();
    const HeldBytes& held = member_.held();
    d.name = settings_.device.name.empty() ? host_name() : settings_.device.name;
    d.memory_total = memory.total;
    // What the current plan holds is free for the next one.
    d.memory_available = memory.available + held.weights + held.buffers;
    if (settings_.device.memory_limit_bytes != 0) {
        d.memory_available = std::min(d.memory_available, settings_.device.memory_limit_bytes);
    }
    d.threads = placement_.threads;
    d.cpu = kernels_.name;
    d.version = version();
    d.priority = settings_.device.priority;
    d.speed = speed_;
    d.data_endpoint = "tcp://*:" + std::to_string(engine_->data_port());
    mesh::wire::Announcement announcement;
    announcement.reading = reading_models_;
    for (const CatalogueEntry& entry : catalogue_.list()) {
        // The others can do without the rest: requests name them by path.
        if (announcement.models.size() == mesh::wire::kMaxAnnouncedModels) break;
        announcement.models.push_back(announced(entry));
    }
    d.models = mesh::wire::encode(mesh::wire::PlanFrame{0, std::move(announcement)});
    return d;
}

std::unique_ptr<Engine> Daemon::make_engine() {
    Engine::Options options;
    options.threads = placement_.threads;
    options.cpus = placement_.allowed;
    options.max_prompt_tokens = settings_.models.max_prompt_tokens;
    return std::make_unique<Engine>(
        kernels_, options,
        [this] {
            mesh::DataPlaneOptions data;
            data.bind = settings_.cluster.bind;
            return std::make_unique<mesh::DataPlane>(context_, data);
        },
        engine_callbacks());
}

void Daemon::on_root_changed(const std::optional<mesh::DeviceId>& root, mesh::Term term) {
    spdlog::info(
        "term {}: root is {}", term.counter,
        root ? (*root == identity_.id ? "this device" : root->hex().substr(0, 8)) : "none");
    if (root == identity_.id) {
        root_.become_root(term);
    } else {
        root_.resign();
    }
    member_.abandon();
    router_.on_root_changed(root);
}

void Daemon::on_message(const mesh::DeviceId& from, std::span<const std::byte> bytes) {
    if (bytes.empty()) return;
    const auto body = bytes.subspan(1);
    const auto complain = [&](const mesh::wire::DecodeError& error) {
        spdlog::warn("device {} sent a malformed message: {}", from.hex().substr(0, 8), error.what);
    };
    switch (static_cast<Channel>(bytes[0])) {
        case Channel::plan: {
            auto frame = mesh::wire::decode_plan(body);
            return frame ? on_plan_message(from, std::move(*frame)) : complain(frame.error());
        }
        case Channel::request: {
            auto frame = mesh::wire::decode_request(body);
            return frame ? router_.on_request(from, std::move(*frame)) : complain(frame.error());
        }
        case Channel::event: {
            const auto frame = mesh::wire::decode_event(body);
            return frame ? router_.on_event(from, *frame) : complain(frame.error());
        }
    }
    complain({mesh::wire::DecodeError::Reason::unknown_type, "unknown channel"});
}

void Daemon::on_plan_message(const mesh::DeviceId& from, mesh::wire::PlanFrame frame) {
    using namespace mesh::wire;
    struct Visitor {
        Daemon& d;
        const mesh::DeviceId& from;
        std::uint64_t id;
        void operator()(PlanOffer& m) { d.member_.on_offer(from, std::move(m), d.node_->term()); }
        void operator()(PlanStart& m) { d.member_.on_start(from, m); }
        void operator()(PlanProgress& m) { d.root_.on_progress(from, m); }
        void operator()(PlanLoaded& m) { d.root_.on_loaded(from, m); }
        void operator()(PlanEnd& m) {
            // From the root it ends our part, from a member the whole plan.
            d.member_.on_end(from, m);
            d.root_.on_plan_end(from, m);
        }
        void operator()(PieceRequest& m) { d.models_.on_piece_request(from, id, m); }
        void operator()(PieceReply& m) { d.models_.on_piece_reply(from, id, std::move(m)); }
        void operator()(Announcement&) {}
    };
    std::visit(Visitor{*this, from, frame.id}, frame.body);
}

bool Daemon::send_plan(const mesh::DeviceId& to, const mesh::wire::PlanFrame& frame) {
    if (to == identity_.id) {
        loop_.post([this, frame] { on_plan_message(identity_.id, frame); });
        return true;
    }
    return send(to, with_channel(Channel::plan, mesh::wire::encode(frame)));
}

bool Daemon::send_request(const mesh::DeviceId& to, const mesh::wire::RequestFrame& frame) {
    return send(to, with_channel(Channel::request, mesh::wire::encode(frame)));
}

bool Daemon::send_event(const mesh::DeviceId& to, const mesh::wire::EventFrame& frame) {
    return send(to, with_channel(Channel::event, mesh::wire::encode(frame)));
}

bool Daemon::is_member(const mesh::DeviceId& id) const {
    const auto all = members();
    return std::any_of(all.begin(), all.end(), [&](const mesh::Member& m) { return m.id == id; });
}

// What the mesh has no room for waits; false when the device is none of ours, or far behind.
bool Daemon::send(const mesh::DeviceId& to, std::vector<std::byte> message) {
    return is_member(to) && outbox_.send(to, std::move(message));
}

std::vector<mesh::Member> Daemon::members() const {
    return node_->members();
}

// Those that acknowledged our term: only they take an offer of ours.
std::vector<mesh::Member> Daemon::followers() const {
    std::vector<mesh::Member> out = members();
    std::erase_if(out, [&](const mesh::Member& m) {
        return m.id != identity_.id && m.term != node_->term();
    });
    return out;
}

std::vector<mesh::DeviceId> Daemon::holders(const mesh::ModelHash& hash) const {
    std::vector<mesh::DeviceId> out;
    for (const mesh::Member& m : members()) {
        if (m.id == identity_.id) continue;
        const mesh::wire::Announcement announcement = announcement_of(m);
        for (const auto& model : announcement.models) {
            if (model.hash == hash.bytes) out.push_back(m.id);
        }
    }
    return out;
}

mesh::wire::ModelsReply Daemon::models() const {
    const auto& offer = member_.offer();
    return cluster_models(members(), offer ? &*offer : nullptr);
}

mesh::wire::StatusReply Daemon::status() const {
    StatusParts parts;
    parts.version = version();
    parts.cluster = key_.fingerprint();
    parts.self = identity_.id;
    parts.root = node_->root();
    parts.term = node_->term();
    parts.members = members();
    parts.offer = member_.offer() ? &*member_.offer() : nullptr;
    parts.states = &root_.devices();
    parts.speed = engine_->speed();
    parts.queued = root_.queued();
    return cluster_status(parts);
}

}  // namespace shoal
