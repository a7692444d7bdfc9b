// Both ends of a handshake, driven without sockets.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "mesh/exchange/zmtp/handshake.hpp"
#include "mesh/transport/identity_store.hpp"
#include "mesh/transport/zmq_context.hpp"
#include "tests/exchange/zmtp/bytes.hpp"

namespace shoal::mesh::testing {

using exchange::zmtp::Bytes;
using exchange::zmtp::Handshake;

/// Who takes part in handshakes with security.
struct KeyHolder {
    Identity identity = generate_identity();
    ZmqContext context{identity};

    const PublicKey& key() const { return identity.public_key; }
};

/// One end, with what came and was not used yet.
struct End {
    Handshake handshake;
    Bytes in{};

    /// Takes in `more`, `piece` bytes at a time.
    Handshake::State take(std::span<const std::byte> more, std::size_t piece = 1 << 20) {
        auto state = Handshake::State::going_on;
        while (!more.empty() && state == Handshake::State::going_on) {
            const auto now = more.first(std::min(piece, more.size()));
            append(in, now);
            more = more.subspan(now.size());
            std::size_t used = 0;
            state = handshake.take(in, used);
            in.erase(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(used));
        }
        append(in, more);  // what came behind a handshake's end
        return state;
    }
};

struct Shaken {
    Handshake::State publisher = Handshake::State::going_on,
                     subscriber = Handshake::State::going_on;
};

/// Passes on what each says until both have ended or neither says more.
inline Shaken shake_hands(End& publisher, End& subscriber, std::size_t piece = 1 << 20) {
    constexpr auto kGoingOn = Handshake::State::going_on;
    Shaken state;
    for (;;) {
        const Bytes forth = subscriber.handshake.output(), back = publisher.handshake.output();
        if (forth.empty() && back.empty()) return state;
        if (state.publisher == kGoingOn) state.publisher = publisher.take(forth, piece);
        if (state.subscriber == kGoingOn) state.subscriber = subscriber.take(back, piece);
    }
}

}  // namespace shoal::mesh::testing
