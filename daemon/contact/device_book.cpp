#include "daemon/contact/device_book.hpp"

#include <algorithm>
#include <sstream>

#include "mesh/wire/hex.hpp"

namespace shoal {

namespace {

constexpr std::string_view kHead = "shoal-devices 1";

/// One word of a line, or one line: what others say of themselves has neither blanks nor controls.
std::string plain(std::string text, bool word) {
    for (char& c : text) {
        const auto u = static_cast<unsigned char>(c);
        if (u < 0x20 || u == 0x7f || (word && u == ' ')) c = '?';
    }
    return word && text.empty() ? "?" : text;
}

bool read_device(std::istringstream& in, mesh::PublicKey& key, BookedDevice& device) {
    std::string hex;
    in >> hex >> device.since >> device.seen >> device.version >> device.address;
    if (!in || !mesh::wire::from_hex(hex, key)) return false;
    in.get();
    std::getline(in, device.name);
    device.key = key;
    return true;
}

bool read_mark(std::istringstream& in, mesh::messages::DeviceMark& mark) {
    std::string hex;
    in >> hex >> mark.number >> mark.forgotten;
    return in && mesh::wire::from_hex(hex, mark.id);
}

}  // namespace

DeviceBook DeviceBook::parse(std::string_view text) {
    DeviceBook book;
    std::istringstream lines{std::string(text.substr(0, kMaxTextBytes))};
    std::string line;
    if (!std::getline(lines, line) || line != kHead) return book;
    while (std::getline(lines, line)) {
        std::istringstream in(line);
        std::string what;
        in >> what;
        mesh::PublicKey key{};
        BookedDevice device;
        mesh::messages::DeviceMark mark;
        if (what == "rotation") {
            in >> book.rotation;
        } else if (what == "since") {
            in >> book.since;
        } else if (what == "cluster") {
            in >> book.cluster;
        } else if (what == "mark" && book.marks.size() < mesh::messages::kMaxMarks &&
                   read_mark(in, mark)) {
            book.marks.push_back(mark);
        } else if (what == "device" && book.devices_.size() < kMaxDevices &&
                   read_device(in, key, device)) {
            book.devices_[mesh::device_id_of(key)] = device;
        }
    }
    return book;
}

std::string DeviceBook::text() const {
    std::ostringstream out;
    out << kHead << "\nsince " << since << "\nrotation " << rotation << '\n';
    if (!cluster.empty()) out << "cluster " << cluster << '\n';
    for (const auto& mark : marks) {
        out << "mark " << mesh::wire::to_hex(mark.id) << ' ' << mark.number << ' ' << mark.forgotten
            << '\n';
    }
    for (const auto& [id, d] : devices_) {
        out << "device " << mesh::wire::to_hex(d.key) << ' ' << d.since << ' ' << d.seen << ' '
            << plain(d.version, true) << ' ' << plain(d.address, true) << ' '
            << plain(d.name, false) << '\n';
    }
    return out.str();
}

bool DeviceBook::see(const mesh::Member& member, std::uint64_t now) {
    if (!devices_.contains(member.id) && devices_.size() >= kMaxDevices) {
        devices_.erase(std::ranges::min_element(
            devices_, {}, [](const auto& entry) { return entry.second.seen; }));
    }
    const auto [it, is_new] = devices_.try_emplace(member.id);
    BookedDevice& device = it->second;
    const BookedDevice before = device;
    device.key = member.public_key;
    device.name = plain(member.description.name, false);
    device.version = plain(member.description.version, true);
    device.address = plain(member.address, true);
    if (is_new) device.since = now;
    const bool changed = is_new || device != before;
    device.seen = now;
    return changed;
}

void DeviceBook::seen(const mesh::DeviceId& id, std::uint64_t now) {
    if (const auto it = devices_.find(id); it != devices_.end()) it->second.seen = now;
}

bool DeviceBook::knows(const mesh::PublicKey& key) const {
    return devices_.contains(mesh::device_id_of(key));
}

std::optional<mesh::DeviceId> DeviceBook::find(const std::string& text, std::string& why) const {
    std::vector<mesh::DeviceId> named, numbered;
    for (const auto& [id, device] : devices_) {
        if (device.name == text) named.push_back(id);
        if (text.size() >= kLeastDigits && id.hex().starts_with(text)) numbered.push_back(id);
    }
    const auto& found = named.empty() ? numbered : named;
    if (found.size() == 1) return found.front();
    why = found.empty() ? "there is no device \"" + plain(text, false) +
                              "\" in the cluster; shoal devices lists those there are"
                        : "several devices are called \"" + plain(text, false) +
                              "\"; give the id of the one that is meant, as shoal devices shows it";
    return std::nullopt;
}

}  // namespace shoal
