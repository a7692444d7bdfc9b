// The collectives: what is sent to whom, and which frames a call waits for. zmq_wait.cpp waits.
#include "mesh/exchange/zmq_exchange.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace shoal::mesh::exchange {

namespace {

/// What devices tell each other in the first collective of a plan: the number of devices, and
/// who the sender is. A device that was told another plan under the same name is found out here.
constexpr std::size_t kHelloBytes = 4 + sizeof(DeviceId::bytes);

std::array<std::byte, kHelloBytes> hello_of(std::uint32_t size, const DeviceId& id) noexcept {
    std::array<std::byte, kHelloBytes> bytes{};
    for (std::size_t i = 0; i < 4; ++i) bytes[i] = static_cast<std::byte>(size >> (8 * i) & 0xff);
    std::memcpy(bytes.data() + 4, id.bytes.data(), id.bytes.size());
    return bytes;
}

std::span<const std::byte> payload_of(const zmq::message_t& frame) noexcept {
    return {frame.data<std::byte>() + kHeaderBytes, frame.size() - kHeaderBytes};
}

}  // namespace

StopEvent::StopEvent(std::stop_token stop)
    : stop_(std::move(stop)), descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (descriptor_ < 0) {
        throw std::system_error(errno, std::system_category(), "cannot make an eventfd");
    }
    callback_.emplace(stop_, Signal{descriptor_});
}

StopEvent::~StopEvent() {
    callback_.reset();
    ::close(descriptor_);
}

void StopEvent::Signal::operator()() const noexcept {
    const std::uint64_t one = 1;
    // Fails only when the descriptor is readable already, which is what is wanted.
    [[maybe_unused]] const auto written = ::write(descriptor, &one, sizeof one);
}

ZmqExchange::ZmqExchange(Publisher& publisher, const PlanId& plan, std::uint32_t rank,
                         std::vector<Link> links, const JoinOptions& options, std::stop_token stop)
    : publisher_(publisher),
      plan_(plan),
      rank_(rank),
      links_(std::move(links)),
      spin_(options.spin),
      silence_limit_(options.silence_limit),
      stop_(std::move(stop)) {
    descriptors_.push_back({stop_.descriptor(), POLLIN, 0});
    descriptors_.push_back({publisher_.descriptor(), POLLIN, 0});
    for (const Link& link : links_) descriptors_.push_back({link.descriptor, POLLIN, 0});
}

ZmqExchange::~ZmqExchange() {
    assert(std::this_thread::get_id() == owner_);
    // Whoever waits for us need not wait for the silence limit.
    if (failed_ == ExchangeStatus::ok) control(FrameKind::abandon, kEveryone, op_ + 1);
}

ExchangeStatus ZmqExchange::start(const DeviceId& self, std::chrono::milliseconds timeout) {
    const auto deadline = Clock::now() + timeout;
    if (const auto status = await_subscribers(deadline); status != ExchangeStatus::ok) {
        return status;
    }
    const auto limit = std::exchange(
        silence_limit_, std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()));
    std::vector<std::span<const std::byte>> hellos;
    const auto status = all_gather(hello_of(size(), self), hellos);
    silence_limit_ = limit;
    if (status != ExchangeStatus::ok) return status;
    for (const Link& link : links_) {
        const auto expected = hello_of(size(), link.peer.id);
        const auto got = hellos[link.rank];
        if (got.size() != expected.size() ||
            std::memcmp(got.data(), expected.data(), got.size()) != 0) {
            return fail(ExchangeStatus::aborted,
                        name(link) + " has another idea of this plan's devices");
        }
    }
    return ExchangeStatus::ok;
}

ExchangeStatus ZmqExchange::all_gather(std::span<const std::byte> mine,
                                       std::vector<std::span<const std::byte>>& theirs) {
    if (auto status = begin(); status != ExchangeStatus::ok) return status;
    if (auto status = send(kEveryone, mine); status != ExchangeStatus::ok) return status;
    if (auto status = receive(kEveryone, /*limited=*/true); status != ExchangeStatus::ok) {
        return status;
    }
    for (Link& link : links_) acknowledge(link);
    fill(theirs);
    return ExchangeStatus::ok;
}

