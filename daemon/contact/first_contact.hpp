// Who is in the cluster, as this device sees to it: inviting, joining, leaving, and the devices
// that belong to it, with the files that remember.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/settings.hpp"
#include "daemon/contact/device_book.hpp"
#include "daemon/contact/device_name.hpp"
#include "daemon/contact/guest.hpp"
#include "daemon/contact/host.hpp"
#include "daemon/contact/key_ring.hpp"
#include "daemon/loop/loop.hpp"
#include "daemon/loop/worker.hpp"
#include "daemon/requests/cluster_admin.hpp"
#include "daemon/requests/log_limit.hpp"
#include "mesh/node.hpp"

namespace shoal {

/// Owned by the control thread. Outlives the node.
class FirstContact final : public ClusterAdmin {
  public:
    struct Links {
        std::function<mesh::Node&()> node;
        /// To this of another device. False when it cannot be sent.
        std::function<bool(const mesh::DeviceId& to, std::vector<std::byte> frame)> send;
        /// The cluster has this fingerprint now.
        std::function<void(std::string fingerprint)> entered;
        std::function<void()> renamed;
        std::function<void(std::uint16_t port, bool open)> guard;  ///< as in Host
        std::function<void(mesh::messages::Warning)> warn;
        std::function<void(const std::string& name)> unwarn;
    };

    /// `host`: this device's name where it has no other. Throws std::runtime_error when there is no
    /// usable cluster key and none can be made.
    FirstContact(Loop& loop, mesh::ZmqContext& context, const config::Settings& settings,
                 const std::string& host, Links links);
    ~FirstContact() override;

    mesh::ClusterKey key() const { return {ring_.keys.front()}; }
    const std::string& name() const noexcept { return name_.get(); }
    /// The node is there: tells it what is remembered.
    void start();

    void ask(const mesh::messages::Request& request, Told told) override;
    void on_joined(const mesh::Member& member) override;
    void on_updated(const mesh::Member& member) override;
    void on_lost(const mesh::DeviceId& id) override;
    void on_message(const mesh::DeviceId& from, std::span<const std::byte> bytes) override;
    void stop_joining() noexcept override { guest_.stop(); }

    // As ControlLoop::Source has them.
    std::vector<int> descriptors() const;
    Loop::Time next_deadline() const;
    void poll();

  private:
    /// A device that was asked to take another name.
    struct Renaming {
        mesh::DeviceId device;
        Told told;
        Timer patience;
    };

    Host::Links host_links();
    Guest::Links guest_links();
    void load_keys(const std::vector<std::string>& boot_keys);
    void enter(const mesh::ClusterKey& key);
    void leave(const Told& told);
    void rename(const mesh::messages::RenameRequest& request, Told told);
    void forget(const mesh::messages::ForgetRequest& request, const Told& told);
    void hear(const mesh::DeviceId& from, const mesh::messages::KeyRing& ring);
    void hear(const mesh::DeviceId& from, std::uint64_t id, const mesh::messages::Rename& rename);
    void hear(const mesh::DeviceId& from, std::uint64_t id, const mesh::messages::Renamed& renamed);

    /// The ring is the cluster's: the node and the members hear of it.
    void adopt(mesh::messages::KeyRing ring);
    void tell_ring(const mesh::DeviceId& to);
    void save_book();
    void write_book(const std::string& text) const;  // any thread
    void note_present();
    /// By which others reach this device.
    std::vector<std::string> addresses() const;
    bool is_member(const mesh::DeviceId& id) const;
    /// Whom a person means; this device included.
    std::optional<mesh::DeviceId> find(const std::string& text, std::string& why) const;
    mesh::messages::ClusterReply cluster() const;
    mesh::messages::DevicesReply devices() const;

    Loop& loop_;
    const mesh::DeviceId self_;
    const std::filesystem::path state_dir_, key_path_;
    const std::string bind_;
    const std::vector<std::string> interfaces_;
    const bool may_make_key_;
    const Links links_;
    DeviceName name_;
    DeviceBook book_;
    mesh::messages::KeyRing ring_;
    std::map<std::uint64_t, Renaming> renamings_;
    std::uint64_t next_renaming_ = 1;
    Host host_;
    Guest guest_;
    LogLimit complaints_;
    Timer noting_;
    Worker writing_{"device-book"};  // last: it stops first
};

}  // namespace shoal
