// What a device counts of itself, for /metrics.
#pragma once

#include <cstdint>
#include <vector>

#include "daemon/engine/effort.hpp"
#include "daemon/metrics/histogram.hpp"
#include "daemon/plan/plan_figures.hpp"
#include "daemon/requests/request_meter.hpp"
#include "mesh/exchange/link_meter.hpp"
#include "mesh/exchange/stats.hpp"

namespace shoal {

/// Of the daemon's process.
struct ProcessFigures {
    std::uint64_t resident_bytes = 0;
    std::uint64_t open_descriptors = 0, max_descriptors = 0;
    double cpu_seconds = 0;
    double started = 0;  ///< seconds of the Unix epoch
};

/// At one moment.
struct DeviceFigures {
    RequestMeter::Reading requests{};
    PlanFigures plans{};
    Effort effort{};
    std::vector<mesh::LinkReport> links{};
    mesh::DataPlaneStats data{};
    std::uint64_t refused = 0;  ///< connections of devices whose key is not the cluster's
    Histogram loop_delays{kSecondBounds};
    ProcessFigures process{};
};

}  // namespace shoal
