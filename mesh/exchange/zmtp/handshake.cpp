#include "mesh/exchange/zmtp/handshake.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "mesh/transport/identity_store.hpp"
#include "mesh/transport/zmq_context.hpp"

namespace shoal::mesh::exchange::zmtp {

namespace {

constexpr std::string_view kClear = "NULL", kSealed = "SHOAL";
constexpr std::string_view kPrologue = "shoal data plane 1";
constexpr std::string_view kSocketType = "Socket-Type";

// What a device tells of itself under the cover of the handshake.
Bytes abilities() {
    return {std::byte{quick_ciphers()}};
}

// What a stranger says may come to a log.
std::string printable(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (c < ' ' || c > '~') c = '?';
    }
    return out;
}

// The names of properties are the same in upper and lower case.
bool is_same_name(std::string_view a, std::string_view b) noexcept {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c + 0; };
    return std::ranges::equal(a, b, {}, lower, lower);
}

NoiseKeyPair keys_of(const Identity& identity) {
    return {identity.public_key, identity.secret_key};
}

}  // namespace

Handshake::Handshake(bool publisher, const ZmqContext* security, const PublicKey& peer)
    : publisher_(publisher), security_(security), peer_(peer) {
    const auto greeting = encode(Greeting{1, std::string(security ? kSealed : kClear), publisher});
    output_.assign(greeting.begin(), greeting.end());
}

Handshake Handshake::of_publisher(const ZmqContext* security) {
    return {true, security, {}};
}

Handshake Handshake::of_subscriber(const ZmqContext* security, const PublicKey& publisher) {
    return {false, security, publisher};
}

void Handshake::fail(std::string why) {
    state_ = State::failed;
    why_ = std::move(why);
}

Handshake::State Handshake::take(std::span<const std::byte> in, std::size_t& used) {
    used = 0;
    if (!has_greeted_) {
        const auto bytes = in.first(std::min(in.size(), kGreetingBytes));
        const auto greeting = decode_greeting(bytes, why_);
        if (!greeting) state_ = State::failed;
        if (!greeting || bytes.size() < kGreetingBytes) return state_;
        used = kGreetingBytes;
        greeted(*greeting);
    }
    while (state_ == State::going_on) {
        const auto rest = in.subspan(used);
        Head head;
        const HeadState state = decode_head(rest, head);
        if (state == HeadState::incomplete) break;
        if (state == HeadState::malformed || !head.command || head.length > kMaxHandshakeBytes) {
            fail("it does not speak ZeroMQ's protocol");
            break;
        }
        if (rest.size() - head.size < head.length) break;
        used += head.size + head.length;
        const auto command = decode_command(rest.subspan(head.size, head.length));
        if (!command) {
            fail("it sent a malformed command");
            break;
        }
        on_command(*command);
    }
    return state_;
}

void Handshake::greeted(const Greeting& greeting) {
    has_greeted_ = true;
    introduction_.minor = greeting.minor;
    const std::string_view ours = security_ ? kSealed : kClear;
    if (greeting.mechanism != ours) {
        return fail("its data plane uses the mechanism " + printable(greeting.mechanism) +
                    ", this device's " + std::string(ours) +
                    ": cluster.encrypt and cluster.data_transport must be alike on all devices");
    }
    if (!security_) {
        Bytes properties;
        append_property(properties, kSocketType, publisher_ ? "XPUB" : "SUB");
        append_property(properties, "Identity", "");
        append_command(output_, "READY", properties);
    } else if (!publisher_) {
        const NoiseKeyPair self = keys_of(security_->identity());
        noise_ = std::make_unique<NoiseKK>(true, self, peer_, bytes_of(kPrologue));
        const auto key = std::as_bytes(std::span(self.public_key));
        Bytes hello(key.begin(), key.end());
        Bytes message;
        try {
            message = noise_->write(abilities());
        } catch (const std::invalid_argument& error) {
            return fail(error.what());
        }
        hello.insert(hello.end(), message.begin(), message.end());
        append_command(output_, "HELLO", hello);
    }
}

void Handshake::on_command(const Command& command) {
    if (command.name == "ERROR") {
        const std::string_view reason = text_of(command.data);
        return fail("it refused: " +
                    printable(reason.substr(std::min<std::size_t>(1, reason.size()))));
    }
    if (!security_ && command.name == "READY") return on_ready(command.data);
    if (security_ && publisher_ && command.name == "HELLO") return on_hello(command.data);
    if (security_ && !publisher_ && command.name == "WELCOME") return on_welcome(command.data);
    fail("it sent a command that does not belong into a handshake");
}

void Handshake::on_ready(std::span<const std::byte> data) {
    const auto properties = decode_properties(data);
    if (!properties) return fail("its READY is malformed");
    for (const Property& property : *properties) {
        if (!is_same_name(property.name, kSocketType)) continue;
        const std::string_view type = text_of(property.value);
        const bool fits =
            publisher_ ? type == "SUB" || type == "XSUB" : type == "PUB" || type == "XPUB";
        if (fits) state_ = State::done;
    }
    if (state_ != State::done) fail("its socket is of another type");
}

// Who is not on the list costs no arithmetic.
void Handshake::on_hello(std::span<const std::byte> hello) {
    PublicKey key{};
    if (hello.size() < key.size()) return fail("its HELLO is malformed");
    std::copy_n(reinterpret_cast<const std::uint8_t*>(hello.data()), key.size(), key.begin());
    if (!security_->is_allowed(key)) return fail("its key is not allowed here");
    noise_ =
        std::make_unique<NoiseKK>(false, keys_of(security_->identity()), key, bytes_of(kPrologue));
    const auto has = noise_->read(hello.subspan(key.size()));
    if (!has || has->size() != 1) return fail("it does not hold the key that it names");
    append_command(output_, "WELCOME", noise_->write(abilities()));
    introduction_.peer = device_id_of(key);
    introduction_.quick = std::to_integer<Ciphers>((*has)[0]);
    introduction_.secure = noise_->channels();
    state_ = State::done;
}

void Handshake::on_welcome(std::span<const std::byte> welcome) {
    const auto has = noise_->read(welcome);
    if (!has || has->size() != 1) return fail("it does not hold the key that the plan names");
    introduction_.peer = device_id_of(peer_);
    introduction_.quick = std::to_integer<Ciphers>((*has)[0]);
    introduction_.secure = noise_->channels();
    state_ = State::done;
}

}  // namespace shoal::mesh::exchange::zmtp
