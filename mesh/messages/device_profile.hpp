// What a device does in a second, as it announces it and as `shoal bench` shows it. The daemon's
// planner::DeviceProfile has the same members and says what they mean.
#pragma once

namespace shoal::mesh::messages {

/// Of one family of weight types.
struct ProductRates {
    double one_row = 0;    ///< bytes of weights a second
    double many_rows = 0;  ///< multiply-adds a second
    double in_file = 0;    ///< the same, weights in the file's layout
    bool operator==(const ProductRates&) const = default;
};

/// All zeros: not known. Receivers judge the numbers, which may be anything finite.
struct DeviceProfile {
    ProductRates f32, f16, q8, q4, k;
    double attend_one = 0, attend_many = 0;  ///< elements of K a second
    double elements = 0;                     ///< of the residual stream a second
    double layer_seconds = 0;
    bool operator==(const DeviceProfile&) const = default;
};

}  // namespace shoal::mesh::messages
