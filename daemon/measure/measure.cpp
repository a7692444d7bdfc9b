#include "daemon/measure/measure.hpp"

#include "daemon/measure/attending.hpp"
#include "daemon/measure/layers.hpp"
#include "daemon/measure/passes.hpp"
#include "daemon/measure/products.hpp"

namespace shoal::measure {
namespace {

using planner::DeviceProfile;

// Products of each family; attention with one row and with many, the stream, layers.
constexpr unsigned kSteps = planner::kFamilyCount + 4;
constexpr unsigned kParts = planner::kFamilyCount * Products::kParts + 3 + kLayerParts;

}  // namespace

std::optional<DeviceProfile> measure(const kernels::Table& kernels, exec::ThreadPool& pool,
                                     const Limits& limits, const std::stop_token& stop,
                                     const Progress& progress) {
    const Passes passes(std::chrono::duration_cast<Passes::Clock::duration>(limits.time) / kParts,
                        stop);
    DeviceProfile profile;
    unsigned done = 0;
    // False: stopped.
    const auto step = [&](const auto& part) {
        if (passes.stopped()) return false;
        progress(done++, kSteps);
        part();
        return !passes.stopped();
    };
    bool whole = true;
    {
        Products products(kernels, pool, limits.bytes);
        for (const planner::Family family : planner::kFamilies) {
            whole = whole && step([&] {
                        profile.rates[static_cast<std::size_t>(family)] =
                            products.rates(family, passes);
                    });
        }
    }
    whole =
        whole &&
        step([&] { profile.attend_one = attend_one(kernels, pool, limits.bytes, passes); }) &&
        step([&] { profile.attend_many = attend_many(kernels, pool, passes); }) &&
        step([&] { profile.elements = stream_elements(kernels, pool, passes); }) &&
        step([&] { profile.layer_seconds = layer_seconds(kernels, pool, limits.bytes, passes); });
    if (!whole) return std::nullopt;
    progress(kSteps, kSteps);
    return profile;
}

}  // namespace shoal::measure
