// The frames that a device has sent and that a peer may still ask for.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <zmq.hpp>

#include "mesh/exchange/frame.hpp"
#include "mesh/exchange/link.hpp"

namespace shoal::mesh::exchange {

/// Messages are shared with libzmq's queues, so keeping one costs no copy.
class SendRing {
  public:
    struct Sent {
        std::uint64_t op = 0;  ///< 0: free
        std::uint32_t to = kEveryone;
        zmq::message_t message;
        std::chrono::steady_clock::time_point at{};

        bool is_for(const Link& link) const noexcept {
            return op != 0 && (to == kEveryone || to == link.rank);
        }
        bool lacks_ack_of(const Link& link) const noexcept {
            return is_for(link) && link.entered <= op;
        }
    };

    /// Frees what every receiver has acknowledged. The views of the last call die with it.
    template <typename Links>
    void release(const Links& links) {
        for (Sent& sent : sent_) {
            if (sent.op == 0) continue;
            bool lacking = false;
            for (const Link& link : links) lacking = lacking || sent.lacks_ack_of(link);
            if (lacking) continue;
            sent.op = 0;
            sent.message.rebuild();
        }
    }
    /// A free entry or nullptr.
    Sent* room() noexcept {
        for (Sent& sent : sent_) {
            if (sent.op == 0) return &sent;
        }
        return nullptr;
    }
    const Sent* find(std::uint64_t op, const Link& link) const noexcept {
        for (const Sent& sent : sent_) {
            if (sent.op == op && sent.is_for(link)) return &sent;
        }
        return nullptr;
    }
    bool lacks_ack_of(const Link& link) const noexcept {
        for (const Sent& sent : sent_) {
            if (sent.lacks_ack_of(link)) return true;
        }
        return false;
    }
    /// The first frame after collective `op` that `link` has not acknowledged, or nullptr.
    const Sent* next_lacking(const Link& link, std::uint64_t op) const noexcept {
        const Sent* next = nullptr;
        for (const Sent& sent : sent_) {
            if (sent.op <= op || !sent.lacks_ack_of(link)) continue;
            if (next == nullptr || sent.op < next->op) next = &sent;
        }
        return next;
    }

  private:
    std::array<Sent, kDepth> sent_;
};

}  // namespace shoal::mesh::exchange
