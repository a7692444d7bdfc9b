#include "daemon/planner/choose.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <numeric>

namespace shoal::planner {
namespace {

bool better(const std::optional<Alternative>& a, const std::optional<Alternative>& b) {
    return a && (!b || a->seconds < b->seconds);
}

// What a device takes for a unit of each share in steps of so many rows, which attend to so many
// positions each.
shard::Pace pace_of(const ModelWork& work, const DeviceProfile& p, double steps, double rows,
                    double positions, double outputs) {
    const double attended = rows * positions * work.head_dim * work.n_layers;
    return {steps * (seconds_of(work.query_head, p, rows) + attended * attend_seconds(p, rows)),
            steps * seconds_of(work.kv_head, p, rows), steps * seconds_of(work.ffn_column, p, rows),
            outputs * seconds_of(work.vocab_row, p, 1)};
}

}  // namespace

Chooser::Chooser(const model::GgufHeader& header, const model::Hparams& hp, const Cluster& cluster,
                 const Terms& terms)
    : cluster_(cluster),
      terms_(terms),
      work_(work_of(header, hp)),
      cutter_(header, hp),
      layer_bytes_(shard::whole_layer_bytes(header, hp)) {
    const Request& r = terms.request;
    const double rows = std::clamp(r.prompt, 1U, terms.form.batch_rows);
    for (const PlanDevice& device : cluster.devices) {
        const DeviceProfile& p = device.profile;
        paces_.push_back(
            {pace_of(work_, p, r.prompt / rows, rows, r.positions + r.prompt / 2.0, 1),
             pace_of(work_, p, r.answer, 1, r.positions + r.prompt + r.answer / 2.0, r.answer)});
    }
}

std::vector<shard::Device> Chooser::devices_of(const std::vector<std::size_t>& members,
                                               const Weighting& w) const {
    std::vector<shard::Device> devices;
    for (const std::size_t m : members) {
        const PlanDevice& device = cluster_.devices[m];
        const Paces& paces = paces_[m];
        const auto pace = [&](double shard::Pace::*unit, const Weights& weights) {
            return weights.prompt * paces.prompt.*unit + weights.answer * paces.answer.*unit;
        };
        shard::Device& d = devices.emplace_back();
        d.name = device.name;
        d.pace = {pace(&shard::Pace::query_head, w[0]), pace(&shard::Pace::kv_head, w[0]),
                  pace(&shard::Pace::ffn_column, w[1]), pace(&shard::Pace::vocab_row, w[2])};
        d.memory_bytes = device.memory_bytes;
        d.embedding = m == 0;
        d.most = device.most;
    }
    return devices;
}

Predictor Chooser::predictor(const Alternative& of) const {
    Form form = terms_.form;
    form.overlap = of.overlap;
    return {work_, cluster_, of.members, form, of.sharing ? &*of.sharing : nullptr};
}

// How its rows are shared out, whether large steps have halves, and what the request takes then.
void Chooser::assess(Alternative& some) const {
    const bool several = some.members.size() > 1;
    std::optional<RowSharing> sharing;
    if (terms_.rows && several) {
        const shard::Demand demand = terms_.demand(some.members.size());
        const auto devices = devices_of(some.members, {});
        std::vector<std::uint64_t> left;
        for (std::size_t r = 0; r < devices.size(); ++r) {
            const std::uint64_t needed = cutter_.needed_bytes(some.slices[r], devices[r], demand);
            left.push_back(devices[r].memory_bytes == 0 ? UINT64_MAX
                                                        : devices[r].memory_bytes - needed);
        }
        sharing = share_rows(work_, cluster_, some.members, some.slices, left, layer_bytes_,
                             *terms_.rows);
    }
    const auto prompt = [&] {
        return predictor(some).prefill(some.slices, terms_.request.prompt, 0).sum();
    };
    assess_prompts(some, sharing, several && terms_.overlap.value_or(false));
    if (several && !terms_.overlap) {
        const double plain = prompt();
        assess_prompts(some, sharing, true);
        if (prompt() * kWorth >= plain) assess_prompts(some, sharing, false);
    }
    some.seconds = predictor(some).request(some.slices, terms_.request).sum();
}

void Chooser::assess_prompts(Alternative& some, const std::optional<RowSharing>& sharing,
                             bool overlap) const {
    some.overlap = overlap;
    some.sharing = sharing;
    if (!some.sharing) return;
    some.sharing->from = terms_.rows->always ? 1 : sharing_pays_from(some);
    if (some.sharing->from == 0) some.sharing.reset();
}

// The shortest prompt, of powers of two, from which on rows shared out are sooner through; 0: none.
std::uint32_t Chooser::sharing_pays_from(const Alternative& some) const {
    const Predictor predict = predictor(some);
    std::uint32_t from = 0;
    for (std::uint32_t rows = terms_.form.batch_rows; rows > 1; rows /= 2) {
        const Rows step{double(rows), rows / 2.0, 1};
        if (predict.sequence_step(some.slices, *some.sharing, step).sum() * kWorth >=
            predict.step(some.slices, step).sum()) {
            break;
        }
        from = rows;
    }
    return from;
}

std::optional<Alternative> Chooser::cut(std::vector<std::size_t> members,
                                        const Weighting& weighting) const {
    Alternative some{std::move(members), {}, 0};
    try {
        some.slices =
            cutter_.cut(devices_of(some.members, weighting), terms_.demand(some.members.size()));
    } catch (const shard::PlanError&) {
        return std::nullopt;
    }
    assess(some);
    return some;
}

// A cut makes one number of what the prompt and the answer take, which is exact where the slowest
// device is the same in both. Where it is not, other weights may do better, for each part of the
// model its own.
Alternative Chooser::refined(Alternative some) const {
    static constexpr std::array kWeights{Weights{1, 1}, Weights{1, 0}, Weights{0, 1}};
    if (some.members.size() == 1) return some;
    const bool few = some.members.size() <= kEveryChoice;
    const auto take = [&](std::optional<Alternative> other) {
        if (!other) return;
        if (few) polish(*other);
        if (other->seconds < some.seconds) some = *std::move(other);
    };
    Weighting best{};
    std::array<double, 3> least{};
    least.fill(some.seconds);
    for (const Weights& weights : kWeights) {
        auto other = cut(some.members, {weights, weights, weights});
        if (!other) continue;
        const Seconds s = predictor(*other).request(other->slices, terms_.request);
        const std::array parts{s.attention, s.ffn, s.lm_head};
        for (std::size_t i = 0; i < parts.size(); ++i) {
            if (parts[i] >= least[i]) continue;
            least[i] = parts[i];
            best[i] = weights;
        }
        take(std::move(other));
    }
    take(cut(some.members, best));
    return some;
}

// Moves shares from one device to another as long as that makes a request shorter: what is left to
// gain where prompt and answer have different slowest devices, or where memory is short.
void Chooser::polish(Alternative& some) const {
    const auto devices = devices_of(some.members, {});
    const shard::Demand demand = terms_.demand(some.members.size());
    const Predictor predict = predictor(some);
    const auto seconds = [&](const std::vector<shard::Slice>& slices, shard::Part part) {
        const Seconds s = predict.request(slices, terms_.request);
        return std::array{s.attention, s.ffn, s.lm_head}[static_cast<std::size_t>(part)];
    };
    const auto allowed = [&](const std::vector<shard::Slice>& slices) {
        for (std::size_t r = 0; r < devices.size(); ++r) {
            if (slices[r] == some.slices[r]) continue;
            if (!cutter_.fits(slices[r], devices[r], demand)) return false;
        }
        return true;
    };
    // So many of a part from one device to another, where that helps; false: nowhere.
    const auto move = [&](shard::Part part, std::uint32_t count) {
        const double now = seconds(some.slices, part) * (1 - 1e-6);
        for (std::size_t from = 0; from < devices.size(); ++from) {
            for (std::size_t to = 0; to < devices.size(); ++to) {
                auto other = cutter_.moved(some.slices, part, from, to, count);
                if (!other || seconds(*other, part) >= now || !allowed(*other)) continue;
                some.slices = *std::move(other);
                return true;
            }
        }
        return false;
    };
    using enum shard::Part;
    for (const auto& [part, unit] : {std::pair{heads, work_.n_heads / work_.n_kv_heads},
                                     {heads, 1U},
                                     {ffn, cutter_.unit(ffn, devices.size())},
                                     {vocab, 1U}}) {
        std::uint32_t most = 1;
        for (const shard::Slice& slice : some.slices) {
            most = std::max(most, shard::range_of(slice, part).size() / unit);
        }
        for (std::uint32_t step = std::bit_floor(most); step > 0;) {
            if (!move(part, step * unit)) step /= 2;
        }
    }
    assess(some);
}

std::optional<Alternative> Chooser::among(std::vector<std::size_t> members) const {
    auto some = cut(std::move(members), {});
    return some ? std::optional(refined(*std::move(some))) : std::nullopt;
}

std::optional<Alternative> Chooser::joined(const Alternative& some, std::size_t device) const {
    std::vector<std::size_t> members = some.members;
    members.insert(std::upper_bound(members.begin(), members.end(), device), device);
    return cut(std::move(members), {});
}

std::vector<std::optional<Alternative>> Chooser::every_choice() const {
    const std::size_t others = cluster_.devices.size() - 1;
    std::vector<std::optional<Alternative>> best(others + 1);
    for (std::uint32_t set = 0; set < (1U << others); ++set) {
        std::vector<std::size_t> members{0};
        for (std::size_t i = 0; i < others; ++i) {
            if ((set >> i & 1) != 0) members.push_back(i + 1);
        }
        const std::size_t count = members.size();
        auto some = cut(std::move(members), {});
        if (better(some, best[count - 1])) best[count - 1] = std::move(some);
    }
    return best;
}

bool Chooser::alike(std::size_t a, std::size_t b) const {
    const PlanDevice &x = cluster_.devices[a], &y = cluster_.devices[b];
    if (x.profile != y.profile || x.memory_bytes != y.memory_bytes || x.most != y.most ||
        x.whole_file != y.whole_file) {
        return false;
    }
    for (std::size_t c = 0; c < cluster_.devices.size() && !cluster_.links.empty(); ++c) {
        if (c == a || c == b) continue;
        if (cluster_.link(a, c) != cluster_.link(b, c)) return false;
        if (cluster_.link(c, a) != cluster_.link(c, b)) return false;
    }
    return true;
}

// Again and again the device that helps most, and of those that are alike the first.
std::vector<std::optional<Alternative>> Chooser::one_by_one() const {
    const std::size_t count = cluster_.devices.size();
    std::vector<std::optional<Alternative>> best(count);
    Alternative some{{0}, {}, 0};
    best[0] = cut({0}, {});
    for (std::size_t n = 1; n < count; ++n) {
        std::vector<std::size_t> tried;
        std::size_t most_memory = 0;
        for (std::size_t d = 1; d < count; ++d) {
            if (std::binary_search(some.members.begin(), some.members.end(), d)) continue;
            const auto memory = [&](std::size_t i) {
                const std::uint64_t bytes = cluster_.devices[i].memory_bytes;
                return bytes == 0 ? ~std::uint64_t{0} : bytes;
            };
            if (most_memory == 0 || memory(d) > memory(most_memory)) most_memory = d;
            if (std::any_of(tried.begin(), tried.end(),
                            [&](std::size_t t) { return alike(t, d); })) {
                continue;
            }
            tried.push_back(d);
            auto with = joined(some, d);
            if (better(with, best[n])) best[n] = std::move(with);
        }
        if (best[n]) {
            some = *best[n];
        } else {  // It fits nobody yet: whoever has most room goes first.
            some.members.insert(
                std::upper_bound(some.members.begin(), some.members.end(), most_memory),
                most_memory);
        }
    }
    return best;
}

std::vector<std::size_t> Chooser::all() const {
    std::vector<std::size_t> members(cluster_.devices.size());
    std::iota(members.begin(), members.end(), 0);
    return members;
}

bool Chooser::fits() const {
    if (cut(all(), {})) return true;
    const auto some = choices();
    return std::any_of(some.begin(), some.end(), [](const auto& choice) { return !!choice; });
}

// The best of each number of devices, before shares are refined.
std::vector<std::optional<Alternative>> Chooser::choices() const {
    return cluster_.devices.size() <= kEveryChoice ? every_choice() : one_by_one();
}

std::vector<std::optional<Alternative>> Chooser::by_count() const {
    auto best = choices();
    for (auto& some : best) {
        if (some) some = refined(*std::move(some));
    }
    return best;
}

Alternative Chooser::best() const {
    return best(by_count());
}

Alternative Chooser::best(const std::vector<std::optional<Alternative>>& by_count) const {
    const Alternative* best = nullptr;
    for (const auto& some : by_count) {
        if (!some) continue;
        const bool too_few = best != nullptr && best->members.size() < terms_.min_devices;
        if (best == nullptr || too_few || some->seconds * kWorth < best->seconds) best = &*some;
    }
    if (best != nullptr) return *best;
    // It fits no choice: say what all of them lack.
    static_cast<void>(cutter_.cut(devices_of(all(), {}), terms_.demand(all().size())));
    throw shard::PlanError("no choice of devices can hold the model");
}

std::map<std::size_t, Chooser::Reason> Chooser::left_out(const Alternative& chosen) const {
    std::map<std::size_t, Reason> reasons;
    const Request& r = terms_.request;
    for (std::size_t d = 1; d < cluster_.devices.size(); ++d) {
        if (std::binary_search(chosen.members.begin(), chosen.members.end(), d)) continue;
        const auto with = joined(chosen, d);
        reasons[d] =
            !with ? Reason{false, "its memory is too little for a part of the model"}
                  : Reason{true, fmt::format("an answer of {} tokens to {} would take "
                                             "{:.3g} s with it, and takes {:.3g} s "
                                             "without it",
                                             r.answer, r.prompt, with->seconds, chosen.seconds)};
    }
    return reasons;
}

}  // namespace shoal::planner
