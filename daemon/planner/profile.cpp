#include "daemon/planner/profile.hpp"

namespace shoal::planner {
namespace {

// Of anything that is done in a second; and seconds of a layer.
constexpr double kLeastRate = 1e3, kMostRate = 1e18;
constexpr double kLeastSeconds = 1e-9, kMostSeconds = 10;

// False for NaN as well.
bool within(double value, double least, double most) {
    return value >= least && value <= most;
}

bool is_rate(double value) {
    return within(value, kLeastRate, kMostRate);
}

}  // namespace

// Proportions of an ARM Cortex-A76 with four cores, whose memory gives 11 GB/s: products of one
// row wait for memory, those of many rows for arithmetic (tests/bench/README.md, by llvm-mca).
DeviceProfile DeviceProfile::guess(double bytes_per_second) {
    const double unit = bytes_per_second / 11e9;
    DeviceProfile p;
    const auto set = [&](Family family, double one_row, double many_rows) {
        p.rates[static_cast<std::size_t>(family)] = {one_row * unit, many_rows * unit,
                                                     0.9 * many_rows * unit};
    };
    set(Family::f32, 11e9, 40e9);
    set(Family::f16, 11e9, 40e9);
    set(Family::q8, 11e9, 200e9);
    set(Family::q4, 11e9, 200e9);
    set(Family::k, 11e9, 180e9);
    p.attend_one = 8e9 * unit;  // Of four query heads that share a KV head in f16.
    p.attend_many = 20e9 * unit;
    p.elements = 0.5e9 * unit;
    p.layer_seconds = 10e-6;
    return p;
}

bool plausible(const DeviceProfile& p) noexcept {
    for (const Rates& r : p.rates) {
        if (!is_rate(r.one_row) || !is_rate(r.many_rows) || !is_rate(r.in_file)) return false;
    }
    return is_rate(p.attend_one) && is_rate(p.attend_many) && is_rate(p.elements) &&
           within(p.layer_seconds, kLeastSeconds, kMostSeconds);
}

DeviceProfile DeviceProfile::slowed(double factor) const {
    DeviceProfile p = *this;
    for (Rates& r : p.rates) {
        r = {r.one_row / factor, r.many_rows / factor, r.in_file / factor};
    }
    p.attend_one /= factor;
    p.attend_many /= factor;
    p.elements /= factor;
    p.layer_seconds *= factor;
    return p;
}

}  // namespace shoal::planner
