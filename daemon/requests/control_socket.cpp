#include "daemon/requests/control_socket.hpp"

#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <random>
#include <stdexcept>
#include <system_error>
#include <vector>
#include <zmq.hpp>

#include "daemon/log/log.hpp"
#include "mesh/transport/zmq_context.hpp"

namespace shoal {
namespace {

using mesh::messages::CancelRequest;
using mesh::messages::EventFrame;

// Who connects and says nothing for this long is no client.
constexpr int kHandshakeMs = 2000;

// Events that may wait for a client that does not read; then its requests are cancelled.
constexpr int kSendQueue = 4096;

// Requests that wait unread, for each connection; beyond them the client waits.
constexpr int kReceiveQueue = 4;

// What one turn of poll() takes, before the mesh and the timers get theirs. ZeroMQ reads from its
// connections in turns, so one that floods does not keep the others out.
constexpr int kFramesPerTurn = 64;
constexpr std::size_t kBytesPerTurn = std::size_t{4} << 20;

// What clients may have running: each connection, and all of them together.
constexpr std::size_t kMaxRequestsPerClient = 64;
constexpr std::size_t kMaxRequests = 1024;
constexpr std::size_t kMaxBytesPerClient = 2 * mesh::messages::kMaxRequestBytes;
constexpr std::size_t kMaxBytes = 4 * mesh::messages::kMaxRequestBytes;

// Who is at the other end of the connection that brought it: ":uid:gid:pid" behind a host, by
// libzmq. Empty where it does not tell, and then one for all.
std::string user_of(zmq::message_t& frame) {
    std::string peer;
    try {
        if (const char* told = frame.gets("Peer-Address")) peer = told;
    } catch (const zmq::error_t&) {
    }
    const std::size_t begin = peer.find(':');
    return begin == peer.npos ? "" : peer.substr(begin, peer.find(':', begin + 1) - begin);
}

std::uint64_t random_salt() {
    std::random_device random;
    return std::uint64_t{random()} << 32 | random();
}

std::string reason(int error) {
    return std::generic_category().message(error);
}

// A socket file without a listener is what a daemon left that was killed. Anything else is not
// ours to remove, which binding would do.
void remove_stale(const std::string& path) {
    struct stat info {};
    if (lstat(path.c_str(), &info) != 0) return;
    if (!S_ISSOCK(info.st_mode)) {
        throw std::runtime_error("control.socket: " + path +
                                 " is there already and is no socket; give another path or "
                                 "remove it");
    }
    const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0) return;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    const bool answered =
        connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    const int error = errno;
    close(probe);
    if (answered) {
        throw std::runtime_error(path +
                                 ": another shoald has this control socket; give this one "
                                 "its own with control.socket");
    }
    if (error == ECONNREFUSED) unlink(path.c_str());
}

void prepare_folder(const std::string& path, const std::string& group) {
    const auto folder = std::filesystem::path(path).parent_path();
    std::error_code error;
    const bool made = std::filesystem::create_directories(folder, error);
    if (error) throw std::runtime_error(folder.string() + ": " + error.message());
    if (made) chmod(folder.c_str(), group.empty() ? 0700 : 0750);
    if (group.empty()) return;
    const ::group* entry = getgrnam(group.c_str());
    if (entry == nullptr) {
        throw std::runtime_error("control.group: there is no group \"" + group +
                                 "\" on this device; make it with 'addgroup --system " + group +
                                 "', or set the key to \"\"");
    }
    // A folder that was there keeps its owner: its administrator decided who may enter.
    if (made && chown(folder.c_str(), static_cast<uid_t>(-1), entry->gr_gid) != 0) {
        throw std::runtime_error(folder.string() + ": cannot be given to group " + group + ": " +
                                 reason(errno));
    }
}

// Who may connect. The socket belongs to the daemon's primary group at first, which nobody named.
void admit(const std::string& path, const std::string& group) {
    const ::group* entry = group.empty() ? nullptr : getgrnam(group.c_str());
    const bool given =
        entry != nullptr && chown(path.c_str(), static_cast<uid_t>(-1), entry->gr_gid) == 0;
    chmod(path.c_str(), given ? 0660 : 0600);
    if (given || group.empty()) return;
    log::warn(
        "control.group: {} cannot be given to group {} ({}), so its members cannot use it; "
        "make the daemon's user a member of the group",
        path, group, reason(errno));
}

}  // namespace

ControlSocket::ControlSocket(zmq::context_t& context, const std::string& path,
                             const std::string& group, http::Service& service)
    : path_(path), service_(service), salt_(random_salt()) {
    if (path.size() >= sizeof(sockaddr_un::sun_path)) {
        throw std::runtime_error("control.socket: " + path + " is too long for a socket, at most " +
                                 std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " bytes");
    }
    prepare_folder(path, group);
    remove_stale(path);
    socket_ = std::make_unique<zmq::socket_t>(context, zmq::socket_type::router);
    socket_->set(zmq::sockopt::linger, 0);
    socket_->set(zmq::sockopt::router_mandatory, true);
    socket_->set(zmq::sockopt::backlog, mesh::kBacklog);
    socket_->set(zmq::sockopt::handshake_ivl, kHandshakeMs);
    socket_->set(zmq::sockopt::sndhwm, kSendQueue);
    socket_->set(zmq::sockopt::rcvhwm, kReceiveQueue);
    socket_->set(zmq::sockopt::maxmsgsize, static_cast<int64_t>(mesh::messages::kMaxRequestBytes));
    try {
        socket_->bind("ipc://" + path);
    } catch (const zmq::error_t& e) {
        throw std::runtime_error(path + ": the control socket cannot be made: " + e.what());
    }
    admit(path, group);
}

