#include "cli/client.hpp"

#include <fmt/format.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <zmq.hpp>

#include "cli/exit_codes.hpp"
#include "cli/terminal.hpp"
#include "mesh/transport/socket_monitor.hpp"

namespace shoal::cli {
namespace messages = mesh::messages;
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

/// How long a cancelled request's final event is waited for.
constexpr auto kCancelWait = 2s;
/// A peer that is no ZeroMQ socket is given up after this.
constexpr auto kHandshakeTimeout = 3s;
/// Tokens wait here while standard output is slow; beyond it ZeroMQ would drop them.
constexpr int kReceiveQueue = 1'000'000;
/// Our requests are numbered from 1.
constexpr std::uint64_t kNoRequest = 0;
constexpr const char* kMonitor = "inproc://monitor";

[[noreturn]] void unreachable(const std::string& text) {
    throw Error(kUnreachable, text);
}

std::string group_of(const std::string& path) {
    struct stat status {};
    // The folder is what keeps others out.
    const std::string folder = path.substr(0, path.rfind('/') + 1);
    if (stat(path.c_str(), &status) != 0 && stat(folder.c_str(), &status) != 0) return "shoal";
    const group* entry = getgrgid(status.st_gid);
    return entry == nullptr || status.st_gid == 0 ? "shoal" : entry->gr_name;
}

/// ZeroMQ connects in the background and keeps silent about failures, so the socket is tried
/// first as what it is.
void try_socket(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) {
        throw Error(kUsage, fmt::format("the socket's path \"{}\" has {} bytes; 1..{} are allowed",
                                        one_line(path), path.size(), sizeof address.sun_path - 1));
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) unreachable(fmt::format("no socket to be had: {}", std::strerror(errno)));
    const int result = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const int error = result == 0 ? 0 : errno;
    close(fd);
    constexpr const char* kStart =
        "Start it with `sudo systemctl start shoald`, or one of your own with `shoald --config "
        "FILE`; `shoal logs` says why one ended; another socket is chosen by --socket or "
        "SHOAL_SOCKET.";
    switch (error) {
        case 0:
            return;
        case ENOENT:
            unreachable(fmt::format("the daemon is not running: there is no socket {}.\n{}",
                                    one_line(path), kStart));
        case ECONNREFUSED:
            unreachable(fmt::format("the daemon is not running: nobody answers on {}.\n{}",
                                    one_line(path), kStart));
        case EACCES:
        case EPERM: {
            const std::string group = group_of(path);
            unreachable(fmt::format(
                "you may not use {}: only members of group {} can.\nJoin it with `sudo usermod "
                "-aG {} $USER` and log in again.",
                one_line(path), group, group));
        }
        default:
            unreachable(
                fmt::format("cannot use the socket {}: {}.", one_line(path), std::strerror(error)));
    }
}

}  // namespace

struct Client::Sockets {
    zmq::context_t context{1};
    zmq::socket_t dealer{context, zmq::socket_type::dealer};
    mesh::transport::SocketMonitor monitor;  // last: it ends before what it watches
};

Client::Client(const std::string& socket, std::chrono::milliseconds patience, Signals& signals,
               Output& output)
    : socket_(socket), patience_(patience), signals_(signals), output_(output) {
    try_socket(socket);
    try {
        sockets_ = std::make_unique<Sockets>();
        zmq::socket_t& dealer = sockets_->dealer;
        dealer.set(zmq::sockopt::linger, 0);
        dealer.set(zmq::sockopt::rcvhwm, kReceiveQueue);
        dealer.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(messages::kMaxRequestBytes));
        // A daemon that has gone does not know our request when it comes back.
        dealer.set(zmq::sockopt::reconnect_ivl, -1);
        dealer.set(zmq::sockopt::handshake_ivl,
                   static_cast<int>(std::chrono::milliseconds(kHandshakeTimeout).count()));
        const int events = ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED |
                           ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                           ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL;
        sockets_->monitor =
            mesh::transport::SocketMonitor(sockets_->context, dealer, kMonitor, events);
        dealer.connect("ipc://" + socket);
    } catch (const zmq::error_t& error) {
        unreachable(fmt::format("cannot use the socket {}: {}.", one_line(socket), error.what()));
    }
    last_heard_ = Clock::now();
}

Client::~Client() = default;

std::uint64_t Client::send(const messages::Request& request) {
    const std::uint64_t id = next_id_++;
    const auto bytes = messages::encode(messages::RequestFrame{id, request});
    // Waiting is for the connection; the queue itself takes far more than we ever send.
    sockets_->dealer.send(zmq::buffer(bytes), zmq::send_flags::dontwait);
    return id;
}

