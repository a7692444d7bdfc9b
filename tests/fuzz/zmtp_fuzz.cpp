// What a peer of the data plane says: greeting, handshake, then frames. Whatever the bytes are and
// however they are cut, they are refused or understood the same; nobody becomes a device without
// its key, and no frame is taken that was not sealed with it.
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "mesh/exchange/zmtp/connection.hpp"
#include "mesh/exchange/zmtp/handshake.hpp"
#include "mesh/transport/zmq_context.hpp"
#include "tests/fuzz/zmtp_keys.hpp"

using namespace shoal::mesh;
using namespace shoal::mesh::exchange::zmtp;

namespace {

constexpr std::size_t kLongest = 1 << 16;

void require(bool condition) {
    if (!condition) std::abort();
}

ZmqContext& security() {
    static ZmqContext context(fuzzed_device());
    static const bool allowed = context.allow(known_device().public_key);
    require(allowed);
    return context;
}

Handshake handshake_of(ZmtpRole role) {
    switch (role) {
        case ZmtpRole::clear_publisher:
            return Handshake::of_publisher(nullptr);
        case ZmtpRole::clear_subscriber:
            return Handshake::of_subscriber(nullptr, {});
        case ZmtpRole::sealed_publisher:
            return Handshake::of_publisher(&security());
        default:
            return Handshake::of_subscriber(&security(), known_device().public_key);
    }
}

struct Outcome {
    Handshake::State state = Handshake::State::going_on;
    std::string why;
    std::size_t said = 0;
    Bytes rest{};  ///< not used by a handshake that is done
    Introduction introduction{};

    auto tie() const { return std::tie(state, why, said, rest); }
};

/// As a connector does it, `piece` bytes at a time.
Outcome shake_hands(ZmtpRole role, std::span<const std::byte> input, std::size_t piece) {
    Handshake handshake = handshake_of(role);
    Outcome outcome;
    Bytes in;
    while (!input.empty() && outcome.state == Handshake::State::going_on) {
        const auto now = input.first(std::min(piece, input.size()));
        in.insert(in.end(), now.begin(), now.end());
        input = input.subspan(now.size());
        std::size_t used = 0;
        outcome.state = handshake.take(in, used);
        require(used <= in.size());
        in.erase(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(used));
        // What waits for more is less than one command.
        require(outcome.state != Handshake::State::going_on ||
                in.size() < kGreetingBytes + kMaxHeadBytes + kMaxHandshakeBytes);
    }
    outcome.said = handshake.output().size();
    outcome.why = handshake.why();
    require((outcome.state == Handshake::State::failed) != outcome.why.empty());
    if (outcome.state != Handshake::State::done) return outcome;
    // The other end of this one is a stranger's, who cannot know what it answers with.
    require(role != ZmtpRole::sealed_subscriber);
    outcome.rest = std::move(in);
    outcome.rest.insert(outcome.rest.end(), input.begin(), input.end());
    outcome.introduction = handshake.introduction();
    return outcome;
}

struct Event {
    Reader::Result result;
    Bytes body;
    bool operator==(const Event&) const = default;
};

/// Reads all of it; the first `ahead` bytes came with the handshake.
std::vector<Event> read(std::span<const std::byte> input, std::size_t ahead, std::size_t piece,
                        bool sealed) {
    int ends[2];
    require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    const Socket near(ends[0]), far(ends[1]);
    ahead = std::min(ahead, input.size());
    Reader reader(kLongest, Bytes(input.begin(), input.begin() + ahead));
    if (sealed) reader.open_with(SealKey{}, 0);
    input = input.subspan(ahead);
    std::vector<Event> events;
    for (;;) {
        const Reader::Result result = reader.next(near.descriptor());
        if (result == Reader::Result::nothing) {
            if (input.empty()) return events;
            const auto now = input.first(std::min(piece, input.size()));
            const ssize_t sent = ::send(far.descriptor(), now.data(), now.size(), MSG_NOSIGNAL);
            require(sent > 0);
            input = input.subspan(static_cast<std::size_t>(sent));
            continue;
        }
        require(result != Reader::Result::ended);
        // With a key that nobody has, no message is one.
        require(!(sealed && result == Reader::Result::message));
        const bool whole = result == Reader::Result::message || result == Reader::Result::command;
        events.push_back({result, {}});
        if (!whole) return events;
        require(reader.body().size() <= kLongest);
        events.back().body.assign(reader.body().begin(), reader.body().end());
        if (events.size() % 3 == 0) (void)reader.take();
    }
}

void fuzz_frames(std::span<const std::byte> input, std::size_t piece, bool sealed,
                 std::optional<NoiseKK::Channels> secure) {
    const auto events = read(input, input.size(), input.size(), sealed);
    require(events == read(input, piece, piece, sealed));
    for (const Event& event : events) {
        if (event.result != Reader::Result::command) continue;
        const auto command = decode_command(event.body);
        if (!command) continue;
        require(command->name.size() + command->data.size() + 1 == event.body.size());
        // Sealed words are those of the device of the handshake.
        if (secure) require(!secure->receive.open(command->data));
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const auto role = static_cast<ZmtpRole>(data[0] % kZmtpRoles);
    const std::size_t piece = 1 + data[1] % 100;
    const auto input = std::as_bytes(std::span(data, size)).subspan(2);
    if (role == ZmtpRole::clear_frames || role == ZmtpRole::sealed_frames) {
        fuzz_frames(input, piece, role == ZmtpRole::sealed_frames, std::nullopt);
        return 0;
    }
    const Outcome whole = shake_hands(role, input, input.size());
    require(whole.tie() == shake_hands(role, input, piece).tie());
    if (whole.state != Handshake::State::done) return 0;
    require(whole.introduction.secure.has_value() == (role == ZmtpRole::sealed_publisher));
    fuzz_frames(whole.rest, piece, false, whole.introduction.secure);
    return 0;
}
