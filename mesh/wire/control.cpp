#include "mesh/wire/control.hpp"

#include <cmath>

#include "mesh/wire/bytes.hpp"

namespace shoal::mesh::wire {

namespace {

using Reason = DecodeError::Reason;

enum class Type : std::uint8_t {
    hello = 1,
    heartbeat = 2,
    describe = 3,
    leave = 4,
    sightings = 5,
    application = 6,
    mark = 7,
};

void put(Writer& out, const ElectionState& state) {
    out.integer(state.term.counter);
    out.bytes(state.term.candidate.bytes);
    out.integer(state.followers);
}

ElectionState get_election(Reader& in) {
    ElectionState state;
    state.term.counter = in.integer<std::uint64_t>("term counter");
    state.term.candidate.bytes = in.bytes<16>("term candidate");
    state.followers = in.integer<std::uint32_t>("followers");
    if (state.term.counter > kMaxTermCounter) in.fail(Reason::bad_value, "term counter");
    if (state.term.counter == 0 && state.term != Term{}) in.fail(Reason::bad_value, "term");
    return state;
}

void put(Writer& out, const DeviceDescription& d) {
    out.text(d.name, kMaxNameBytes);
    out.integer(d.memory_total);
    out.integer(d.memory_available);
    out.integer(d.threads);
    out.text(d.cpu, kMaxCpuBytes);
    out.text(d.version, kMaxVersionBytes);
    out.integer(static_cast<std::uint32_t>(d.priority));
    out.real(d.speed);
    out.text(d.data_endpoint, kMaxEndpointBytes);
    const auto models =
        std::span(d.models).first(std::min<std::size_t>(d.models.size(), kMaxModelsBytes));
    out.integer(static_cast<std::uint32_t>(models.size()));
    out.bytes(models);
}

DeviceDescription get_description(Reader& in) {
    DeviceDescription d;
    d.name = in.text(kMaxNameBytes, "name");
    d.memory_total = in.integer<std::uint64_t>("memory");
    d.memory_available = in.integer<std::uint64_t>("available memory");
    d.threads = in.integer<std::uint32_t>("threads");
    d.cpu = in.text(kMaxCpuBytes, "cpu");
    d.version = in.text(kMaxVersionBytes, "version");
    d.priority = static_cast<std::int32_t>(in.integer<std::uint32_t>("priority"));
    d.speed = in.real("speed");
    if (!std::isfinite(d.speed) || d.speed < 0) in.fail(Reason::bad_value, "speed");
    d.data_endpoint = in.text(kMaxEndpointBytes, "data endpoint");
    const auto length = in.integer<std::uint32_t>("models");
    if (length > kMaxModelsBytes) in.fail(Reason::too_large, "models");
    const auto models = in.take(length, "models");
    d.models.assign(models.begin(), models.end());
    return d;
}

Type type_of(const Hello&) {
    return Type::hello;
}
Type type_of(const Heartbeat&) {
    return Type::heartbeat;
}
Type type_of(const Describe&) {
    return Type::describe;
}
Type type_of(const Leave&) {
    return Type::leave;
}
Type type_of(const Sightings&) {
    return Type::sightings;
}
Type type_of(const Application&) {
    return Type::application;
}
Type type_of(const Mark&) {
    return Type::mark;
}

void put(Writer& out, const Hello& m) {
    out.integer(m.from);
    out.integer(m.instance);
    put(out, m.election);
    out.integer(m.revision);
    put(out, m.description);
}

void put(Writer& out, const Heartbeat& m) {
    out.integer(m.clock_us);
    out.integer(m.echo_clock_us);
    out.integer(m.echo_delay_us);
    put(out, m.election);
    out.integer(m.known);
}

void put(Writer& out, const Describe& m) {
    out.integer(m.revision);
    put(out, m.description);
}

void put(Writer&, const Leave&) {}

void put(Writer& out, const Sightings& m) {
    const auto devices =
        std::span(m.devices).first(std::min<std::size_t>(m.devices.size(), kMaxSightings));
    out.integer(static_cast<std::uint16_t>(devices.size()));
    for (const Sighting& device : devices) {
        out.bytes(device.id.bytes);
        out.text(device.host, kMaxHostBytes);
        out.integer(device.port);
    }
}

/// The header of an application message, which is all of a mark.
template <typename T>
void put_place(Writer& out, const T& m) {
    out.integer(static_cast<std::uint8_t>(m.lane));
    out.integer(m.sequence);
}

void put(Writer& out, const Application& m) {
    put_place(out, m);
}

void put(Writer& out, const Mark& m) {
    put_place(out, m);
}

Hello get_hello(Reader& in, Session to) {
    Hello m;
    m.to = to;
    m.from = in.integer<Session>("session");
    if (m.from == 0) in.fail(Reason::bad_value, "session");
    m.instance = in.integer<std::uint64_t>("instance");
    m.election = get_election(in);
    m.revision = in.integer<Revision>("revision");
    m.description = get_description(in);
    return m;
}

Heartbeat get_heartbeat(Reader& in, Session to) {
    Heartbeat m;
    m.to = to;
    m.clock_us = in.integer<std::uint64_t>("clock");
    m.echo_clock_us = in.integer<std::uint64_t>("echoed clock");
    m.echo_delay_us = in.integer<std::uint32_t>("echo delay");
    m.election = get_election(in);
    m.known = in.integer<Revision>("known revision");
    return m;
}

Describe get_describe(Reader& in, Session to) {
    Describe m;
    m.to = to;
    m.revision = in.integer<Revision>("revision");
    m.description = get_description(in);
    return m;
}

Sightings get_sightings(Reader& in, Session to) {
    Sightings m;
    m.to = to;
    const auto count = in.integer<std::uint16_t>("sightings");
    if (count > kMaxSightings) in.fail(Reason::too_large, "sightings");
    for (std::uint16_t i = 0; i < count && !in.error(); ++i) {
        Sighting device;
        device.id.bytes = in.bytes<16>("device id");
        device.host = in.text(kMaxHostBytes, "host");
        device.port = in.integer<std::uint16_t>("port");
        m.devices.push_back(std::move(device));
    }
    return m;
}

template <typename T>
T get_place(Reader& in, Session to) {
    T m;
    m.to = to;
    const auto lane = in.integer<std::uint8_t>("lane");
    if (lane != static_cast<std::uint8_t>(Lane::small) &&
        lane != static_cast<std::uint8_t>(Lane::bulk)) {
        in.fail(Reason::bad_value, "lane");
    }
    m.lane = static_cast<Lane>(lane);
    m.sequence = in.integer<std::uint64_t>("sequence");
    return m;
}

Application get_application(Reader& in, Session to) {
    auto m = get_place<Application>(in, to);
    const std::size_t limit = m.lane == Lane::small ? kSmallMessageBytes : kMaxApplicationBytes;
    if (in.rest().size() > limit) in.fail(Reason::too_large, "application message");
    m.body = in.rest();
    return m;
}

template <typename T>
DecodeResult<ControlMessage> finish(const Reader& in, T message) {
    if (in.error()) return *in.error();
    return ControlMessage(std::move(message));
}

}  // namespace

Lane lane_of(const ControlMessage& message) noexcept {
    if (const auto* m = std::get_if<Application>(&message)) return m->lane;
    if (const auto* m = std::get_if<Mark>(&message)) return m->lane;
    return Lane::membership;
}

std::vector<std::byte> encode(const ControlMessage& message) {
    std::vector<std::byte> bytes;
    Writer out(bytes);
    out.integer(kControlVersion);
    std::visit(
        [&](const auto& m) {
            out.integer(static_cast<std::uint8_t>(type_of(m)));
            out.integer(m.to);
            put(out, m);
        },
        message);
    return bytes;
}

DecodeResult<ControlMessage> decode_control(std::span<const std::byte> bytes) {
    Reader in(bytes);
    const auto version = in.integer<std::uint8_t>("version");
    const auto type = in.integer<std::uint8_t>("type");
    const auto to = in.integer<Session>("session");
    if (in.error()) return *in.error();
    if (version != kControlVersion) return DecodeError{Reason::wrong_version, "version"};
    if (type != static_cast<std::uint8_t>(Type::application) && bytes.size() > kMaxControlBytes) {
        return DecodeError{Reason::too_large, "message"};
    }
    // Bytes behind the last known field are ignored, so that a later version may append some.
    switch (static_cast<Type>(type)) {
        case Type::hello:
            return finish(in, get_hello(in, to));
        case Type::heartbeat:
            return finish(in, get_heartbeat(in, to));
        case Type::describe:
            return finish(in, get_describe(in, to));
        case Type::leave:
            return finish(in, Leave{to});
        case Type::sightings:
            return finish(in, get_sightings(in, to));
        case Type::application:
            return finish(in, get_application(in, to));
        case Type::mark:
            return finish(in, get_place<Mark>(in, to));
    }
    return DecodeError{Reason::unknown_type, "message type " + std::to_string(type)};
}

}  // namespace shoal::mesh::wire