bool Client::receive(messages::EventFrame& frame) {
    zmq::message_t message;
    while (sockets_->dealer.recv(message, zmq::recv_flags::dontwait)) {
        last_heard_ = Clock::now();
        probe_id_.reset();
        const bool whole = !message.more();
        auto decoded =
            messages::decode_event({static_cast<const std::byte*>(message.data()), message.size()});
        if (!whole || !decoded) {
            throw Error(kFailed,
                        fmt::format("the daemon sent what this client cannot read ({}); are both "
                                    "of the same version? See `shoal --version`.",
                                    whole ? one_line(decoded.error().what) : "several frames"));
        }
        frame = std::move(*decoded);
        return true;
    }
    return false;
}

bool Client::disconnected() {
    bool gone = false;
    while (sockets_->monitor.take()) gone = true;
    return gone;
}

void Client::probe() {
    if (!probe_id_) probe_id_ = send(messages::StatusRequest{});
}

Client::Wake Client::wait(Clock::time_point until, messages::EventFrame& frame) {
    for (;;) {
        // Before events: those of a quick answer would keep a signal waiting until its end.
        if (signals_.pending()) return Wake::signal;
        if (receive(frame)) return Wake::event;
        if (disconnected()) {
            // What was sent before the end is still there.
            if (receive(frame)) return Wake::event;
            unreachable(fmt::format(
                "lost the daemon on {} before it had answered: it has stopped or crashed. See "
                "its log.",
                one_line(socket_)));
        }
        const auto now = Clock::now();
        if (now >= until) return Wake::timeout;
        if (now - last_heard_ >= patience_) {
            unreachable(fmt::format(
                "the daemon on {} has been silent for {}, even to a question for its status. See "
                "its log; --patience waits longer.",
                one_line(socket_), seconds_text(std::chrono::duration<double>(patience_).count())));
        }
        if (now - last_heard_ >= patience_ / 2) probe();

        const auto next = std::min(until, last_heard_ + (probe_id_ ? patience_ : patience_ / 2));
        switch (const Wake wake = sleep(next - now)) {
            case Wake::signal:
            case Wake::output_closed:
                return wake;
            case Wake::event:
            case Wake::timeout:
                break;
        }
    }
}

Client::Wake Client::sleep(Clock::duration pause) {
    // A closed output stays readable for poll(), so it is watched only until then.
    const bool watch_output = output_.watched() >= 0 && !output_.closed();
    zmq::pollitem_t items[] = {
        {sockets_->dealer.handle(), 0, ZMQ_POLLIN, 0},
        {sockets_->monitor.socket().handle(), 0, ZMQ_POLLIN, 0},
        {nullptr, signals_.descriptor(), ZMQ_POLLIN, 0},
        {nullptr, output_.watched(), ZMQ_POLLERR, 0},
    };
    try {
        zmq::poll(items, watch_output ? 4 : 3,
                  std::max(std::chrono::ceil<std::chrono::milliseconds>(pause), 0ms));
    } catch (const zmq::error_t& error) {
        if (error.num() != EINTR) throw;
        return Wake::timeout;
    }
    if (items[2].revents != 0) return Wake::signal;
    if (watch_output && items[3].revents != 0) return Wake::output_closed;
    return Wake::event;
}

void Client::check(const messages::Request& request) {
    if (auto wrong = messages::validate(request, messages::Door::control)) {
        throw Error(kUsage, one_line(wrong->message));
    }
}

Client::Outcome Client::ask(const messages::Request& request,
                            const std::function<void(const messages::Event&)>& on_event) {
    check(request);
    last_heard_ = Clock::now();
    Outcome outcome;
    const std::uint64_t id = send(request);
    try {
        follow(id, on_event, outcome);
    } catch (const Error&) {
        // Whoever gave up anyway need not hear that the daemon went first.
        if (outcome.signal == 0 && !outcome.output_closed) throw;
    }
    return outcome;
}

void Client::follow(std::uint64_t id, const std::function<void(const messages::Event&)>& on_event,
                    Outcome& outcome) {
    auto until = Clock::time_point::max();
    const auto cancel = [&] {
        if (until != Clock::time_point::max()) return;
        send(messages::CancelRequest{id});
        until = Clock::now() + kCancelWait;
    };
    for (;;) {
        messages::EventFrame frame;
        switch (wait(until, frame)) {
            case Wake::event:
                // The daemon cannot name a request that it could not read.
                if (frame.id == kNoRequest &&
                    std::holds_alternative<messages::Failed>(frame.body)) {
                    frame.id = id;
                }
                if (frame.id != id) break;
                if (messages::is_final(frame.body)) {
                    outcome.final = std::move(frame.body);
                    return;
                }
                if (until == Clock::time_point::max()) on_event(frame.body);
                outcome.output_closed = output_.closed();
                if (outcome.output_closed) cancel();
                break;
            case Wake::signal: {
                const int number = signals_.take();
                if (number == 0) break;
                if (outcome.signal != 0) return;  // Asked twice: at once.
                outcome.signal = number;
                cancel();
                break;
            }
            case Wake::output_closed:
                output_.mark_closed();
                outcome.output_closed = true;
                cancel();
                break;
            case Wake::timeout:
                return;
        }
    }
}

}  // namespace shoal::cli
