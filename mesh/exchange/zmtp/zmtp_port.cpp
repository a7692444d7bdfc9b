#include "mesh/exchange/zmtp/zmtp_port.hpp"

#include <sodium.h>
#include <sys/socket.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "mesh/exchange/data_plane.hpp"
#include "mesh/exchange/frame.hpp"
#include "mesh/exchange/poll.hpp"
#include "mesh/exchange/zmtp/key_grant.hpp"
#include "mesh/exchange/zmtp/wire.hpp"

namespace shoal::mesh::exchange::zmtp {

namespace {

/// Bytes that wait for one subscriber that is no device of the plan.
constexpr std::size_t kQueueBytes = 64 << 20;
/// Of a long frame so much is encrypted before that is sent.
constexpr std::size_t kSealAtATime = 32 << 10;
/// Messages of one subscriber, or commands of one publisher, that are looked at in one turn.
constexpr int kBurst = 64;
/// A PING's time to live, and what has to be repeated in the PONG.
constexpr std::size_t kPingTtlBytes = 2, kMaxPingContext = 16;
/// Subscriptions of one connection.
constexpr std::size_t kMaxTopics = 64;

pollfd interest(const Connection& connection) noexcept {
    const bool writes = connection.writer.queued() != 0;
    return {connection.socket.descriptor(), static_cast<short>(POLLIN | (writes ? POLLOUT : 0)), 0};
}

/// False when that was no PING, or its sender does not read the answers.
bool answer_ping(Connection& connection, std::span<const std::byte> ping) {
    if (ping.size() < kPingTtlBytes || ping.size() > kPingTtlBytes + kMaxPingContext ||
        connection.writer.queued() >= kQueueFrames) {
        return false;
    }
    connection.send_command("PONG", ping.subspan(kPingTtlBytes));
    return true;
}

}  // namespace

ZmtpPort::ZmtpPort(Connector& connector, const Place& place, bool sealed, DataPlaneStats& stats,
                   std::stop_token stop)
    : connector_(connector),
      plan_(place.plan),
      rank_(place.rank),
      sealed_(sealed),
      stats_(stats),
      stop_(std::move(stop)),
      ranks_(place.devices.size()),
      key_(sealed ? generate_seal_key() : SealKey{}) {
    for (std::uint32_t r = 0; r < ranks_.size(); ++r) ranks_[r].peer = place.devices[r];
    for (std::uint32_t r = 0; r < ranks_.size(); ++r) {
        if (r == rank_) continue;
        try {
            connector_.call(r, ranks_[r].peer.endpoint, ranks_[r].peer.public_key);
        } catch (const std::invalid_argument& error) {
            connector_.stop_calling();
            throw BadEndpoint(r, error.what());
        }
    }
    take_connections();
}

ZmtpPort::~ZmtpPort() {
    connector_.stop_calling();
    for (Rank& rank : ranks_) {
        if (rank.source) connector_.close(std::move(rank.source));
    }
    // Who subscribed may want the next plan's frames, and has told so already if it was quicker.
    for (auto& subscriber : subscribers_) connector_.keep(std::move(subscriber));
    sodium_memzero(key_.data(), key_.size());
}

Frame ZmtpPort::make(std::size_t size) {
    auto frame = pool_.take(kMaxHeadBytes + size);
    frame->bytes = frame->bytes.subspan(kMaxHeadBytes);
    return frame;
}

// --- what we publish

bool ZmtpPort::is_rank(const Connection& connection) const noexcept {
    return std::any_of(ranks_.begin(), ranks_.end(),
                       [&](const Rank& rank) { return rank.subscriber == &connection; });
}

/// False when the queue to a device of the plan is full. In clear, a subscriber gets what begins
/// with one of its topics, as ZeroMQ has it; one that is no device of the plan may miss frames.
bool ZmtpPort::choose_receivers(std::uint32_t to, std::span<const std::byte> frame) {
    receivers_.clear();
    const auto wants = [&](const auto& topic) { return text_of(frame).starts_with(topic); };
    for (const auto& subscriber : subscribers_) {
        const bool of_plan = is_rank(*subscriber);
        const bool meant =
            sealed_ ? of_plan && (to == kEveryone || ranks_[to].subscriber == subscriber.get())
                    : std::ranges::any_of(subscriber->topics, wants);
        if (!meant) continue;
        const Writer& writer = subscriber->writer;
        const auto has_room = [&] {
            return writer.queued() < kQueueFrames &&
                   (of_plan || writer.queued_bytes() < kQueueBytes);
        };
        // A plan that never waits would leave it full for ever.
        if (!has_room()) flush(*subscriber);
        if (has_room()) {
            receivers_.push_back(subscriber.get());
        } else if (of_plan) {
            return false;
        }
    }
    return true;
}

bool ZmtpPort::send(std::uint32_t to, const Frame& frame) {
    if (!choose_receivers(to, frame->bytes)) return false;
    if (receivers_.empty()) return true;
    if (!sealed_) {
        const auto message = as_message(frame);
        for (Connection* receiver : receivers_) receiver->writer.push(message);
        for (Connection* receiver : receivers_) flush(*receiver);
        return true;
    }
    if (!sealer_) choose_cipher();
    const std::size_t size = frame->bytes.size() + kSealBytes;
    const Frame sealed = make(size);
    const auto message = as_message(sealed);
    const std::size_t head = message->bytes.size() - size;
    for (Connection* receiver : receivers_) receiver->writer.push(message);
    sealer_->begin(frame->bytes, sealed->bytes);
    do {
        message->ready = head + sealer_->go_on(kSealAtATime);
        for (Connection* receiver : receivers_) flush(*receiver);
    } while (message->ready < message->bytes.size());
    return true;
}

bool ZmtpPort::settled() const {
    return std::all_of(ranks_.begin(), ranks_.end(), [](const Rank& rank) {
        return rank.subscriber == nullptr || rank.subscriber->writer.queued() == 0;
    });
}

void ZmtpPort::flush(Connection& connection) {
    if (!connection.writer.flush(connection.socket.descriptor())) {
        // Reading tells the same, and that is where it is dropped.
        ::shutdown(connection.socket.descriptor(), SHUT_RDWR);
    }
}

/// The best of those that are quick for everybody. The first frame is sealed when all are there.
void ZmtpPort::choose_cipher() {
    Ciphers common = quick_ciphers();
    for (std::uint32_t r = 0; r < ranks_.size(); ++r) {
        if (r != rank_) common &= ranks_[r].quick;
    }
    sealer_.emplace(key_, best_of(common), 0);
}

std::string ZmtpPort::cipher() const {
    return name_of(sealer_ ? sealer_->cipher() : Cipher::none);
}

// --- who subscribes to us

void ZmtpPort::take_connections() {
    for (auto& connection : connector_.take()) {
        if (connection->rank) {
            const std::uint32_t from = *connection->rank;
            // Our own topic comes last: who sees it knows that the other is in place.
            for (const std::uint32_t to : {kEveryone, rank_}) {
                const auto wanted = topic(plan_, to);
                if (auto& secure = connection->introduction.secure) {
                    connection->send_command("SUBSCRIBE", secure->send.seal(wanted));
                } else if (connection->introduction.minor >= 1) {
                    connection->send_command("SUBSCRIBE", wanted);
                } else {
                    Bytes message{std::byte{1}};
                    message.insert(message.end(), wanted.begin(), wanted.end());
                    connection->send_message(message);
                }
            }
            flush(*connection);
            ranks_[from].source = std::move(connection);
            ranks_[from].quiet = false;
        } else {
            if (subscribers_.size() >= kMaxWaiting) {
                const auto oldest = std::ranges::find_if(
                    subscribers_, [&](const auto& owned) { return !is_rank(*owned); });
                if (oldest != subscribers_.end()) drop(**oldest);
            }
            Connection& subscriber = *subscribers_.emplace_back(std::move(connection));
            for (const std::string& topic : subscriber.topics) admit(subscriber, topic);
            read_subscriber(subscriber);
        }
    }
}

void ZmtpPort::read_subscriber(Connection& connection) {
    connection.unread = true;
    for (int i = 0; i < kBurst; ++i) {
        const Reader::Result what = connection.reader.next(connection.socket.descriptor());
        connection.unread = what != Reader::Result::nothing;
        if (!connection.unread) break;
        if (!on_subscriber(connection, what)) return drop(connection);
    }
    flush(connection);
}

/// False when the connection is of no use any more.
bool ZmtpPort::on_subscriber(Connection& connection, Reader::Result what) {
    if (what != Reader::Result::message && what != Reader::Result::command) return false;
    const std::span<const std::byte> body = connection.reader.body();
    auto& secure = connection.introduction.secure;
    if (what == Reader::Result::message) {
        // ZMTP 3.0 subscribes and cancels by messages; others are none of a publisher's business.
        if (secure || body.empty()) return !secure;
        std::string topic(text_of(body.subspan(1)));
        if (body[0] == std::byte{1}) return subscribe(connection, std::move(topic));
        if (body[0] == std::byte{0}) cancel(connection, topic);
        return true;
    }
    const auto command = decode_command(body);
    if (!command) return false;
    if (command->name == "PING") return answer_ping(connection, command->data);
    const bool subscribes = command->name == "SUBSCRIBE";
    if (!subscribes && command->name != "CANCEL") return true;
    if (secure) {
        if (!subscribes) return false;  // Devices say nothing else.
        const auto topic = secure->receive.open(command->data);
        return topic && subscribe(connection, std::string(text_of(*topic)));
    }
    std::string topic(text_of(command->data));
    if (subscribes) return subscribe(connection, std::move(topic));
    cancel(connection, topic);
    return true;
}

bool ZmtpPort::subscribe(Connection& connection, std::string topic) {
    if (connection.topics.size() >= kMaxTopics) return false;
    const auto [it, is_new] = connection.topics.insert(std::move(topic));
    // Once more says nothing new: nothing was lost in between.
    if (is_new) admit(connection, *it);
    return true;
}

void ZmtpPort::cancel(Connection& connection, const std::string& topic) {
    if (connection.topics.erase(topic) == 0) return;
    std::uint32_t r = kEveryone;
    if (!parse_topic(bytes_of(topic), plan_, r) || r >= ranks_.size()) return;
    if (ranks_[r].subscriber != &connection) return;
    ranks_[r].subscriber = nullptr;
    ranks_[r].connection = 0;
}

/// A device that subscribes to what is for it hears what is for everyone, too, and is there.
void ZmtpPort::admit(Connection& connection, const std::string& topic) {
    std::uint32_t r = kEveryone;
    if (!parse_topic(bytes_of(topic), plan_, r) || r >= ranks_.size() || r == rank_) return;
    Rank& rank = ranks_[r];
    if (sealed_ && connection.introduction.peer != rank.peer.id) return;
    if (rank.subscriber != nullptr && rank.subscriber != &connection) {
        // It came back before its old connection is known to be dead.
        ::shutdown(rank.subscriber->socket.descriptor(), SHUT_RDWR);
        rank.subscriber->topics.clear();
    }
    rank.subscriber = &connection;
    rank.connection = ++connections_;
    rank.quick = connection.introduction.quick;
    if (sealed_) send_key(connection);
}

void ZmtpPort::send_key(Connection& connection) {
    Bytes secret = encode(KeyGrant{key_, sealer_ ? sealer_->counter() : 0}, plan_);
    connection.send_command("KEY", connection.introduction.secure->send.seal(secret));
    sodium_memzero(secret.data(), secret.size());
    flush(connection);
}

void ZmtpPort::drop(Connection& connection) {
    for (Rank& rank : ranks_) {
        if (rank.subscriber != &connection) continue;
        rank.subscriber = nullptr;
        rank.connection = 0;
    }
    const auto it =
        std::ranges::find(subscribers_, &connection, [](const auto& owned) { return owned.get(); });
    connector_.close(std::move(*it));
    subscribers_.erase(it);
}

// --- what others publish

Frame ZmtpPort::receive(std::uint32_t from) {
    Rank& rank = ranks_[from];
    for (int i = 0; i < kBurst && !rank.quiet && rank.source; ++i) {
        Reader& reader = rank.source->reader;
        switch (reader.next(rank.source->socket.descriptor())) {
            case Reader::Result::message:
                if (!sealed_ || reader.opener() != nullptr) return reader.take();
                ++stats_.forged;
                lose_source(from);
                break;
            case Reader::Result::command:
                if (const auto command = decode_command(reader.body())) on_command(from, *command);
                break;
            case Reader::Result::nothing:
                rank.quiet = true;
                break;
            case Reader::Result::forged:
                ++stats_.forged;
                lose_source(from);
                break;
            case Reader::Result::malformed:
                ++stats_.malformed;
                lose_source(from);
                break;
            case Reader::Result::ended:
                lose_source(from);
                break;
        }
    }
    return nullptr;
}

void ZmtpPort::on_command(std::uint32_t from, const Command& command) {
    Connection& source = *ranks_[from].source;
    if (command.name == "PING") {
        if (!answer_ping(source, command.data)) return lose_source(from);
        flush(source);
    } else if (command.name == "KEY" && source.introduction.secure) {
        auto secret = source.introduction.secure->receive.open(command.data);
        auto grant = secret ? decode_key_grant(*secret, plan_) : std::nullopt;
        if (!grant) {
            ++stats_.forged;
            return lose_source(from);
        }
        source.reader.open_with(grant->key, grant->counter);
        sodium_memzero(grant->key.data(), grant->key.size());
        sodium_memzero(secret->data(), secret->size());
    }
}

void ZmtpPort::lose_source(std::uint32_t from) {
    connector_.close(std::move(ranks_[from].source));
    connector_.call_again(from);
}

// --- waiting

void ZmtpPort::look() {
    for (Rank& rank : ranks_) rank.quiet = false;
    if (connector_.has_some()) take_connections();
}

void ZmtpPort::wait(Clock::duration at_most) {
    if (connector_.has_some()) take_connections();
    descriptors_.clear();
    descriptors_.push_back({stop_.descriptor(), POLLIN, 0});
    descriptors_.push_back({connector_.descriptor(), POLLIN, 0});
    bool quiet = true;
    for (const Rank& rank : ranks_) {
        quiet = quiet && (rank.quiet || !rank.source);
        descriptors_.push_back(rank.source ? interest(*rank.source) : pollfd{-1, 0, 0});
    }
    for (const auto& subscriber : subscribers_) {
        quiet = quiet && !subscriber->unread;
        descriptors_.push_back(interest(*subscriber));
    }
    if (poll_for(descriptors_, quiet ? at_most : Clock::duration::zero()) < 0) return;
    const auto* event = descriptors_.data() + 2;
    for (Rank& rank : ranks_) {
        const short what = (event++)->revents;
        if ((what & ~POLLOUT) != 0) rank.quiet = false;
        if ((what & POLLOUT) != 0) flush(*rank.source);
    }
    // Reading may drop one.
    receivers_.clear();
    for (const auto& subscriber : subscribers_) {
        const bool ready = (event++)->revents != 0 || subscriber->unread;
        if (ready) receivers_.push_back(subscriber.get());
    }
    for (Connection* ready : receivers_) read_subscriber(*ready);
    if (descriptors_[1].revents != 0) take_connections();
}

ZmtpPortMaker::ZmtpPortMaker(const ZmqContext* security, const DataPlaneOptions& options)
    : sealed_(security != nullptr), connector_(options.bind, options.port, security) {
    if (!sealed_ || offered_ciphers() != 0) return;
    throw std::runtime_error(
        "libcrypto refuses all ciphers that activations travel in: AES-256-GCM, AES-256-OCB and "
        "ChaCha20-Poly1305. Allow one in its configuration (openssl.cnf), or set "
        "cluster.data_transport = \"libzmq\", which does without libcrypto");
}

std::unique_ptr<WaitingPort> ZmtpPortMaker::open(const Place& place, DataPlaneStats& stats,
                                                 std::stop_token stop) {
    return std::make_unique<ZmtpPort>(connector_, place, sealed_, stats, std::move(stop));
}

}  // namespace shoal::mesh::exchange::zmtp
