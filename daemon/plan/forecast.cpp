#include "daemon/plan/forecast.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <exception>
#include <utility>
#include <vector>

#include "daemon/plan/make_room.hpp"
#include "daemon/plan/offer.hpp"
#include "daemon/planner/report.hpp"

namespace shoal {

using mesh::messages::ErrorCode;
using mesh::messages::Event;
using mesh::messages::Failed;
using mesh::messages::PlanReply;
using mesh::messages::PlanRequest;

namespace {

// Decoding is shown at these positions, as far as the context has them.
constexpr std::array<double, 3> kPositions{0, 4096, 32768};
constexpr std::uint32_t kPrompt = 2048;

// At the beginning of a context, within it, and at its end when it is short.
std::vector<double> positions_within(std::uint64_t context) {
    std::vector<double> out;
    for (const double at : kPositions) {
        if (at < static_cast<double>(context)) out.push_back(at);
    }
    if (out.size() == 1) out.push_back(static_cast<double>(context - 1));
    return out;
}

PlanReply reply_with(const planner::Report& report) {
    PlanReply reply;
    reply.model = report.model;
    reply.context = report.context;
    reply.positions = report.positions;
    reply.prompt = report.prompt;
    reply.request_prompt = report.request.prompt;
    reply.request_answer = report.request.answer;
    reply.min_devices = static_cast<std::uint32_t>(report.min_devices);
    for (const planner::CountReport& c : report.counts) {
        reply.counts.push_back({static_cast<std::uint32_t>(c.devices), c.fits, c.chosen, c.decode,
                                c.prefill, c.exchange, c.memory, c.redundant_kv_outputs,
                                c.seconds});
    }
    reply.shown = static_cast<std::uint32_t>(report.shown);
    for (const planner::DeviceReport& d : report.devices) {
        reply.devices.push_back(
            {d.name, d.takes_part, d.spare, message_of(d.slice), d.memory, d.part, d.reason});
    }
    if (report.sharing) {
        reply.sharing_from = report.sharing->from;
        std::size_t rank = 0;
        for (mesh::messages::PlannedDevice& device : reply.devices) {
            if (!device.takes_part) continue;
            device.row_share = report.sharing->shares[rank];
            device.whole_bytes = report.sharing->whole_bytes[rank++];
        }
    }
    reply.overlap = report.overlap;
    const planner::Seconds& t = report.token;
    reply.token = {t.attention, t.ffn, t.lm_head, t.between, t.exchange};
    reply.sharing_kv = report.sharing_kv;
    const auto link = [](const planner::Link& l) {
        return mesh::messages::PlannedLink{l.exchange_seconds, l.bytes_per_second};
    };
    const planner::LinksReport& links = report.links;
    reply.links = {static_cast<std::uint32_t>(links.pairs),
                   static_cast<std::uint32_t>(links.measured), link(links.usual), link(links.best),
                   link(links.worst)};
    return reply;
}

PlanReply reply_of(const OpenModel& model, const PlanDraft& draft, std::uint32_t devices) {
    const std::uint64_t context = draft.offer.kv_positions;
    return reply_with(planner::report(
        model.source->header(), model.hparams, draft.cluster, draft.terms,
        positions_within(context),
        static_cast<std::uint32_t>(std::min<std::uint64_t>(kPrompt, context)), devices));
}

}  // namespace

Event Forecast::of(const OpenModel& model, const PlanRequest& request) const {
    try {
        Choice choice = choose(situation);
        ParkedPlans beside = others;
        std::vector<std::string> leaving;
        if (!beside.empty()) {
            const auto may_go = [&](const PlanLife& p) { return !pinned.contains(p.model().hash); };
            const auto gone = [&](const PlanLife& p) { leaving.push_back(p.model().name); };
            choice.taking = make_room(model, rules, choice.taking, beside, may_go, now, gone).left;
        }
        const PlanDraft draft = draft_plan(model, rules, choice.taking);
        if (request.devices > draft.devices.size()) {
            return Failed{ErrorCode::bad_request,
                          fmt::format("{} devices are asked for; {} can take part now",
                                      request.devices, draft.devices.size())};
        }
        PlanReply reply = reply_of(model, draft, request.devices);
        reply.leaving = std::move(leaving);
        for (const PlanLife& plan : beside.plans()) reply.beside.push_back(plan.model().name);
        choice.left_out.insert(draft.left_out.begin(), draft.left_out.end());
        for (const Candidate& c : situation.devices) {
            const auto it = choice.left_out.find(c.member.id);
            if (it == choice.left_out.end()) continue;
            mesh::messages::PlannedDevice& device = reply.devices.emplace_back();
            device.name = c.name;
            device.reason = it->second.reason;
        }
        return reply;
    } catch (const shard::PlanError& e) {
        return Failed{ErrorCode::too_large, e.what()};
    } catch (const std::exception& e) {
        return Failed{ErrorCode::internal, e.what()};
    }
}

}  // namespace shoal
