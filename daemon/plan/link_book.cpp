#include "daemon/plan/link_book.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "mesh/messages/measured_link.hpp"

namespace shoal {
namespace {

constexpr double kLeastSeconds = 1e-7, kMostSeconds = 10;
constexpr double kLeastBytes = 100, kMostBytes = 1e13;
// Of an exchange's time, whatever its bytes should have taken.
constexpr double kLeastBesideBytes = 0.25;

bool alike(double a, double b) {
    return std::max(a, b) <= std::min(a, b) * kLinkNoise;
}
bool alike(const planner::Link& a, const planner::Link& b) {
    return alike(a.exchange_seconds, b.exchange_seconds) &&
           alike(a.bytes_per_second, b.bytes_per_second);
}

double median_of(std::vector<double> values) {
    const auto it = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), it, values.end());
    return *it;
}

}  // namespace

bool plausible(const planner::Link& link) noexcept {
    // False for NaN as well.
    return link.exchange_seconds >= kLeastSeconds && link.exchange_seconds <= kMostSeconds &&
           link.bytes_per_second >= kLeastBytes && link.bytes_per_second <= kMostBytes;
}

bool take_down(KnownLinks& links, const mesh::DeviceId& first, const mesh::DeviceId& second,
               KnownLink link) {
    if (second < first) {
        std::swap(link.there, link.back);
        std::swap(link.first_address, link.second_address);
    }
    KnownLink& known = links[std::minmax(first, second)];
    const bool same = plausible(known.there) && !known.date.empty() &&
                      alike(known.there, link.there) && alike(known.back, link.back);
    if (same) {
        link.there = known.there;
        link.back = known.back;
    }
    known = std::move(link);
    return !same;
}

planner::Link planned(const KnownLink& link, bool there) {
    const double slower = std::min(link.there.bytes_per_second, link.back.bytes_per_second);
    planner::Link out = there ? link.there : link.back;
    const double bytes = mesh::messages::kTimedExchangeBytes / slower;
    out.exchange_seconds =
        std::max(out.exchange_seconds - bytes, out.exchange_seconds * kLeastBesideBytes);
    return out;
}

void set_links(planner::Cluster& cluster, std::span<const mesh::DeviceId> devices,
               const KnownLinks& known) {
    const std::size_t count = devices.size();
    const auto find = [&](std::size_t a, std::size_t b) {
        return known.find(std::minmax(devices[a], devices[b]));
    };
    std::vector<double> waits, speeds;
    for (std::size_t a = 0; a < count; ++a) {
        for (std::size_t b = a + 1; b < count; ++b) {
            const auto it = find(a, b);
            if (it == known.end()) continue;
            ++cluster.measured_pairs;
            waits.push_back(planned(it->second, true).exchange_seconds);
            speeds.push_back(it->second.there.bytes_per_second);
            speeds.push_back(it->second.back.bytes_per_second);
        }
    }
    if (waits.empty()) return;
    cluster.usual = {median_of(std::move(waits)), median_of(std::move(speeds))};
    cluster.links.assign(count * count, cluster.usual);
    for (std::size_t a = 0; a < count; ++a) {
        for (std::size_t b = 0; b < count; ++b) {
            if (a == b) continue;
            const auto it = find(a, b);
            if (it == known.end()) continue;
            cluster.links[a * count + b] = planned(it->second, devices[a] < devices[b]);
        }
    }
}

}  // namespace shoal