ControlSocket::~ControlSocket() {
    *self_ = nullptr;
    unlink(path_.c_str());
}

int ControlSocket::descriptor() const {
    return socket_->get(zmq::sockopt::fd);
}

ControlLoop::Clock::time_point ControlSocket::next_deadline() const noexcept {
    return more_ ? ControlLoop::Clock::time_point() : ControlLoop::Clock::time_point::max();
}

void ControlSocket::poll() {
    std::size_t bytes = 0;
    for (int frames = 0; frames < kFramesPerTurn && bytes < kBytesPerTurn; ++frames) {
        zmq::message_t frame;
        try {
            more_ = socket_->recv(frame, zmq::recv_flags::dontwait).has_value();
        } catch (const zmq::error_t&) {
            return;  // Interrupted by a signal; the next turn goes on.
        }
        if (!more_) return;
        bytes += frame.size();
        // The first frame of a message says from whom it came, the last one is the request.
        const bool is_last = !frame.more();
        if (!client_) {
            client_ = frame.to_string();
        } else if (is_last) {
            take(*client_, user_of(frame), frame.data(), frame.size());
        }
        if (is_last) client_.reset();
    }
}

std::string ControlSocket::too_much(const Key& key, std::size_t size) const {
    if (tickets_.contains(key)) return "the request's number is in use on this connection";
    std::size_t running = 0, bytes = size;
    for (auto it = tickets_.lower_bound({key.first, 0});
         it != tickets_.end() && it->first.first == key.first; ++it) {
        ++running;
        bytes += it->second.bytes;
    }
    if (running >= kMaxRequestsPerClient || bytes > kMaxBytesPerClient) {
        return "too many requests run on this connection; wait until one is over";
    }
    if (tickets_.size() >= kMaxRequests || bytes_ + size > kMaxBytes) {
        return "too many requests of other clients run on this device; try again later";
    }
    return "";
}

void ControlSocket::take(const Client& client, const std::string& user, const void* data,
                         std::size_t size) {
    auto frame = mesh::messages::decode_request({static_cast<const std::byte*>(data), size});
    if (!frame) {
        complaints_.warn("control socket: malformed request: " + frame.error().what);
        const mesh::messages::Failed failed{mesh::messages::ErrorCode::bad_request,
                                            "malformed request (" + frame.error().what +
                                                "); is this shoal of the daemon's version?"};
        return send(client, {0, failed});
    }
    if (const auto* cancel = std::get_if<CancelRequest>(&frame->body)) {
        const auto it = tickets_.find({client, cancel->request});
        if (it != tickets_.end()) service_.cancel(it->second.ticket);
        return;
    }
    const Key key{client, frame->id};
    if (const std::string why = too_much(key, size); !why.empty()) {
        return send(client, {frame->id,
                             mesh::messages::Failed{mesh::messages::ErrorCode::bad_request, why}});
    }
    if (auto* generate = std::get_if<mesh::messages::Generate>(&frame->body)) {
        generate->client = (salt_ ^ std::hash<std::string>()(user)) | 1;
    }
    const auto ticket = service_.start(std::move(frame->body), mesh::messages::Door::control,
                                       [self = self_, key](const mesh::messages::Event& event) {
                                           // The service calls from the control thread, which owns
                                           // this object.
                                           if (*self == nullptr) return;
                                           (*self)->send(key.first, {key.second, event});
                                           if (mesh::messages::is_final(event) && *self != nullptr)
                                               (*self)->forget(key);
                                       });
    tickets_[key] = {ticket, size};
    bytes_ += size;
}

void ControlSocket::forget(const Key& key) {
    const auto it = tickets_.find(key);
    if (it == tickets_.end()) return;
    bytes_ -= it->second.bytes;
    tickets_.erase(it);
}

void ControlSocket::send(const Client& client, const EventFrame& frame) {
    const std::vector<std::byte> bytes = mesh::messages::encode(frame);
    try {
        const auto flags = zmq::send_flags::dontwait | zmq::send_flags::sndmore;
        if (!socket_->send(zmq::buffer(client), flags)) return drop(client);
        static_cast<void>(
            socket_->send(zmq::buffer(bytes.data(), bytes.size()), zmq::send_flags::dontwait));
    } catch (const zmq::error_t& e) {
        // EHOSTUNREACH: the client is gone.
        drop(client);
    }
}

// A client that is gone, or does not read, wants nothing more.
void ControlSocket::drop(const Client& client) {
    for (auto it = tickets_.lower_bound({client, 0});
         it != tickets_.end() && it->first.first == client; ++it) {
        service_.cancel(it->second.ticket);
    }
}

}  // namespace shoal
