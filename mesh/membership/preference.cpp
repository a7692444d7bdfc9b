#include "mesh/membership/preference.hpp"

#include <bit>
#include <tuple>

namespace shoal::mesh::membership {

Candidate candidate_of(const DeviceId& id, const DeviceDescription& description) noexcept {
    return {id, description.priority, description.memory_total, description.speed};
}

bool is_preferred(const Candidate& a, const Candidate& b) noexcept {
    const auto key = [](const Candidate& c) {
        return std::make_tuple(c.priority, std::bit_width(c.memory), c.speed, c.id);
    };
    return key(a) > key(b);
}

}  // namespace shoal::mesh::membership
