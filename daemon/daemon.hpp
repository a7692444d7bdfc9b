// The daemon: a core with sockets, threads, files and the clock around it. Member order is start-up
// order.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "config/settings.hpp"
#include "daemon/contact/first_contact.hpp"
#include "daemon/core/core.hpp"
#include "daemon/device_facts.hpp"
#include "daemon/engine/engine_thread.hpp"
#include "daemon/http/server.hpp"
#include "daemon/links/link_thread.hpp"
#include "daemon/loop/control_loop.hpp"
#include "daemon/loop/watchdog.hpp"
#include "daemon/loop/worker.hpp"
#include "daemon/memory_budget.hpp"
#include "daemon/pieces/catalogue.hpp"
#include "daemon/pieces/model_provider.hpp"
#include "daemon/pieces/whole_file_store.hpp"
#include "daemon/requests/control_socket.hpp"
#include "daemon/requests/figures.hpp"
#include "daemon/stored_links.hpp"
#include "daemon/stored_measurement.hpp"
#include "daemon/strain.hpp"
#include "mesh/node.hpp"
#include "mesh/transport/identity_store.hpp"
#include "mesh/transport/state_lock.hpp"
#include "mesh/transport/zmq_context.hpp"

namespace shoal {

/// Whoever started the daemon. Called on the control thread.
struct Supervisor {
    /// Everything listens; and again after `reloading`.
    std::function<void()> ready;
    /// The control loop turns: called this often, if at all.
    std::function<void()> alive;
    std::chrono::microseconds alive_every{0};
    std::function<void()> reloading;
    /// Strangers may connect to this TCP port from now on, or no more.
    std::function<void(std::uint16_t port, bool open)> guard;
    /// The settings as they are now. May throw std::runtime_error.
    std::function<config::Settings()> settings;
};

/// Constructed, run and destroyed by one thread, which becomes the control thread.
class Daemon {
  public:
    /// Throws std::runtime_error (perhaps nested) when something cannot be had: state folder,
    /// cluster key, sockets.
    explicit Daemon(config::Settings settings);
    ~Daemon();

    /// Serves until stop().
    void run(const Supervisor& supervisor);
    /// Async-signal-safe.
    void stop() noexcept { loop_.stop(); }
    /// Reads the settings again, soon, and takes those that can change while it runs.
    /// Async-signal-safe.
    void reload() noexcept {
        reload_wanted_ = true;
        loop_.wake();
    }

    /// Where other devices connect: TCP ports, and how long a stranger may take to prove its key.
    struct Listener {
        std::uint16_t port;
        std::chrono::milliseconds handshake;
    };
    std::array<Listener, 3> listeners() const noexcept;

  private:
    mesh::DeviceDescription description() const;
    std::unique_ptr<mesh::DataPlane> make_data_plane();
    std::unique_ptr<Engine> make_engine();
    EngineEvents engine_events();
    mesh::Node::Callbacks mesh_events();
    ModelProvider::Links model_links();
    FirstContact::Links contact_links();
    DaemonCore::Device device();
    DeviceFigures figures() const;
    void add_sources(const Supervisor& supervisor);
    void stay_alive(const Supervisor& supervisor);
    void warn_of_setup();
    void watch_strain();
    void reload(const Supervisor& supervisor);
    void apply(const config::Settings& wanted);
    std::vector<Watchdog::Watched> watched();
    Watchdog::Reports stall_reports();

    const std::chrono::system_clock::time_point started_ = std::chrono::system_clock::now();
    // What is live of it changes, on the control thread, which alone reads that.
    config::Settings settings_;
    std::atomic<bool> reload_wanted_{false};
    const mesh::transport::StateLock state_lock_;
    const kernels::Table& kernels_;
    const Placement placement_;
    ControlLoop loop_;
    Timer stall_shown_, alive_due_, strain_due_;
    StrainWatch strain_;
    std::uint64_t steps_seen_ = 0;
    Worker worker_, texts_{"texts"}, plans_{"plans"}, measurer_{"measure"};
    StoredMeasurement measurement_;
    StoredLinks known_links_;
    const MemoryBudget memory_;  // after the first measurement, whose memory is given back
    const mesh::Identity identity_;
    Catalogue catalogue_;
    mesh::ZmqContext context_;
    std::function<void(std::uint16_t port, bool open)> guard_;  // the supervisor's, once it runs
    FirstContact contact_;
    std::unique_ptr<Engine> engine_;
    std::unique_ptr<LinkThread> links_;
    ModelProvider models_;
    WholeFileStore files_;
    std::unique_ptr<mesh::Node> node_;
    DaemonCore core_;
    std::unique_ptr<ControlSocket> control_;
    std::unique_ptr<http::HttpServer> http_;
};

/// What the log takes from now on.
void set_log_level(config::LogLevel level);

}  // namespace shoal
