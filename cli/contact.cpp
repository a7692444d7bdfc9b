// shoal invite, join, leave and devices: who is in the cluster.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <iostream>
#include <string>
#include <vector>

#include "cli/commands.hpp"
#include "cli/exit_codes.hpp"
#include "cli/qr.hpp"
#include "cli/table.hpp"

namespace shoal::cli {
namespace messages = mesh::messages;
namespace {

constexpr std::size_t kShownDigits = 8;

std::string invitation_text(const messages::InviteReply& reply, const std::string& qr) {
    std::string text = fmt::format(
        "To let one device into the cluster {}, run there within {} minutes:\n\n  shoal join "
        "{}\n\n",
        one_line(reply.cluster), reply.seconds / 60, one_line(reply.invitation));
    return text + qr;
}

/// A line that somebody types or pipes.
std::string read_invitation(const Common& common) {
    if (isatty(STDIN_FILENO) == 1 && !common.quiet) print_error("Invitation: ");
    std::string line;
    // More is none, which the daemon says.
    for (char c = 0;
         line.size() <= messages::kMaxInvitationBytes && std::cin.get(c) && c != '\n';) {
        line.push_back(c);
    }
    return line;
}

int show_cluster(Session& session, const Common& common, const messages::Event& event,
                 const char* how) {
    if (common.json) return session.code();
    const auto& reply = Session::expect<messages::ClusterReply>(event);
    std::vector<std::string> others;
    for (std::size_t i = 1; i < reply.devices.size(); ++i) {
        others.push_back(one_line(reply.devices[i]));
    }
    std::string text = fmt::format("{} {}", how, one_line(reply.cluster));
    text += others.empty() ? ", alone so far." : fmt::format(", with {}.", fmt::join(others, ", "));
    session.output().write(wrapped(session.terminal(), text, 0) + '\n');
    if (!reply.warning.empty()) complain(reply.warning);
    return session.code();
}

std::string day_text(std::uint64_t unix_seconds) {
    if (unix_seconds == 0) return "";
    const auto time = static_cast<std::time_t>(unix_seconds);
    std::tm local{};
    if (localtime_r(&time, &local) == nullptr) return "";
    char text[32] = "";
    return std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &local) == 0 ? "" : text;
}

std::string devices_text(const messages::DevicesReply& reply, const Terminal& terminal) {
    Table table{{{"DEVICE", false, 6},
                 {"ID", false, 5},
                 {"ADDRESS", false, 3},
                 {"SINCE", false, 2},
                 {"VERSION", false, 1},
                 {"STATE", false, 4}},
                {}};
    for (const auto& d : reply.devices) {
        std::string state = d.self     ? styled(terminal, Style::good, "here")
                            : d.online ? styled(terminal, Style::good, "online")
                                       : "last seen " + day_text(d.seen);
        table.rows.push_back({one_line(d.name), one_line(d.id.substr(0, kShownDigits)),
                              one_line(d.address), day_text(d.since), one_line(d.version),
                              std::move(state)});
    }
    return fmt::format("Cluster {}\n\n", one_line(reply.cluster)) + table.text(terminal);
}

int ask_devices(const Common& common, const messages::Request& request) {
    Session session(common);
    const auto final = session.ask(request);
    if (!final || common.json) return session.code();
    session.output().write(
        devices_text(Session::expect<messages::DevicesReply>(*final), session.terminal()));
    return session.code();
}

}  // namespace

int invite(const Common& common, const InviteOptions& options) {
    Session session(common);
    const auto final = session.ask(messages::InviteRequest{});
    if (!final || common.json) return session.code();
    const auto& reply = Session::expect<messages::InviteReply>(*final);
    if (!session.terminal().interactive) {
        // For `shoal invite | ssh other shoal join`.
        session.output().write(one_line(reply.invitation) + '\n');
        return session.code();
    }
    const std::string qr = options.no_qr ? "" : qr_text(reply.invitation, session.terminal());
    session.output().write(invitation_text(reply, qr));
    return session.code();
}

int join(const Common& common, const JoinOptions& options) {
    const std::string line = options.invitation.empty() || options.invitation == "-"
                                 ? read_invitation(common)
                                 : options.invitation;
    if (line.find_first_not_of(" \t\r") == std::string::npos) {
        throw Error(kUsage, "no invitation: `shoal invite` on a device of the cluster prints one");
    }
    Session session(common);
    const auto final = session.ask(messages::JoinRequest{line});
    if (!final) return session.code();
    return show_cluster(session, common, *final, "This device is now in the cluster");
}

int leave(const Common& common) {
    Session session(common);
    const auto final = session.ask(messages::LeaveRequest{});
    if (!final) return session.code();
    return show_cluster(session, common, *final, "This device left, and is now the cluster");
}

int devices(const Common& common) {
    return ask_devices(common, messages::DevicesRequest{});
}

int devices_rename(const Common& common, const std::string& device, const std::string& name) {
    return ask_devices(common, messages::RenameRequest{device, name});
}

int devices_forget(const Common& common, const std::string& device) {
    return ask_devices(common, messages::ForgetRequest{device});
}

}  // namespace shoal::cli
