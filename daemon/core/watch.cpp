// What a daemon's core notices of itself and of its mesh, and tells.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "daemon/core/core.hpp"

namespace shoal {

using mesh::messages::Severity;
using mesh::messages::Warning;

namespace {

// What the mesh finds wrong is looked at this often.
constexpr auto kWatch = std::chrono::seconds(1);
// A device that could not lead wishes to again after this time.
constexpr auto kAbdication = std::chrono::minutes(10);

// What runs another version than the root, which says so.
std::vector<Warning> other_versions(const std::vector<mesh::Member>& members,
                                    const mesh::DeviceId& root) {
    std::vector<Warning> list;
    const auto leads = std::ranges::find(members, root, &mesh::Member::id);
    for (const mesh::Member& m : members) {
        if (leads == members.end() || m.description.version == leads->description.version) continue;
        list.push_back({"other-version", Severity::warning, m.id.hex(),
                        fmt::format("it runs version {} of shoald, and the root {}",
                                    m.description.version, leads->description.version),
                        "install the same version on all devices, and restart their daemons"});
    }
    return list;
}

}  // namespace

// The mesh says what is wrong as of now; what it does not say any more is over.
void DaemonCore::watch_mesh() {
    std::vector<Warning> current = ports_.mesh.warnings();
    for (const auto& before : mesh_warnings_) {
        const bool stays = std::any_of(current.begin(), current.end(), [&](const auto& w) {
            return w.name == before.name && w.device == before.device;
        });
        if (!stays) warnings_.clear(before.name, before.device);
    }
    for (const auto& warning : current) warnings_.raise(warning);
    mesh_warnings_ = std::move(current);
    const bool leads = ports_.mesh.root() == self_;
    warnings_.replace("other-version", leads ? other_versions(ports_.mesh.members(), self_)
                                             : std::vector<Warning>());
    watching_ = ports_.loop.after(
        kWatch, [this] { watch_mesh(); }, "warnings of the mesh");
}

void DaemonCore::warn_left_out(const LeftOutDevices& devices) {
    std::vector<Warning> list;
    for (const auto& [id, why] : devices) {
        list.push_back(
            {"left-out", why.spare ? Severity::notice : Severity::warning, id.hex(),
             (why.spare ? "it is a spare: " : "the others work without it: ") + why.reason,
             why.remedy});
    }
    warnings_.replace("left-out", std::move(list));
}

void DaemonCore::warn_slow(const std::map<mesh::DeviceId, double>& slow) {
    std::vector<Warning> list;
    for (const auto& [id, factor] : slow) {
        list.push_back({"slow-device", Severity::warning, id.hex(),
                        fmt::format("it computes {:.0f} times slower than it measured, "
                                    "and gets a smaller share from the next plan on",
                                    factor),
                        "look for other work on it, heat or a weak power supply; measure it anew "
                        "with shoal bench when it is idle, or correct device.speed_bytes"});
    }
    warnings_.replace("slow-device", std::move(list));
}

void DaemonCore::warn_vocabulary(const std::string& text) {
    constexpr const char* kName = "pre-tokenizer-guessed";
    if (text.empty()) return warnings_.clear(kName, "");
    warnings_.raise({kName, Severity::warning, "", text,
                     "get the model's file from a newer conversion, or a version of shoald "
                     "that knows its pre-tokenizer"});
}

void DaemonCore::abdicate(Unfit why, const std::string& reason) {
    unfit_ = why;
    const char* what = why == Unfit::failing ? "failed: " : "has too little memory: ";
    warnings_.raise({"cannot-lead", Severity::warning, self_.hex(),
                     std::string("another device leads, because this one ") + what + reason, ""});
    describe();
    abdication_ = ports_.loop.after(
        kAbdication,
        [this] {
            unfit_.reset();
            warnings_.clear("cannot-lead", self_.hex());
            describe();
        },
        "an abdication");
}

}  // namespace shoal
