#include "daemon/contact/first_contact.hpp"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "daemon/contact/boot_key.hpp"
#include "daemon/log/log.hpp"
#include "mesh/disk/whole_file.hpp"
#include "mesh/transport/identity_store.hpp"
#include "mesh/transport/zmq_context.hpp"

namespace shoal {

using mesh::messages::ErrorCode;
using mesh::messages::Failed;
using mesh::messages::KeyRing;

namespace {

constexpr mode_t kBookMode = 0640;
/// Who is there is stored so often.
constexpr auto kNoted = std::chrono::minutes(30);
constexpr const char* kKeyWarning = "key-not-stored";

std::uint64_t unix_now() {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(
                                          std::chrono::system_clock::now().time_since_epoch())
                                          .count());
}

DeviceBook stored_book(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::string text(DeviceBook::kMaxTextBytes, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(file.gcount()));
    return DeviceBook::parse(text);
}

}  // namespace

FirstContact::FirstContact(Loop& loop, mesh::ZmqContext& context, const config::Settings& settings,
                           const std::string& host, Links links)
    : loop_(loop),
      self_(context.identity().id),
      state_dir_(settings.device.state_dir),
      key_path_(config::cluster_key_file(settings)),
      bind_(settings.cluster.bind),
      interfaces_(settings.cluster.interfaces),
      may_make_key_(settings.cluster.key_file.empty()),
      links_(std::move(links)),
      name_(state_dir_, settings.device.name, host),
      book_(stored_book(state_dir_ / "devices")),
      host_(context, host_links()),
      guest_(loop, context, guest_links()) {
    load_keys(settings.cluster.boot_keys);
}

FirstContact::~FirstContact() {
    save_book();
    writing_.stop();  // It may have dropped the last.
    write_book(book_.text());
}

void FirstContact::load_keys(const std::vector<std::string>& boot_keys) {
    bool made = false;
    if (may_make_key_) {
        take_boot_key(boot_keys, key_path_);
        static_cast<void>(mesh::load_or_make_cluster_key(key_path_, made));
    }
    if (made) {
        log::info(
            "made a cluster key, {}: this device is a cluster of its own; shoal invite lets others "
            "in, and shoal join takes it to another cluster",
            key_path_.string());
    }
    for (const mesh::ClusterKey& key : mesh::load_cluster_keys(key_path_)) {
        ring_.keys.push_back(key.secret);
    }
    // Somebody put another cluster's key there; what was known is of the old one.
    const std::vector<mesh::ClusterKey> keys = keys_of(ring_);
    const bool is_ours = std::ranges::any_of(keys, [this](const mesh::ClusterKey& key) {
        return book_.cluster.empty() || key.fingerprint() == book_.cluster;
    });
    if (!is_ours) book_ = {};
    if (book_.since == 0) book_.since = unix_now();
    ring_.rotation = book_.rotation;
    ring_.marks = book_.marks;
}

void FirstContact::start() {
    links_.node().set_keys(keys_of(ring_),
                           [this](const mesh::PublicKey& key) { return book_.knows(key); });
    links_.node().refuse(forgotten(ring_));
    note_present();
}

// So that what is known of a device that goes while this one is off is not old.
void FirstContact::note_present() {
    for (const mesh::Member& member : links_.node().members()) book_.seen(member.id, unix_now());
    save_book();
    noting_ = loop_.after(
        kNoted, [this] { note_present(); }, "who is there");
}

Host::Links FirstContact::host_links() {
    Host::Links links;
    links.name = [this] { return name(); };
    links.bind = bind_;
    links.key = [this] { return key(); };
    links.addresses = [this] { return addresses(); };
    links.admitted = [this](const mesh::DeviceId& id) {
        // Its keys stay, so nothing is written that may fail.
        if (KeyRing ring = readmitting(ring_, id); ring != ring_) adopt(std::move(ring));
    };
    links.guard = links_.guard;
    links.warn = links_.warn;
    links.unwarn = links_.unwarn;
    return links;
}

Guest::Links FirstContact::guest_links() {
    Guest::Links links;
    links.name = [this] { return name(); };
    links.enter = [this](const mesh::ClusterKey& key) { enter(key); };
    links.key = [this] { return key(); };
    links.sees = [this](const mesh::DeviceId& id) { return is_member(id); };
    links.cluster = [this] { return cluster(); };
    return links;
}

void FirstContact::ask(const mesh::messages::Request& request, Told told) {
    using namespace mesh::messages;
    if (std::holds_alternative<InviteRequest>(request)) return host_.invite(told);
    if (const auto* join = std::get_if<JoinRequest>(&request)) {
        return guest_.join(join->invitation, std::move(told));
    }
    if (std::holds_alternative<LeaveRequest>(request)) return leave(told);
    if (const auto* r = std::get_if<RenameRequest>(&request)) return rename(*r, std::move(told));
    if (const auto* f = std::get_if<ForgetRequest>(&request)) return forget(*f, told);
    told(devices());
}

void FirstContact::enter(const mesh::ClusterKey& key) {
    mesh::replace_cluster_keys(std::vector{key}, key_path_);
    ring_ = {0, {key.secret}, {}};
    book_ = {};
    book_.since = unix_now();
    host_.close();
    links_.node().enter(key);
    links_.entered(key.fingerprint());
    save_book();
}

void FirstContact::leave(const Told& told) {
    try {
        enter(mesh::generate_cluster_key());
    } catch (const std::runtime_error& error) {
        return told(Failed{ErrorCode::internal, error.what()});
    }
    log::info("left the cluster; this device is one of its own now, {}", key().fingerprint());
    told(cluster());
}

