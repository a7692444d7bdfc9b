#include "daemon/control_socket.hpp"

#include <grp.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <vector>
#include <zmq.hpp>

namespace shoal {
namespace {

using mesh::wire::CancelRequest;
using mesh::wire::EventFrame;

// Events that may wait for a client that does not read; then its requests are cancelled.
constexpr int kSendQueue = 4096;

// Requests that one connection may have running.
constexpr std::size_t kMaxRequestsPerClient = 64;

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
    if (made) chmod(folder.c_str(), 0750);
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

}  // namespace

ControlSocket::ControlSocket(zmq::context_t& context, const std::string& path,
                             const std::string& group, ControlLoop& loop, http::Service& service)
    : path_(path), loop_(loop), service_(service) {
    if (path.size() >= sizeof(sockaddr_un::sun_path)) {
        throw std::runtime_error("control.socket: " + path + " is too long for a socket, at most " +
                                 std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " bytes");
    }
    prepare_folder(path, group);
    remove_stale(path);
    socket_ = std::make_unique<zmq::socket_t>(context, zmq::socket_type::router);
    socket_->set(zmq::sockopt::linger, 0);
    socket_->set(zmq::sockopt::router_mandatory, true);
    socket_->set(zmq::sockopt::sndhwm, kSendQueue);
    socket_->set(zmq::sockopt::maxmsgsize, static_cast<int64_t>(mesh::wire::kMaxRequestBytes));
    try {
        socket_->bind("ipc://" + path);
    } catch (const zmq::error_t& e) {
        throw std::runtime_error(path + ": the control socket cannot be made: " + e.what());
    }
    chmod(path.c_str(), 0660);
    if (const ::group* entry = group.empty() ? nullptr : getgrnam(group.c_str())) {
        // The daemon may not be a member of the group; the folder's group then decides alone.
        [[maybe_unused]] const int result =
            chown(path.c_str(), static_cast<uid_t>(-1), entry->gr_gid);
    }
}

ControlSocket::~ControlSocket() {
    *self_ = nullptr;
    unlink(path_.c_str());
}

int ControlSocket::descriptor() const {
    return socket_->get(zmq::sockopt::fd);
}

void ControlSocket::poll() {
    for (;;) {
        zmq::message_t client;
        if (!socket_->recv(client, zmq::recv_flags::dontwait)) return;
        zmq::message_t body;
        while (socket_->get(zmq::sockopt::rcvmore)) {
            static_cast<void>(socket_->recv(body, zmq::recv_flags::dontwait));
        }
        take(client.to_string(), body.data(), body.size());
    }
}

void ControlSocket::take(const Client& client, const void* data, std::size_t size) {
    auto frame = mesh::wire::decode_request({static_cast<const std::byte*>(data), size});
    if (!frame) {
        spdlog::warn("control socket: malformed request: {}", frame.error().what);
        const mesh::wire::Failed failed{mesh::wire::ErrorCode::bad_request,
                                        "malformed request (" + frame.error().what +
                                            "); is this shoal of the daemon's version?"};
        return send(client, {0, failed});
    }
    if (const auto* cancel = std::get_if<CancelRequest>(&frame->body)) {
        const auto it = tickets_.find({client, cancel->request});
        if (it != tickets_.end()) service_.cancel(it->second);
        return;
    }
    const Key key{client, frame->id};
    const auto first = tickets_.lower_bound({client, 0});
    std::size_t running = 0;
    for (auto it = first; it != tickets_.end() && it->first.first == client; ++it) ++running;
    if (tickets_.contains(key) || running >= kMaxRequestsPerClient) {
        return send(client, {frame->id, mesh::wire::Failed{mesh::wire::ErrorCode::bad_request,
                                                           "too many requests on one connection, "
                                                           "or a number used twice"}});
    }
    const auto ticket = service_.start(std::move(frame->body), mesh::wire::Door::control,
                                       [self = self_, key](const mesh::wire::Event& event) {
                                           // The service calls from the control thread, which owns
                                           // this object.
                                           if (*self == nullptr) return;
                                           (*self)->send(key.first, {key.second, event});
                                           if (mesh::wire::is_final(event) && *self != nullptr)
                                               (*self)->tickets_.erase(key);
                                       });
    tickets_[key] = ticket;
}

void ControlSocket::send(const Client& client, const EventFrame& frame) {
    const std::vector<std::byte> bytes = mesh::wire::encode(frame);
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
        service_.cancel(it->second);
    }
}

}  // namespace shoal
