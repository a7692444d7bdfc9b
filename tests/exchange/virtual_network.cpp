#include "tests/exchange/virtual_network.hpp"

#include <algorithm>
#include <utility>

#include "mesh/exchange/memory_buffer.hpp"

namespace shoal::mesh::testing {

using exchange::FrameHeader;
using exchange::FrameKind;
using exchange::kEveryone;

namespace {

FrameHeader header_of(const Frame& frame) {
    FrameHeader header;
    (void)decode(frame->bytes, header);
    return header;
}

}  // namespace

struct VirtualNetwork::PortOf final : exchange::Port {
    PortOf(VirtualNetwork& net, std::uint32_t own) : network(net), rank(own) {}
    Frame make(std::size_t size) override { return std::make_shared<exchange::MemoryBuffer>(size); }
    bool send(std::uint32_t to, const Frame& frame) override {
        return network.send(rank, to, frame);
    }
    Frame receive(std::uint32_t from) override { return network.receive(from, rank); }
    std::uint64_t connection(std::uint32_t from) override {
        const Connection& ours = network.connection(rank, from);
        return ours.up ? ours.number : 0;
    }

    VirtualNetwork& network;
    std::uint32_t rank;
};

VirtualNetwork::VirtualNetwork(std::uint32_t ranks, const Weather& weather, Random& random)
    : weather_(weather), random_(random), connections_(ranks * ranks), alarms_(ranks) {
    for (std::uint32_t r = 0; r < ranks; ++r) ports_.push_back(std::make_unique<PortOf>(*this, r));
    for (std::uint32_t from = 0; from < ranks; ++from) {
        for (std::uint32_t to = 0; to < ranks; ++to) {
            if (from == to) continue;
            const Time at = now_ + random_.between(microseconds(0), weather_.first_within);
            schedule({Event::Kind::possible, at, from, to});
        }
    }
}

VirtualNetwork::~VirtualNetwork() = default;

exchange::Port& VirtualNetwork::port(std::uint32_t rank) {
    return *ports_[rank];
}

void VirtualNetwork::schedule(Event event) {
    event.order = ++order_;
    events_.push(std::move(event));
}

void VirtualNetwork::set_alarm(std::uint32_t rank, Time at) {
    at = std::max(at, now_);
    if (alarms_[rank] == at) return;
    alarms_[rank] = at;
    schedule({Event::Kind::alarm, at, rank, rank});
}

void VirtualNetwork::schedule_cut(std::uint32_t from, std::uint32_t to) {
    if (weather_.cut_every.count() == 0) return;
    const Time at = now_ + random_.between(microseconds(0), 2 * weather_.cut_every);
    schedule({Event::Kind::cut, at, from, to, connection(from, to).number});
}

std::optional<std::uint32_t> VirtualNetwork::next() {
    while (!events_.empty()) {
        Event event = events_.top();
        events_.pop();
        now_ = event.at;
        if (const auto whose = happen(event)) return whose;
    }
    return std::nullopt;
}

/// Whose event it was, if anybody's.
std::optional<std::uint32_t> VirtualNetwork::happen(Event& event) {
    Connection& link = connection(event.from, event.to);
    switch (event.kind) {
        case Event::Kind::alarm:
            if (alarms_[event.to] != event.at) return std::nullopt;
            alarms_[event.to] = {};
            return event.to;
        case Event::Kind::frame: {
            --link.under_way;
            if (!link.up || link.number != event.number) {
                ++counts_.lost_in_cuts;
                return std::nullopt;
            }
            const FrameHeader header = header_of(event.frame);
            if (header.kind == FrameKind::data) {
                if (header.op < link.last_op) ++counts_.reordered;
                link.last_op = header.op;
            }
            link.arrived.push_back(std::move(event.frame));
            return event.to;
        }
        case Event::Kind::cut:
            if (!link.up || link.number != event.number) return std::nullopt;
            ++counts_.cuts;
            link.up = false;
            schedule({Event::Kind::possible,
                      now_ + random_.between(microseconds(0), weather_.heal_within), event.from,
                      event.to});
            return std::nullopt;
        case Event::Kind::possible:
            link.possible = true;
            return event.to;
        case Event::Kind::up:
            link.up = true;
            if (++link.number > 1) ++counts_.healed;
            schedule_cut(event.from, event.to);
            return event.from;
    }
    return std::nullopt;
}

bool VirtualNetwork::send(std::uint32_t from, std::uint32_t to, const Frame& frame) {
    for (std::uint32_t r = 0; r < size(); ++r) {
        if (r == from || (to != kEveryone && to != r)) continue;
        if (connection(from, r).under_way >= weather_.queue_frames) {
            ++counts_.queue_full;
            return false;
        }
    }
    const FrameHeader header = header_of(frame);
    ++counts_.kinds[static_cast<std::size_t>(header.kind)];
    if (header.kind == FrameKind::nack && header.flags != 0) ++counts_.certain_nacks;
    for (std::uint32_t r = 0; r < size(); ++r) {
        if (r != from && (to == kEveryone || to == r)) send_to(from, r, frame);
    }
    return true;
}

void VirtualNetwork::send_to(std::uint32_t from, std::uint32_t to, const Frame& frame) {
    Connection& link = connection(from, to);
    ++counts_.sent;
    // Publishing to nobody is no failure.
    if (!link.up || random_.chance(weather_.loss_percent)) {
        ++counts_.lost;
        return;
    }
    const bool repeat = random_.chance(weather_.repeat_percent);
    if (repeat) ++counts_.repeated;
    for (int copy = 0; copy < (repeat ? 2 : 1); ++copy) {
        Time at = now_ + random_.between(weather_.least_delay, weather_.most_delay);
        if (weather_.ordered) at = std::max(at, link.last_arrival);
        link.last_arrival = at;
        ++link.under_way;
        schedule({Event::Kind::frame, at, from, to, link.number, frame});
    }
}

/// Like a SUB socket of ZeroMQ, a subscriber makes a connection anew when it looks for frames, and
/// not before.
Frame VirtualNetwork::receive(std::uint32_t from, std::uint32_t to) {
    Connection& link = connection(from, to);
    if (std::exchange(link.possible, false)) {
        const Time at = now_ + random_.between(weather_.least_delay, weather_.most_delay);
        schedule({Event::Kind::up, at, from, to});
    }
    if (link.arrived.empty()) return nullptr;
    Frame frame = std::move(link.arrived.front());
    link.arrived.pop_front();
    return frame;
}

}  // namespace shoal::mesh::testing
