#include "daemon/planner/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "daemon/shard/slice.hpp"

namespace shoal::planner {
namespace {

// What a token would gain if devices with the same KV head computed a part of its K and V each and
// exchanged them: one more exchange in each layer, for what the slowest computes too much.
double sharing_kv(const ModelWork& work, const Cluster& cluster, const Alternative& some,
                  const Predictor& predict) {
    std::vector<std::uint32_t> holders(work.n_kv_heads);
    for (const shard::Slice& slice : some.slices) {
        for (std::uint32_t h = slice.kv_heads.begin; h < slice.kv_heads.end; ++h) ++holders[h];
    }
    double longest = 0;
    for (std::size_t r = 0; r < some.slices.size(); ++r) {
        double saved = 0;
        for (std::uint32_t h = some.slices[r].kv_heads.begin; h < some.slices[r].kv_heads.end;
             ++h) {
            saved += 1 - 1.0 / holders[h];
        }
        longest = std::max(
            longest, saved * seconds_of(work.kv_head, cluster.devices[some.members[r]].profile, 1));
    }
    if (longest == 0) return 0;
    return work.n_layers * predict.all_gather(2 * sizeof(float) * work.head_dim) - longest;
}

LinksReport links_of(const Cluster& cluster) {
    LinksReport out;
    const std::size_t count = cluster.devices.size();
    out.pairs = count * (count - 1) / 2;
    out.measured = cluster.measured_pairs;
    out.usual = out.best = out.worst = cluster.usual;
    bool first = true;
    for (std::size_t a = 0; a < count; ++a) {
        for (std::size_t b = 0; b < count; ++b) {
            if (a == b) continue;
            const Link& link = cluster.link(a, b);
            if (std::exchange(first, false)) out.best = out.worst = link;
            out.best.exchange_seconds = std::min(out.best.exchange_seconds, link.exchange_seconds);
            out.worst.exchange_seconds =
                std::max(out.worst.exchange_seconds, link.exchange_seconds);
            out.best.bytes_per_second = std::max(out.best.bytes_per_second, link.bytes_per_second);
            out.worst.bytes_per_second =
                std::min(out.worst.bytes_per_second, link.bytes_per_second);
        }
    }
    return out;
}

const Alternative& of_so_many(const std::vector<std::optional<Alternative>>& choices,
                              std::size_t devices) {
    if (devices > choices.size()) {
        throw shard::PlanError(fmt::format("a plan for {} devices was asked for, and there {} {}",
                                           devices, choices.size() == 1 ? "is" : "are",
                                           choices.size()));
    }
    const auto& some = choices[devices - 1];
    if (some) return *some;
    throw shard::PlanError(
        fmt::format("the model fits no choice of {} device{}", devices, devices == 1 ? "" : "s"));
}

}  // namespace

Report report(const model::GgufHeader& header, const model::Hparams& hp, const Cluster& cluster,
              const Terms& terms, std::vector<double> positions, std::uint32_t prompt,
              std::size_t shown) {
    Report out;
    out.model = hp.name;
    out.context = terms.demand(1).kv_positions;
    out.positions = std::move(positions);
    out.prompt = prompt;
    out.request = terms.request;
    out.min_devices = terms.min_devices;
    out.links = links_of(cluster);
    const Chooser chooser(header, hp, cluster, terms);
    const shard::Cutter cutter(header, hp);
    const auto choices = chooser.by_count();
    const Alternative chosen = chooser.best(choices);
    const Alternative best = shown == 0 ? chosen : of_so_many(choices, shown);
    out.shown = best.members.size();
    const auto memory = [&](const Alternative& some, std::size_t r) {
        return cutter.needed_bytes(some.slices[r], {"", {}, 0, some.members[r] == 0},
                                   terms.demand(some.members.size()));
    };
    for (std::size_t n = 1; n <= choices.size(); ++n) {
        CountReport& count = out.counts.emplace_back();
        count.devices = n;
        const auto& some = choices[n - 1];
        if (!some) continue;
        count.fits = true;
        count.chosen = some->members.size() == chosen.members.size();
        const Predictor predict = chooser.predictor(*some);
        for (const double at : out.positions) {
            count.decode.push_back(1 / predict.decode(some->slices, at).sum());
        }
        count.prefill = prompt / predict.prefill(some->slices, prompt, 0).sum();
        const Seconds token = predict.decode(some->slices, out.positions.front());
        count.exchange = token.exchange / token.sum();
        for (std::size_t r = 0; r < n; ++r) count.memory = std::max(count.memory, memory(*some, r));
        count.redundant_kv_outputs = redundant_kv_outputs(chooser.work(), some->slices);
        count.seconds = some->seconds;
    }
    const Predictor predict = chooser.predictor(best);
    out.sharing = best.sharing;
    out.overlap = best.overlap;
    out.token = predict.decode(best.slices, out.positions.front());
    out.sharing_kv = sharing_kv(chooser.work(), cluster, best, predict);
    const shard::SliceSizes sizes(header, hp);
    double all = 0;
    for (const shard::Slice& slice : best.slices) all += double(sizes.weight_bytes(slice));
    const auto reasons = chooser.left_out(best);
    for (std::size_t d = 0; d < cluster.devices.size(); ++d) {
        DeviceReport& device = out.devices.emplace_back();
        device.name = cluster.devices[d].name;
        const auto it = std::lower_bound(best.members.begin(), best.members.end(), d);
        if (it == best.members.end() || *it != d) {
            device.spare = reasons.at(d).spare;
            device.reason = reasons.at(d).text;
            continue;
        }
        const auto r = static_cast<std::size_t>(it - best.members.begin());
        device.takes_part = true;
        device.slice = best.slices[r];
        device.memory = memory(best, r);
        device.part = double(sizes.weight_bytes(best.slices[r])) / all;
    }
    return out;
}

}  // namespace shoal::planner
