#include "daemon/plan/situation.hpp"

#include <algorithm>
#include <cstddef>
#include <tuple>

namespace shoal {
namespace {

bool contains(const Pair& pair, const mesh::DeviceId& id) {
    return pair.first == id || pair.second == id;
}

std::string names_apart_from(const mesh::DeviceId& id, const Situation& situation) {
    std::string names;
    for (const Pair& pair : situation.apart) {
        if (!contains(pair, id)) continue;
        const mesh::DeviceId& other = pair.first == id ? pair.second : pair.first;
        const auto it = std::ranges::find(situation.devices, other,
                                          [](const Candidate& c) { return c.member.id; });
        names += (names.empty() ? "" : ", ") +
                 (it == situation.devices.end() ? other.hex().substr(0, 8) : it->name);
    }
    return names;
}

}  // namespace

Choice choose(Situation situation) {
    LeftOutDevices left_out;
    for (const Candidate& c : std::span(situation.devices).subspan(1)) {
        if (!c.fault) continue;
        left_out[c.member.id] = {*c.fault,
                                 "it is tried again after a while, and at once when it starts "
                                 "again; its log says more"};
    }
    std::erase_if(situation.apart, [&](const Pair& pair) {
        return left_out.contains(pair.first) || left_out.contains(pair.second);
    });
    const auto leave = [&] {
        std::erase_if(situation.devices,
                      [&](const Candidate& c) { return left_out.contains(c.member.id); });
    };
    leave();
    for (const mesh::DeviceId& id :
         smaller_side(situation.devices, situation.apart, situation.planned)) {
        left_out[id] = {
            "there is no connection between it and " + names_apart_from(id, situation),
            "let firewalls between them pass UDP 47474 and 47475 and the daemons' TCP ports "
            "(cluster.port)"};
    }
    leave();
    situation.apart.clear();
    return {std::move(situation), std::move(left_out)};
}

bool same_devices(const Choice& choice, const std::set<mesh::DeviceId>& before,
                  bool with_suspicious) {
    std::set<mesh::DeviceId> now;
    for (const Candidate& c : choice.taking.devices) {
        if (before.contains(c.member.id) || with_suspicious || !c.suspicious) {
            now.insert(c.member.id);
        }
    }
    return now == before;
}

std::vector<mesh::DeviceId> smaller_side(std::span<const Candidate> devices,
                                         std::vector<Pair> apart,
                                         const std::set<mesh::DeviceId>& kept) {
    std::vector<mesh::DeviceId> out;
    while (!apart.empty()) {
        const mesh::Member* worst = nullptr;
        std::tuple<std::ptrdiff_t, bool, double, mesh::DeviceId> worst_key;
        for (const Candidate& candidate : devices.subspan(1)) {
            const mesh::Member& m = candidate.member;
            const auto pairs = std::ranges::count_if(
                apart, [&](const Pair& pair) { return contains(pair, m.id); });
            if (pairs == 0) continue;
            const std::tuple key{pairs, !kept.contains(m.id), -m.description.speed, m.id};
            if (worst != nullptr && key < worst_key) continue;
            worst = &m;
            worst_key = key;
        }
        if (worst == nullptr) break;  // Pairs of devices that are no candidates.
        out.push_back(worst->id);
        std::erase_if(apart, [&](const Pair& pair) { return contains(pair, worst->id); });
    }
    return out;
}

}  // namespace shoal
