#include "daemon/contact/host.hpp"

#include <fmt/format.h>
#include <sodium.h>

#include <stdexcept>
#include <utility>

#include "daemon/log/log.hpp"
#include "mesh/transport/identity_store.hpp"
#include "mesh/transport/zmq_context.hpp"
#include "mesh/wire/host_text.hpp"

namespace shoal {

using mesh::joining::Invitation;
using mesh::joining::Invitations;
using mesh::joining::JoinDoor;
using mesh::joining::JoinFrame;
using mesh::joining::Knock;
using mesh::joining::Refusal;
using mesh::joining::Welcome;
using mesh::messages::ErrorCode;
using mesh::messages::Failed;
using mesh::messages::InviteReply;

namespace {

constexpr const char* kAttackWarning = "invitations-closed";
/// Frames taken in one turn, before the mesh and the timers get theirs.
constexpr int kKnocksPerTurn = 32;

std::string short_id(const mesh::PublicKey& key) {
    return mesh::device_id_of(key).hex().substr(0, 8);
}

/// What a stranger says of himself, for the log.
std::string harmless_name(std::string name) {
    for (char& c : name) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    }
    return name;
}

std::unique_ptr<Invitations> no_invitations(const mesh::ZmqContext& context) {
    return std::make_unique<Invitations>(
        context.identity().public_key,
        [](std::span<std::uint8_t> bytes) { randombytes_buf(bytes.data(), bytes.size()); });
}

}  // namespace

Host::Host(mesh::ZmqContext& context, Links links)
    : context_(context), links_(std::move(links)), invitations_(no_invitations(context)) {}

Host::~Host() {
    close();
}

void Host::close() {
    if (door_ != nullptr) links_.guard(door_->port(), false);
    door_.reset();
    invitations_ = no_invitations(context_);
}

void Host::invite(const ClusterAdmin::Told& told) {
    Invitation invitation;
    try {
        invitation.addresses = links_.addresses();
        if (invitation.addresses.empty()) {
            return told(Failed{ErrorCode::unavailable,
                               "this device has no address on a network; connect it, or set "
                               "cluster.bind or cluster.interfaces"});
        }
        if (invitation.addresses.size() > mesh::joining::kMaxAddresses) {
            invitation.addresses.resize(mesh::joining::kMaxAddresses);
        }
        if (door_ == nullptr) {
            door_ = std::make_unique<JoinDoor>(context_, links_.bind);
            links_.guard(door_->port(), true);
        }
    } catch (const std::runtime_error& error) {
        return told(Failed{ErrorCode::unavailable, error.what()});
    }
    const auto secret = invitations_->make(Loop::Clock::now());
    if (!secret) {
        return told(Failed{ErrorCode::busy,
                           fmt::format("{} invitations are open already; use one of them, or wait "
                                       "until one is over",
                                       mesh::joining::kMaxOpen)});
    }
    links_.unwarn(kAttackWarning);
    invitation.port = door_->port();
    invitation.inviter = context_.identity().public_key;
    invitation.secret = *secret;
    InviteReply reply;
    reply.invitation = text_of(invitation);
    reply.seconds =
        static_cast<std::uint32_t>(std::chrono::seconds(mesh::joining::kInvitationLife).count());
    reply.cluster = links_.key().fingerprint();
    for (const std::string& address : invitation.addresses) {
        reply.addresses.push_back(
            fmt::format("{}:{}", mesh::wire::bracketed(address), invitation.port));
    }
    log::info("an invitation was made, for one device within {} minutes, at TCP port {}",
              mesh::joining::kInvitationLife.count(), invitation.port);
    told(reply);
}

std::vector<int> Host::descriptors() const {
    return door_ == nullptr ? std::vector<int>{} : std::vector<int>{door_->descriptor()};
}

Loop::Time Host::next_deadline() const {
    if (door_ == nullptr) return Loop::Time::max();
    return more_ ? Loop::Time() : invitations_->next_deadline(Loop::Clock::now());
}

void Host::poll() {
    more_ = door_ != nullptr;
    for (int i = 0; more_ && i < kKnocksPerTurn; ++i) {
        const auto caller = door_->receive();
        more_ = caller.has_value();
        if (more_) hear(*caller, Loop::Clock::now());
    }
    if (door_ == nullptr || invitations_->any_open(Loop::Clock::now())) return;
    log::info("no invitation is open any more; TCP port {} is closed", door_->port());
    links_.guard(door_->port(), false);
    door_.reset();
    more_ = false;
}

void Host::hear(const JoinDoor::Caller& caller, Loop::Time now) {
    if (!caller.frame) {
        // Another version is told; what is no frame at all is nobody's of ours.
        if (caller.frame.error().reason == mesh::wire::DecodeError::Reason::wrong_version) {
            door_->answer(caller.connection, Refusal{Refusal::Reason::version});
        }
        return complaints_.warn("a device at " + caller.host +
                                " that wants to join says what this version does not understand");
    }
    door_->answer(caller.connection, answer(caller, now));
}

JoinFrame Host::answer(const JoinDoor::Caller& caller, Loop::Time now) {
    const auto* knock = std::get_if<Knock>(&*caller.frame);
    if (knock == nullptr) return Refusal{};
    const auto who = [&] {
        return fmt::format("device {} at {}", short_id(caller.key), caller.host);
    };
    switch (invitations_->judge(caller.key, caller.host, knock->proof, now)) {
        case Invitations::Verdict::welcome:
            return let_in(caller, *knock, true);
        case Invitations::Verdict::once_more:
            return let_in(caller, *knock, false);
        case Invitations::Verdict::used:
            complaints_.warn(who() + " tried to join with an invitation that was used already");
            return Refusal{Refusal::Reason::used};
        case Invitations::Verdict::expired:
            complaints_.warn(who() + " tried to join with an invitation that has expired");
            return Refusal{Refusal::Reason::expired};
        case Invitations::Verdict::busy:
            return Refusal{Refusal::Reason::busy};
        case Invitations::Verdict::wrong_all_closed:
            links_.warn(
                {kAttackWarning, mesh::messages::Severity::warning, "",
                 fmt::format("{} devices tried to join with wrong secrets, the last one at "
                             "{}; all invitations were closed",
                             mesh::joining::kMaxWrong, caller.host),
                 "find out who guesses there, and make a new invitation with shoal invite"});
            [[fallthrough]];
        case Invitations::Verdict::wrong:
            complaints_.warn(who() + " tried to join with a wrong secret");
            break;
    }
    return Refusal{Refusal::Reason::wrong};
}

JoinFrame Host::let_in(const JoinDoor::Caller& caller, const Knock& knock, bool first) {
    if (first) {
        log::info("device {} ({}) at {} was let into the cluster by an invitation",
                  short_id(caller.key), harmless_name(knock.name), caller.host);
    }
    links_.admitted(mesh::device_id_of(caller.key));
    return Welcome{links_.key().secret, links_.name()};
}

}  // namespace shoal
