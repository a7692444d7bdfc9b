#include "mesh/transport/zmq_context.hpp"

#include <atomic>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <stdexcept>
#include <thread>
#include <zmq.hpp>

#include "mesh/transport/identity_store.hpp"
#include "mesh/wire/hex.hpp"

namespace shoal::mesh {

namespace {

constexpr char kZapEndpoint[] = "inproc://zeromq.zap.01";
constexpr char kZapDomain[] = "shoal";
constexpr char kOpenZapDomain[] = "shoal-open";
// ZMQ_ZAP_ENFORCE_DOMAIN: libzmq 4.3 has the option, its header names it among the drafts only.
constexpr int kZapEnforceDomain = 93;
constexpr std::size_t kMaxZapFrames = 8;

/// The frames of a ZAP request, RFC 27/ZAP: version, request id, domain, address, identity,
/// mechanism, then the mechanism's credentials.
enum ZapFrame : std::size_t { kVersion, kRequestId, kDomain, kAddress, kRouting, kMechanism, kKey };

/// One request; nothing when the context ends.
std::optional<std::vector<zmq::message_t>> receive_request(zmq::socket_t& socket) {
    std::vector<zmq::message_t> frames;
    for (bool more = true; more;) {
        zmq::message_t frame;
        try {
            if (!socket.recv(frame)) return std::nullopt;
        } catch (const zmq::error_t& error) {
            if (error.num() == EINTR) continue;
            return std::nullopt;
        }
        more = frame.more();
        if (frames.size() < kMaxZapFrames) frames.push_back(std::move(frame));
    }
    return frames;
}

}  // namespace

struct ZmqContext::Impl {
    explicit Impl(const Identity& own) : identity(own), context(kIoThreads) {}

    /// What the handler thread does until the context is shut down.
    void serve(zmq::socket_t socket) {
        while (const auto request = receive_request(socket)) {
            try {
                answer(socket, *request);
            } catch (const zmq::error_t&) {
                return;  // The context ends; libzmq refuses whoever still waits.
            }
        }
    }

    void answer(zmq::socket_t& socket, const std::vector<zmq::message_t>& request) {
        std::string sender;  // empty: it may not
        if (request.size() == kKey + 1 && request[kMechanism].to_string_view() == "CURVE" &&
            request[kKey].size() == sizeof(PublicKey)) {
            PublicKey key{};
            std::copy_n(request[kKey].data<std::uint8_t>(), key.size(), key.begin());
            sender = sender_name(request[kDomain].to_string_view(), key);
        }
        const bool admitted = !sender.empty();
        if (!admitted) refused.fetch_add(1, std::memory_order_relaxed);
        const auto send = [&](std::string_view text, bool more) {
            socket.send(zmq::buffer(text), more ? zmq::send_flags::sndmore : zmq::send_flags::none);
        };
        send("1.0", true);
        send(request.size() > kRequestId ? request[kRequestId].to_string_view() : "", true);
        // 300 means a temporary failure: the client's socket goes on trying. After 400 or 500
        // libzmq would never try again, and a device discovered a moment later would stay out.
        send(admitted ? "200" : "300", true);
        send(admitted ? "OK" : "not a known device", true);
        send(sender, true);
        send("", false);
    }

    /// What messages of the holder of `key` carry as "User-Id"; empty: it may not connect.
    std::string sender_name(std::string_view domain, const PublicKey& key) const {
        if (domain == kOpenZapDomain) return wire::to_hex(key);
        const std::shared_lock lock(mutex);
        return domain == kZapDomain && allowed.contains(key) ? device_id_of(key).hex() : "";
    }

    void configure_server(zmq::socket_t& socket, int io_thread, const char* domain) const {
        configure_common(socket, io_thread);
        socket.set(zmq::sockopt::backlog, kBacklog);
        socket.set(zmq::sockopt::curve_server, true);
        socket.set(zmq::sockopt::zap_domain, domain);
        // Without this, libzmq admits every key when no handler answers for the domain.
        const int enforce = 1;
        if (zmq_setsockopt(socket.handle(), kZapEnforceDomain, &enforce, sizeof enforce) != 0) {
            throw zmq::error_t();
        }
    }

