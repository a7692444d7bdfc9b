#include "daemon/daemon.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <utility>
#include <zmq.hpp>

#include "daemon/log/log.hpp"
#include "daemon/setup_check.hpp"
#include "daemon/version.hpp"
#include "mesh/discovery/interfaces.hpp"
#include "mesh/exchange/data_plane.hpp"

namespace shoal {
namespace {

http::HttpOptions http_options(const config::HttpSettings& s) {
    http::HttpOptions options;
    options.listen = s.listen;
    options.port = s.port;
    options.api_key = s.api_key;
    options.allowed_hosts = s.allowed_hosts;
    options.allowed_origins = s.allowed_origins;
    options.max_connections = s.max_connections;
    options.client_requests = s.client_requests;
    options.max_body_bytes = s.max_body_bytes;
    options.header_timeout = s.header_timeout;
    options.idle_timeout = s.idle_timeout;
    return options;
}

// By which others know this device; empty when the system does not tell.
std::string address_of(const config::ClusterSettings& s) {
    if (!mesh::discovery::is_every_address(s.bind)) return s.bind;
    try {
        return mesh::discovery::network_address(mesh::discovery::list_interfaces(), s.interfaces);
    } catch (const std::runtime_error&) {
        return {};
    }
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
      state_lock_(settings_.device.state_dir),
      kernels_(choose_kernels(settings_.device.cpu)),
      placement_(place_threads(settings_.device.threads)),
      measurement_(loop_, measurer_, kernels_, placement_, settings_.device.state_dir,
                   settings_.device.speed_bytes),
      known_links_(worker_, settings_.device.state_dir),
      memory_(settings_.device.memory_limit_bytes),
      identity_(mesh::load_or_create_identity(settings_.device.state_dir)),
      catalogue_(settings_.device.state_dir, settings_.models.guess_pretokenizer
                                                 ? model::Tokenizer::UnknownPre::guess
                                                 : model::Tokenizer::UnknownPre::refuse),
      context_(identity_),
      contact_(loop_, context_, settings_, host_name(), contact_links()),
      engine_(make_engine()),
      links_(std::make_unique<LinkThread>(loop_, [this] { return make_data_plane(); })),
      models_(loop_, worker_, catalogue_,
              std::filesystem::path(settings_.device.state_dir) / "pieces", model_links()),
      files_(loop_, catalogue_,
             [this] {
                 const auto& folders = settings_.models.directories;
                 return folders.empty() ? std::string() : folders.front();
             }),
      node_(mesh::Node::start(context_, identity_, contact_.key(), node_config(settings_),
                              description(), mesh_events())),
      core_({loop_, *node_, *engine_, models_, texts_, plans_, &measurement_, links_.get(),
             &contact_, &files_},
            device(), {settings_.models, settings_.plan, {}, {}}),
      control_(std::make_unique<ControlSocket>(context_.zmq(), settings_.control.socket,
                                               settings_.control.group, core_.service())) {
    if (settings_.http.enabled) {
        http_ = std::make_unique<http::HttpServer>(http_options(settings_.http), core_.service(),
                                                   [this] { return figures(); });
    }
}

Daemon::~Daemon() {
    // Whoever calls from other threads first.
    http_.reset();
    catalogue_.stop();
    worker_.stop();
    texts_.stop();
    plans_.stop();
    measurer_.stop();
    engine_.reset();
    links_.reset();
    control_.reset();
    node_->leave();
}

void Daemon::run(const Supervisor& supervisor) {
    add_sources(supervisor);
    log::info("shoald {}: device {} ({}, {} threads), cluster {}, control socket {}", version(),
              identity_.id.hex().substr(0, 8), kernels_.name, placement_.threads,
              contact_.key().fingerprint(), settings_.control.socket);
    if (settings_.cluster.encrypt != config::Encrypt::data) {
        log::warn(
            "activations travel in clear (cluster.encrypt): whoever reaches port {} can "
            "read and disturb them",
            engine_->data_port());
    }
    if (http_) log::info("HTTP on {}:{}", settings_.http.listen, http_->port());
    warn_of_setup();
    models_.watch(settings_.models.directories);
    files_.look();
    guard_ = supervisor.guard;
    contact_.start();
    core_.start();
    watch_strain();
    supervisor.ready();
    if (supervisor.alive_every.count() != 0) stay_alive(supervisor);
    const Watchdog watchdog(watched(), stall_reports());
    loop_.run();
}

void Daemon::warn_of_setup() {
    for (mesh::messages::Warning warning : check_setup(settings_)) {
        warning.device = identity_.id.hex();
        core_.warnings().raise(std::move(warning));
    }
}

std::array<Daemon::Listener, 3> Daemon::listeners() const noexcept {
    return {{{node_->port(), mesh::kHandshakeTimeout},
             {engine_->data_port(), mesh::kDataHandshakeTimeout},
             {links_->port(), mesh::kDataHandshakeTimeout}}};
}

void Daemon::add_sources(const Supervisor& supervisor) {
    loop_.add({[this] { return node_->descriptors(); }, [this] { return node_->next_deadline(); },
               [this] { node_->poll(); }, "the mesh"});
    loop_.add({[this] { return contact_.descriptors(); },
               [this] { return contact_.next_deadline(); }, [this] { contact_.poll(); },
               "invitations"});
    loop_.add({[this] { return std::vector<int>{control_->descriptor()}; },
               [this] { return control_->next_deadline(); }, [this] { control_->poll(); },
               "the control socket"});
    loop_.add({[this] { return std::vector<int>{models_.descriptor()}; },
               [] { return ControlLoop::Clock::time_point::max(); }, [this] { models_.hear(); },
               "folders of models"});
    // reload() wakes the loop.
    loop_.add({[] { return std::vector<int>{}; },
               [] { return ControlLoop::Clock::time_point::max(); },
               [this, &supervisor] {
                   if (reload_wanted_.exchange(false)) reload(supervisor);
               },
               "its settings"});
}

// A loop that hangs has nothing to say.
void Daemon::stay_alive(const Supervisor& supervisor) {
    supervisor.alive();
    alive_due_ = loop_.after(
        supervisor.alive_every, [this, &supervisor] { stay_alive(supervisor); }, "being alive");
}

mesh::DeviceDescription Daemon::description() const {
    mesh::DeviceDescription d;
    const Memory memory = memory_.read();
    d.name = contact_.name();
    d.memory_total = memory.total;
    d.memory_available =
        static_cast<std::uint64_t>(static_cast<double>(memory.available) * strain_.memory_part());
    d.threads = placement_.threads;
    d.cpu = kernels_.name;
    d.version = version();
    d.priority = settings_.device.priority;
    d.speed = measurement_.speed();
    d.data_endpoint = "tcp://*:" + std::to_string(engine_->data_port());
    return d;
}

DaemonCore::Device Daemon::device() {
    return {contact_.key().fingerprint(),
            [this] { return description(); },
            [this] { return address_of(settings_.cluster); },
            utc_now,
            known_links_.read(),
            [this](const KnownLinks& links) { known_links_.write(links); }};
}

std::unique_ptr<Engine> Daemon::make_engine() {
    EngineThread::Options options;
    options.threads = placement_.threads;
    options.cpus = placement_.allowed;
    options.parallel = settings_.models.parallel;
    options.max_prompt_tokens = settings_.models.max_prompt_tokens;
    options.files.folder = settings_.models.cache_dir;
    options.files.bytes = settings_.models.cache_bytes;
    options.version = version();
    return std::make_unique<EngineThread>(
        kernels_, options, [this] { return make_data_plane(); }, engine_events());
}

// For plans, and beside it for measuring links.
std::unique_ptr<mesh::DataPlane> Daemon::make_data_plane() {
    mesh::DataPlaneOptions data;
    data.bind = settings_.cluster.bind;
    data.encrypt = settings_.cluster.encrypt == config::Encrypt::data;
    if (settings_.cluster.data_transport == config::DataTransport::libzmq) {
        data.transport = mesh::DataTransport::libzmq;
    }
    return std::make_unique<mesh::DataPlane>(context_, data);
}

// The engine's thread hands over to the control thread.
EngineEvents Daemon::engine_events() {
    EngineEvents events;
    events.loading = [this](mesh::PlanId plan, std::uint64_t done, std::uint64_t total) {
        loop_.post([this, plan, done, total] { core_.on_loading(plan, done, total); });
    };
    events.loaded = [this](mesh::PlanId plan, const HeldBytes& held) {
        loop_.post([this, plan, held] { core_.on_loaded(plan, held); });
    };
    events.started = [this](mesh::PlanId plan) {
        loop_.post([this, plan] { core_.on_started(plan); });
    };
    events.parked = [this](mesh::PlanId plan) {
        loop_.post([this, plan] { core_.on_parked(plan); });
    };
    events.ended = [this](mesh::PlanId plan, PlanOutcome outcome) {
        loop_.post([this, plan, outcome = std::move(outcome)] { core_.on_ended(plan, outcome); });
    };
    events.event = [this](JobId job, const mesh::messages::Event& event) {
        loop_.post([this, job, event] { core_.on_job_event(job, event); });
    };
    return events;
}

mesh::Node::Callbacks Daemon::mesh_events() {
    mesh::Node::Callbacks events;
    events.joined = [this](const mesh::Member& m) { core_.on_joined(m); };
    events.updated = [this](const mesh::Member& m) { core_.on_updated(m); };
    events.lost = [this](const mesh::DeviceId& id) { core_.on_lost(id); };
    events.root_changed = [this](const std::optional<mesh::DeviceId>& root, mesh::Term term) {
        core_.on_root_changed(root, term);
    };
    events.message = [this](const mesh::DeviceId& from, std::span<const std::byte> bytes) {
        core_.on_message(from, bytes);
    };
    return events;
}

ModelProvider::Links Daemon::model_links() {
    ModelProvider::Links links;
    links.self = identity_.id;
    links.send = [this](const mesh::DeviceId& to, const mesh::messages::PlanFrame& frame) {
        return core_.send(to, frame);
    };
    links.holders = [this](const mesh::ModelHash& hash) { return core_.holders(hash); };
    links.warn = [this](mesh::messages::Warning warning) {
        core_.warnings().raise(std::move(warning));
    };
    links.unwarn = [this](const std::string& name) {
        core_.warnings().clear(name, identity_.id.hex());
    };
    links.catalogue_changed = [this] { core_.describe(); };
    // As much again is needed to load what was fetched.
    links.spare_memory = [] { return read_memory().available / 2; };
    return links;
}

FirstContact::Links Daemon::contact_links() {
    FirstContact::Links links;
    links.node = [this]() -> mesh::Node& { return *node_; };
    links.send = [this](const mesh::DeviceId& to, std::vector<std::byte> frame) {
        return core_.send_about_devices(to, std::move(frame));
    };
    links.entered = [this](std::string fingerprint) { core_.set_cluster(std::move(fingerprint)); };
    links.renamed = [this] { core_.describe(); };
    links.guard = [this](std::uint16_t port, bool open) {
        if (guard_) guard_(port, open);
    };
    links.warn = [this](mesh::messages::Warning warning) {
        warning.device = identity_.id.hex();
        core_.warnings().raise(std::move(warning));
    };
    links.unwarn = [this](const std::string& name) {
        core_.warnings().clear(name, identity_.id.hex());
    };
    return links;
}

}  // namespace shoal
