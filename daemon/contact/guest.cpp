#include "daemon/contact/guest.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <stdexcept>
#include <utility>

#include "daemon/log/log.hpp"
#include "mesh/transport/identity_store.hpp"
#include "mesh/transport/zmq_context.hpp"

namespace shoal {

using mesh::joining::Invitation;
using mesh::joining::JoinCall;
using mesh::joining::Refusal;
using mesh::joining::Welcome;
using mesh::messages::ErrorCode;
using mesh::messages::Failed;
using mesh::messages::Progress;

namespace {

/// Discovery finds a device on the same network within a second.
constexpr auto kSeen = std::chrono::seconds(10);
constexpr auto kLook = std::chrono::milliseconds(50);

std::string text_of_refusal(Refusal::Reason reason) {
    switch (reason) {
        case Refusal::Reason::wrong:
            return "the device that was asked knows no such invitation; ask for a new one there, "
                   "with shoal invite";
        case Refusal::Reason::used:
            return "this invitation was used already, by this device or another; if it was not "
                   "you, somebody else read it. Each one lets in one device: make another with "
                   "shoal invite";
        case Refusal::Reason::expired:
            return "this invitation has expired; make another with shoal invite";
        case Refusal::Reason::busy:
            return "too many devices try to join there at once; try again in a minute";
        case Refusal::Reason::version:
            return "the device that was asked runs another version of Shoal; install the same on "
                   "both";
    }
    return "the device that was asked refuses";
}

}  // namespace

Guest::Guest(Loop& loop, mesh::ZmqContext& context, Links links)
    : loop_(loop), context_(context), links_(std::move(links)) {}

void Guest::join(const std::string& line, ClusterAdmin::Told told) {
    std::string why;
    const auto invitation = mesh::joining::parse_invitation(line, why);
    if (!invitation) return told(Failed{ErrorCode::bad_request, "this is no invitation: " + why});
    if (invitation->inviter == context_.identity().public_key) {
        return told(Failed{ErrorCode::bad_request,
                           "this invitation is this device's own; give it to another one"});
    }
    if (running_) {
        return told(Failed{ErrorCode::busy, "this device is joining a cluster already"});
    }
    running_ = {*invitation, std::move(told), nullptr, {}, {}};
    running_->call = std::make_unique<JoinCall>(context_, *invitation, links_.name(), loop_.now());
    running_->told(Progress{"asking to be let in", 0, 0});
}

void Guest::stop() noexcept {
    running_.reset();
}

std::vector<int> Guest::descriptors() const {
    return running_ && running_->call ? running_->call->descriptors() : std::vector<int>{};
}

Loop::Time Guest::next_deadline() const {
    return running_ && running_->call ? running_->call->next_deadline() : Loop::Time::max();
}

void Guest::poll() {
    if (!running_ || !running_->call) return;
    const auto outcome = running_->call->poll(loop_.now());
    if (const auto* welcome = std::get_if<Welcome>(&outcome)) return be_welcome(*welcome);
    if (const auto* refusal = std::get_if<Refusal>(&outcome)) {
        return fail(ErrorCode::forbidden, text_of_refusal(refusal->reason));
    }
    if (!std::holds_alternative<JoinCall::Nobody>(outcome)) return;
    const Invitation& invitation = running_->invitation;
    fail(
        ErrorCode::unavailable,
        fmt::format("the device that made the invitation does not answer at {}, port {}. The "
                    "invitation may be over, as they are after {} minutes, when they were used and "
                    "when that daemon ended; or a firewall or another network is between",
                    fmt::join(invitation.addresses, " or "), invitation.port,
                    mesh::joining::kInvitationLife.count()));
}

void Guest::be_welcome(const Welcome& welcome) {
    running_->call.reset();
    const mesh::ClusterKey key{welcome.cluster_key};
    if (key == links_.key()) return finish(links_.cluster());
    try {
        links_.enter(key);
    } catch (const std::runtime_error& error) {
        return fail(ErrorCode::internal, error.what());
    }
    log::info("joined the cluster {} by an invitation of device {}", key.fingerprint(),
              mesh::device_id_of(running_->invitation.inviter).hex().substr(0, 8));
    running_->told(Progress{"looking for the devices of the cluster", 0, 0});
    running_->until = loop_.now() + kSeen;
    look_for_inviter();
}

void Guest::look_for_inviter() {
    const bool seen = links_.sees(mesh::device_id_of(running_->invitation.inviter));
    if (!seen && loop_.now() < running_->until) {
        running_->look = loop_.after(
            kLook, [this] { look_for_inviter(); }, "the inviter");
        return;
    }
    auto reply = links_.cluster();
    if (!seen) {
        reply.warning =
            "the key was taken, but the device that gave it is not found: let UDP 47474 and 47475 "
            "and the daemons' TCP ports through firewalls, or name it in cluster.peers if it is on "
            "another network";
    }
    finish(reply);
}

void Guest::fail(ErrorCode code, std::string why) {
    finish(Failed{code, std::move(why)});
}

void Guest::finish(const mesh::messages::Event& event) {
    const auto told = std::move(running_->told);
    running_.reset();
    told(event);
}

}  // namespace shoal