void FirstContact::forget(const mesh::messages::ForgetRequest& request, const Told& told) {
    std::string why;
    const auto id = find(request.device, why);
    if (!id) return told(Failed{ErrorCode::not_found, why});
    if (*id == self_) {
        return told(Failed{ErrorCode::bad_request,
                           "this is the device that you ask; it leaves its cluster with shoal "
                           "leave, or is forgotten by another one"});
    }
    try {
        adopt(without(ring_, *id, mesh::generate_cluster_key()));
    } catch (const std::runtime_error& error) {
        return told(Failed{ErrorCode::internal, error.what()});
    }
    log::info("device {} was forgotten; the cluster has another key, {}", id->hex().substr(0, 8),
              key().fingerprint());
    told(devices());
}

void FirstContact::adopt(KeyRing ring) {
    const std::vector<mesh::ClusterKey> keys = keys_of(ring);
    if (ring.keys != ring_.keys) mesh::replace_cluster_keys(keys, key_path_);
    // Whoever was shut out may have been given a line before.
    if (ring.keys.front() != ring_.keys.front()) host_.close();
    ring_ = std::move(ring);
    for (const mesh::DeviceId& id : forgotten(ring_)) book_.forget(id);
    save_book();
    // Whoever is forgotten goes before the others hear of the key.
    links_.node().refuse(forgotten(ring_));
    links_.node().set_keys(keys,
                           [this](const mesh::PublicKey& known) { return book_.knows(known); });
    links_.entered(key().fingerprint());
    for (const mesh::Member& member : links_.node().members()) {
        if (member.id != self_) tell_ring(member.id);
    }
}

void FirstContact::tell_ring(const mesh::DeviceId& to) {
    // What cannot be sent is lost with its receiver, who hears it when he joins again.
    static_cast<void>(
        links_.send(to, mesh::messages::encode(mesh::messages::DeviceFrame{0, ring_})));
}

void FirstContact::on_joined(const mesh::Member& member) {
    if (book_.see(member, unix_now())) save_book();
    if (ring_.rotation != 0 || !ring_.marks.empty()) tell_ring(member.id);
}

void FirstContact::on_updated(const mesh::Member& member) {
    if (book_.see(member, unix_now())) save_book();
}

void FirstContact::on_lost(const mesh::DeviceId& id) {
    book_.seen(id, unix_now());
}

void FirstContact::on_message(const mesh::DeviceId& from, std::span<const std::byte> bytes) {
    using namespace mesh::messages;
    const auto frame = decode_device_frame(bytes);
    if (!frame) {
        return complaints_.warn("a message about devices from " + from.hex().substr(0, 8) +
                                " is dropped: " + frame.error().what);
    }
    if (const auto* ring = std::get_if<KeyRing>(&frame->body)) return hear(from, *ring);
    if (const auto* r = std::get_if<Rename>(&frame->body)) return hear(from, frame->id, *r);
    hear(from, frame->id, std::get<Renamed>(frame->body));
}

void FirstContact::hear(const mesh::DeviceId& from, const KeyRing& ring) {
    KeyRing together = merged(ring_, ring);
    // Nobody throws out himself: who has us forgotten does not talk with us.
    if (ring.keys.empty() || !is_plausible(ring) || together == ring_ ||
        forgotten(together).contains(self_))
        return;
    const std::string before = key().fingerprint();
    try {
        adopt(together);
        links_.unwarn(kKeyWarning);
    } catch (const std::runtime_error& error) {
        links_.warn(
            {kKeyWarning, mesh::messages::Severity::error, "",
             std::string("the cluster's key was changed, and this device cannot store the "
                         "new one: ") +
                 error.what(),
             "make room, or let the daemon write the file; until then the others know it by "
             "its old key"});
        return;
    }
    if (key().fingerprint() == before) return;
    log::info("the cluster has another key, {}, as device {} says", key().fingerprint(),
              from.hex().substr(0, 8));
}

void FirstContact::save_book() {
    book_.rotation = ring_.rotation;
    book_.marks = ring_.marks;
    book_.cluster = key().fingerprint();
    // An SD card may take seconds for it, and heartbeats wait for this thread.
    writing_.post([this, text = book_.text()] { write_book(text); });
}

void FirstContact::write_book(const std::string& text) const {
    try {
        disk::replace_file(state_dir_ / "devices", text, kBookMode);
    } catch (const std::runtime_error& error) {
        log::warn("which devices belong to the cluster is not stored: {}", error.what());
    }
}

bool FirstContact::is_member(const mesh::DeviceId& id) const {
    const auto members = links_.node().members();
    return std::ranges::find(members, id, &mesh::Member::id) != members.end();
}

mesh::messages::ClusterReply FirstContact::cluster() const {
    mesh::messages::ClusterReply reply;
    reply.cluster = key().fingerprint();
    for (const mesh::Member& member : links_.node().members()) {
        reply.devices.push_back(member.id == self_ ? name() : member.description.name);
    }
    return reply;
}

std::vector<int> FirstContact::descriptors() const {
    std::vector<int> all = host_.descriptors();
    const std::vector<int> calls = guest_.descriptors();
    all.insert(all.end(), calls.begin(), calls.end());
    return all;
}

Loop::Time FirstContact::next_deadline() const {
    return std::min(host_.next_deadline(), guest_.next_deadline());
}

void FirstContact::poll() {
    host_.poll();
    guest_.poll();
}

}  // namespace shoal