ExchangeStatus ZmqExchange::broadcast(std::uint32_t root, std::span<const std::byte> payload,
                                      std::span<const std::byte>& received) {
    assert(root < size());
    if (auto status = begin(); status != ExchangeStatus::ok) return status;
    if (root == rank_) {
        const auto status = send(kEveryone, payload);
        if (status == ExchangeStatus::ok) received = payload_of(mine_->message);
        return status;
    }
    if (auto status = receive(root, /*limited=*/false); status != ExchangeStatus::ok) return status;
    for (Link& link : links_) {
        if (link.rank != root) continue;
        acknowledge(link);
        received = frame_of(link);
    }
    return ExchangeStatus::ok;
}

ExchangeStatus ZmqExchange::gather(std::uint32_t root, std::span<const std::byte> mine,
                                   std::vector<std::span<const std::byte>>& theirs) {
    assert(root < size());
    if (auto status = begin(); status != ExchangeStatus::ok) return status;
    if (root != rank_) return send(root, mine);
    // Nobody asks for the root's own part, but its view lives as long as the others'.
    kept_mine_.assign(mine.begin(), mine.end());
    if (auto status = receive(kEveryone, /*limited=*/true); status != ExchangeStatus::ok) {
        return status;
    }
    for (Link& link : links_) acknowledge(link);
    fill(theirs);
    return ExchangeStatus::ok;
}

/// Enters the next collective: the views of the last one end here.
ExchangeStatus ZmqExchange::begin() {
    assert(std::this_thread::get_id() == owner_);
    if (failed_ != ExchangeStatus::ok) return failed_;
    ++op_;
    now_ = Clock::now();
    mine_ = nullptr;
    for (Link& link : links_) link.release(op_);
    ring_.release(links_);
    if (stop_.requested()) return fail(ExchangeStatus::aborted, "stopped");
    for (const Link& link : links_) {
        if (link.abandoned_at && *link.abandoned_at <= op_) {
            return fail(ExchangeStatus::aborted, name(link) + " left the plan");
        }
    }
    return ExchangeStatus::ok;
}

ExchangeStatus ZmqExchange::send(std::uint32_t to, std::span<const std::byte> payload) {
    if (payload.size() > kMaxPayloadBytes) {
        throw std::length_error("a payload of " + std::to_string(payload.size()) +
                                " bytes exceeds the data plane's limit of " +
                                std::to_string(kMaxPayloadBytes));
    }
    if (ring_.room() == nullptr) {
        const auto status = wait({.goal = Wait::Goal::room});
        if (status != ExchangeStatus::ok) return status;
    }
    SendRing::Sent& sent = *ring_.room();
    sent.message.rebuild(kHeaderBytes + payload.size());
    auto* bytes = sent.message.data<std::byte>();
    encode({.plan = plan_,
            .to = to,
            .from = rank_,
            .kind = FrameKind::data,
            .length = static_cast<std::uint32_t>(payload.size()),
            .op = op_},
           std::span<std::byte, kHeaderBytes>(bytes, kHeaderBytes));
    if (!payload.empty()) std::memcpy(bytes + kHeaderBytes, payload.data(), payload.size());
    sent.op = op_;
    sent.to = to;
    sent.at = now_;
    mine_ = &sent;
    for (Link& link : links_) {
        if (sent.is_for(link)) link.unacknowledged = 0;
    }
    zmq::message_t shared;
    shared.copy(sent.message);  // counts a reference
    publisher_dirty_ = true;
    if (publisher_.send(shared)) return ExchangeStatus::ok;
    return wait({.goal = Wait::Goal::queue, .message = &shared});
}

ExchangeStatus ZmqExchange::receive(std::uint32_t from, bool limited) {
    return wait({.goal = Wait::Goal::frames, .from = from, .limited = limited});
}

/// Counts a frame taken from `link`, and tells it now and then when nothing else will: a sender
/// that hears nothing has to stop after kDepth frames.
void ZmqExchange::acknowledge(Link& link) {
    if (++link.unacknowledged < kAckEvery) return;
    link.unacknowledged = 0;
    control(FrameKind::ack, link.rank, op_ + 1);
}

std::span<const std::byte> ZmqExchange::frame_of(const Link& link) const noexcept {
    return payload_of(*link.find(op_));
}

void ZmqExchange::fill(std::vector<std::span<const std::byte>>& theirs) const {
    theirs.resize(size());
    for (const Link& link : links_) theirs[link.rank] = frame_of(link);
    theirs[rank_] = mine_ != nullptr ? payload_of(mine_->message) : kept_mine_;
}

std::string ZmqExchange::name(const Link& link) const {
    return "rank " + std::to_string(link.rank) + " (" + link.peer.id.hex().substr(0, 8) + ", " +
           link.peer.endpoint + ")";
}

}  // namespace shoal::mesh::exchange
