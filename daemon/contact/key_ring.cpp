#include "daemon/contact/key_ring.hpp"

#include <algorithm>
#include <tuple>

namespace shoal {

using mesh::messages::DeviceMark;
using mesh::messages::KeyRing;

namespace {

/// Which of two rings has the cluster's key.
auto rank(const KeyRing& ring) {
    return std::tuple(ring.rotation,
                      ring.keys.empty() ? decltype(ring.keys)::value_type{} : ring.keys.front());
}

void add_keys(KeyRing& ring, const KeyRing& from) {
    for (const auto& key : from.keys) {
        if (ring.keys.size() >= mesh::messages::kMaxKeys) return;
        if (std::ranges::find(ring.keys, key) == ring.keys.end()) ring.keys.push_back(key);
    }
}

/// Of two that say otherwise with one number the device is forgotten.
void add_mark(KeyRing& ring, const DeviceMark& mark) {
    const auto it = std::ranges::find(ring.marks, mark.id, &DeviceMark::id);
    if (it != ring.marks.end()) {
        const auto weight = [](const DeviceMark& m) { return std::pair(m.number, m.forgotten); };
        if (weight(*it) < weight(mark)) *it = mark;
        return;
    }
    // By id, so that equal rings are the same.
    const auto behind = std::ranges::upper_bound(ring.marks, mark.id, {}, &DeviceMark::id);
    if (ring.marks.size() < mesh::messages::kMaxMarks) ring.marks.insert(behind, mark);
}

std::uint64_t next_number(const KeyRing& ring, const mesh::DeviceId& device) {
    const auto it = std::ranges::find(ring.marks, device.bytes, &DeviceMark::id);
    return it == ring.marks.end() ? 1 : it->number + 1;
}

}  // namespace

bool is_plausible(const KeyRing& ring) noexcept {
    constexpr std::uint64_t kMost = std::uint64_t{1} << 32;
    return ring.rotation <= kMost &&
           std::ranges::all_of(ring.marks, [](const auto& m) { return m.number <= kMost; });
}

KeyRing merged(const KeyRing& one, const KeyRing& other) {
    const bool first = rank(one) >= rank(other);
    const KeyRing& present = first ? one : other;
    KeyRing ring{present.rotation, {}, {}};
    for (const KeyRing* from : {&present, first ? &other : &one}) {
        add_keys(ring, *from);
        for (const DeviceMark& mark : from->marks) add_mark(ring, mark);
    }
    return ring;
}

KeyRing without(const KeyRing& ring, const mesh::DeviceId& device, const mesh::ClusterKey& key) {
    KeyRing made;
    made.rotation = ring.rotation + 1;
    made.keys = {key.secret};
    add_keys(made, ring);
    made.marks = ring.marks;
    if (made.marks.size() >= mesh::messages::kMaxMarks) {
        // Of a device that was let in again, or else any: this one is to be kept out.
        const auto least = std::ranges::find(made.marks, false, &DeviceMark::forgotten);
        made.marks.erase(least == made.marks.end() ? made.marks.begin() : least);
    }
    add_mark(made, {device.bytes, next_number(ring, device), true});
    return made;
}

KeyRing readmitting(const KeyRing& ring, const mesh::DeviceId& device) {
    KeyRing made = ring;
    if (forgotten(ring).contains(device)) {
        add_mark(made, {device.bytes, next_number(ring, device), false});
    }
    return made;
}

std::set<mesh::DeviceId> forgotten(const KeyRing& ring) {
    std::set<mesh::DeviceId> ids;
    for (const DeviceMark& mark : ring.marks) {
        if (mark.forgotten) ids.insert(mesh::DeviceId{mark.id});
    }
    return ids;
}

std::vector<mesh::ClusterKey> keys_of(const KeyRing& ring) {
    std::vector<mesh::ClusterKey> keys;
    for (const auto& secret : ring.keys) keys.push_back({secret});
    return keys;
}

}  // namespace shoal
