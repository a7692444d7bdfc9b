// Which devices there are, for people, and what they are called.
#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "daemon/contact/first_contact.hpp"
#include "daemon/log/log.hpp"
#include "mesh/discovery/interfaces.hpp"

namespace shoal {

using mesh::messages::DeviceFrame;
using mesh::messages::ErrorCode;
using mesh::messages::Failed;
using mesh::messages::KnownDevice;

namespace {

constexpr auto kRenamePatience = std::chrono::seconds(10);

}  // namespace

std::optional<mesh::DeviceId> FirstContact::find(const std::string& text, std::string& why) const {
    const auto other = book_.find(text, why);
    const bool is_self = text == name() ||
                         (text.size() >= DeviceBook::kLeastDigits && self_.hex().starts_with(text));
    if (!is_self) return other;
    const bool is_alone = std::ranges::none_of(
        book_.devices(), [&](const auto& entry) { return entry.second.name == text; });
    if (is_alone) return self_;
    why = "several devices are called \"" + text +
          "\"; give the id of the one that is meant, as shoal devices shows it";
    return std::nullopt;
}

std::vector<std::string> FirstContact::addresses() const {
    std::vector<mesh::discovery::Interface> interfaces;
    try {
        interfaces = mesh::discovery::list_interfaces();
    } catch (const std::runtime_error&) {
        // The system does not tell.
    }
    return mesh::discovery::listener_addresses(bind_, interfaces, interfaces_);
}

mesh::messages::DevicesReply FirstContact::devices() const {
    const auto now =
        static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(
                                       std::chrono::system_clock::now().time_since_epoch())
                                       .count());
    const auto members = links_.node().members();
    mesh::messages::DevicesReply reply;
    reply.cluster = key().fingerprint();
    const std::vector<std::string> own = addresses();
    reply.devices.push_back({self_.hex(), name(), own.empty() ? "" : own.front(),
                             members.front().description.version, book_.since, now, true, true});
    for (const auto& [id, device] : book_.devices()) {
        const auto member = std::ranges::find(members, id, &mesh::Member::id);
        KnownDevice known{id.hex(),     device.name, device.address, device.version,
                          device.since, device.seen, false,          member != members.end()};
        if (known.online) {
            known.name = member->description.name;
            known.version = member->description.version;
            known.address = member->address;
            known.seen = now;
        }
        reply.devices.push_back(std::move(known));
    }
    std::sort(reply.devices.begin() + 1, reply.devices.end(),
              [](const KnownDevice& a, const KnownDevice& b) {
                  return std::tie(a.name, a.id) < std::tie(b.name, b.id);
              });
    return reply;
}

void FirstContact::rename(const mesh::messages::RenameRequest& request, Told told) {
    std::string why;
    const auto id = find(request.device, why);
    if (!id) return told(Failed{ErrorCode::not_found, why});
    if (*id == self_) {
        why = name_.set(request.name);
        if (!why.empty()) return told(Failed{ErrorCode::unavailable, why});
        links_.renamed();
        return told(devices());
    }
    const std::uint64_t number = next_renaming_++;
    const DeviceFrame frame{number, mesh::messages::Rename{request.name}};
    if (!is_member(*id) || !links_.send(*id, encode(frame))) {
        return told(
            Failed{ErrorCode::unavailable,
                   "the device \"" + request.device +
                       "\" is not there now, and keeps its name itself; try again when it is"});
    }
    Timer patience = loop_.after(
        kRenamePatience,
        [this, number] {
            const auto waiting = renamings_.extract(number);
            if (!waiting.empty()) {
                waiting.mapped().told(
                    Failed{ErrorCode::unavailable, "the device does not answer; try again later"});
            }
        },
        "a device's new name");
    renamings_[number] = {*id, std::move(told), std::move(patience)};
}

void FirstContact::hear(const mesh::DeviceId& from, std::uint64_t id,
                        const mesh::messages::Rename& rename) {
    std::string error = "that is no name";
    if (!rename.name.empty() && rename.name.find_first_of("\n\r\t") == std::string::npos) {
        error = name_.set(rename.name);
    }
    if (error.empty()) {
        log::info("this device is called {} from now on, as device {} wants it", rename.name,
                  from.hex().substr(0, 8));
        links_.renamed();
    }
    static_cast<void>(links_.send(from, encode(DeviceFrame{id, mesh::messages::Renamed{error}})));
}

void FirstContact::hear(const mesh::DeviceId& from, std::uint64_t id,
                        const mesh::messages::Renamed& renamed) {
    const auto it = renamings_.find(id);
    if (it == renamings_.end() || it->second.device != from) return;
    const Told told = std::move(it->second.told);
    renamings_.erase(it);
    if (renamed.error.empty()) return told(devices());
    told(Failed{ErrorCode::unavailable, renamed.error});
}

}  // namespace shoal