    void configure_common(zmq::socket_t& socket, int io_thread) const {
        socket.set(zmq::sockopt::affinity, std::uint64_t{1} << io_thread);
        socket.set(zmq::sockopt::linger, 0);
        socket.set(zmq::sockopt::ipv6, true);
        socket.set(zmq::sockopt::handshake_ivl, static_cast<int>(kHandshakeTimeout.count()));
        socket.set(zmq::sockopt::reconnect_ivl, static_cast<int>(kReconnectInterval.count()));
        socket.set(zmq::sockopt::reconnect_ivl_max,
                   static_cast<int>(kReconnectIntervalMax.count()));
        socket.set(zmq::sockopt::sndtimeo, static_cast<int>(kSendTimeout.count()));
        socket.set(zmq::sockopt::maxmsgsize, kMaxMessageBytes);
        socket.set(zmq::sockopt::curve_secretkey,
                   zmq::const_buffer(identity.secret_key.data(), identity.secret_key.size()));
    }

    const Identity identity;
    zmq::context_t context;
    mutable std::shared_mutex mutex;
    std::set<PublicKey> allowed;  // guarded by mutex
    std::atomic<std::uint64_t> refused{0};
    std::jthread handler;
};

ZmqContext::ZmqContext(const Identity& identity, const Options& options) {
    if (zmq_has("curve") == 0) {
        throw std::runtime_error("this libzmq was built without CURVE; install one with libsodium");
    }
    impl_ = std::make_unique<Impl>(identity);
    for (const int cpu : options.cpus) {
        impl_->context.set(zmq::ctxopt::thread_affinity_cpu_add, cpu);
    }
    // Bound here, before any server socket exists: a server without a handler would admit nobody.
    zmq::socket_t socket(impl_->context, zmq::socket_type::rep);
    socket.set(zmq::sockopt::linger, 0);
    socket.bind(kZapEndpoint);
    impl_->handler = std::jthread(
        [impl = impl_.get()](zmq::socket_t zap) {
            ::pthread_setname_np(::pthread_self(), "shoal-zap");
            impl->serve(std::move(zap));
        },
        std::move(socket));
}

ZmqContext::~ZmqContext() {
    impl_->context.shutdown();
    impl_->handler.join();
}

zmq::context_t& ZmqContext::zmq() noexcept {
    return impl_->context;
}

const Identity& ZmqContext::identity() const noexcept {
    return impl_->identity;
}

bool ZmqContext::allow(const PublicKey& key) {
    const std::unique_lock lock(impl_->mutex);
    if (impl_->allowed.size() >= kMaxAllowed && !impl_->allowed.contains(key)) return false;
    impl_->allowed.insert(key);
    return true;
}

void ZmqContext::revoke(const PublicKey& key) noexcept {
    const std::unique_lock lock(impl_->mutex);
    impl_->allowed.erase(key);
}

bool ZmqContext::is_allowed(const PublicKey& key) const noexcept {
    const std::shared_lock lock(impl_->mutex);
    return impl_->allowed.contains(key);
}

void ZmqContext::configure_server(zmq::socket_t& socket, int io_thread) const {
    impl_->configure_server(socket, io_thread, kZapDomain);
}

void ZmqContext::configure_open_server(zmq::socket_t& socket, int io_thread) const {
    impl_->configure_server(socket, io_thread, kOpenZapDomain);
}

void ZmqContext::configure_client(zmq::socket_t& socket, const PublicKey& server_key,
                                  int io_thread) const {
    impl_->configure_common(socket, io_thread);
    const Identity& own = impl_->identity;
    socket.set(zmq::sockopt::curve_publickey,
               zmq::const_buffer(own.public_key.data(), own.public_key.size()));
    socket.set(zmq::sockopt::curve_serverkey,
               zmq::const_buffer(server_key.data(), server_key.size()));
}

std::optional<DeviceId> ZmqContext::sender_of(const char* user_id) noexcept {
    return user_id == nullptr ? std::nullopt : DeviceId::from_hex(user_id);
}

std::uint64_t ZmqContext::refused() const noexcept {
    return impl_->refused.load(std::memory_order_relaxed);
}

}  // namespace shoal::mesh
