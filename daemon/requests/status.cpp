#include "daemon/requests/status.hpp"

#include <algorithm>
#include <set>

#include "daemon/requests/warnings.hpp"

namespace shoal {
namespace {

using mesh::messages::DeviceInfo;
using mesh::messages::LinkInfo;
using mesh::messages::PlanDevice;

std::string state_of(const PlanDeviceState& state) {
    if (state.loaded) return "ready";
    if (state.total == 0) return state.what.empty() ? "preparing" : state.what;
    return state.what + " " + std::to_string(state.done * 100 / state.total) + " %";
}

std::string ago(std::chrono::steady_clock::duration time) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time).count();
    return seconds < 120 ? std::to_string(seconds) + " s ago"
                         : std::to_string(seconds / 60) + " min ago";
}

double round_trip_ms(const mesh::Member& member) {
    using Milliseconds = std::chrono::duration<double, std::milli>;
    return member.round_trip.count() < 0 ? -1 : Milliseconds(member.round_trip).count();
}

void add_slice(DeviceInfo& info, const PlanDevice& device, std::size_t rank) {
    info.rank = static_cast<std::int32_t>(rank);
    info.slice = device.slice;
}

LinkInfo link_to(const std::string& id, const std::vector<mesh::LinkReport>& links) {
    const auto it = std::find_if(links.begin(), links.end(),
                                 [&](const mesh::LinkReport& l) { return l.peer.hex() == id; });
    if (it == links.end()) return {};
    return {it->transport, it->cipher,      it->sent_bytes,  it->received_bytes, it->resent,
            it->asked,     it->collectives, it->wait_p50_us, it->wait_p99_us};
}

DeviceInfo device_info(const mesh::Member& member, const StatusParts& parts) {
    DeviceInfo info;
    info.id = member.id.hex();
    info.name = member.description.name;
    info.address = member.address;
    info.cpu = member.description.cpu;
    info.self = member.id == parts.self;
    if (info.self && !parts.address.empty()) info.address = parts.address;
    info.root = parts.root == member.id;
    info.memory_total = member.description.memory_total;
    info.memory_available = member.description.memory_available;
    info.threads = member.description.threads;
    info.round_trip_ms = round_trip_ms(member);
    info.state = parts.offer == nullptr ? "idle" : "spare";
    if (parts.offer != nullptr) {
        const auto& devices = parts.offer->devices;
        const auto it = std::find_if(devices.begin(), devices.end(),
                                     [&](const PlanDevice& d) { return d.id == member.id.bytes; });
        if (it != devices.end()) {
            add_slice(info, *it, static_cast<std::size_t>(it - devices.begin()));
            info.state = "in the plan";
        }
    }
    if (parts.states != nullptr) {
        const auto it = parts.states->find(member.id);
        if (it != parts.states->end()) {
            info.state = state_of(it->second);
            info.weight_bytes = it->second.held.weights;
            info.planned_weight_bytes = it->second.held.planned_weights;
            info.kv_bytes = it->second.held.kv_cache;
        }
    }
    return info;
}

// Of devices that are there.
std::vector<mesh::messages::MeasuredLink> measured_links(const StatusParts& parts) {
    std::vector<mesh::messages::MeasuredLink> out;
    if (parts.links == nullptr) return out;
    std::set<mesh::DeviceId> present;
    for (const mesh::Member& member : parts.members) present.insert(member.id);
    for (const auto& [pair, link] : *parts.links) {
        if (!present.contains(pair.first) || !present.contains(pair.second)) continue;
        if (out.size() == mesh::messages::kMaxListedLinks) break;
        out.push_back({pair.first.hex(), pair.second.hex(), link.there.exchange_seconds,
                       link.there.bytes_per_second, link.back.bytes_per_second, link.date,
                       link.first_address, link.second_address, link.transport, link.cipher});
    }
    return out;
}

}  // namespace

mesh::messages::StatusReply cluster_status(const StatusParts& parts) {
    mesh::messages::StatusReply reply;
    reply.version = parts.version;
    reply.cluster = parts.cluster;
    reply.self = parts.self.hex();
    if (parts.root) reply.root = parts.root->hex();
    reply.term = parts.term.counter;
    if (parts.offer != nullptr) {
        reply.plan = parts.offer->plan.number;
        reply.model = parts.offer->model_name;
        reply.model_hash = mesh::ModelHash{parts.offer->model}.hex();
        reply.collectives = parts.offer->collectives;
        reply.kv_type = parts.offer->kv_type;
        reply.context = static_cast<std::uint32_t>(parts.offer->kv_positions);
    }
    for (const mesh::Member& member : parts.members) {
        reply.devices.push_back(device_info(member, parts));
        const mesh::messages::Announcement announcement = announcement_of(member);
        reply.reading_models |= announcement.reading;
        merge(reply.warnings, announcement.warnings);
    }
    for (const LostMember& lost : parts.lost) {
        DeviceInfo& info = reply.devices.emplace_back();
        info.id = lost.member.id.hex();
        info.name = lost.member.description.name;
        info.address = lost.member.address;
        info.cpu = lost.member.description.cpu;
        info.threads = lost.member.description.threads;
        info.memory_total = lost.member.description.memory_total;
        info.alive = false;
        info.state = "lost " + ago(parts.now - lost.since);
    }
    std::stable_sort(reply.warnings.begin(), reply.warnings.end(),
                     [](const auto& a, const auto& b) { return a.severity > b.severity; });
    if (reply.warnings.size() > mesh::messages::kMaxListedWarnings) {
        reply.warnings.resize(mesh::messages::kMaxListedWarnings);
    }
    std::stable_sort(reply.devices.begin(), reply.devices.end(),
                     [](const DeviceInfo& a, const DeviceInfo& b) {
                         return static_cast<std::uint32_t>(a.rank) <
                                static_cast<std::uint32_t>(b.rank);  // -1, not planned, is last
                     });
    reply.links = measured_links(parts);
    reply.running = parts.speed.running;
    reply.queued = parts.queued;
    reply.generated_tokens = parts.speed.generated_tokens;
    reply.tokens_per_second = parts.speed.decode_tokens_per_second;
    reply.prefill_tokens_per_second = parts.speed.prefill_tokens_per_second;
    reply.parallel = parts.parallel;
    reply.preemptions = parts.speed.preemptions;
    reply.prompt_tokens = parts.speed.prompt_tokens;
    reply.cached_tokens = parts.speed.cached_tokens;
    reply.cache_use = parts.speed.cache_use;
    reply.loaded = parts.loaded;
    return reply;
}

void localise_status(mesh::messages::StatusReply& reply, const mesh::DeviceId& self,
                     const std::vector<mesh::Member>& members,
                     const std::vector<mesh::LinkReport>& links) {
    reply.self = self.hex();
    for (DeviceInfo& info : reply.devices) {
        info.self = info.id == reply.self;
        info.round_trip_ms = -1;
        // Links are the last plan's: a device may be in none now.
        info.link = info.rank < 0 ? LinkInfo() : link_to(info.id, links);
        for (const mesh::Member& member : members) {
            if (member.id.hex() != info.id) continue;
            info.round_trip_ms = round_trip_ms(member);
            // The root knows better than we by which address we are reached.
            if (!info.self) info.address = member.address;
        }
    }
}

std::vector<Pair> apart_pairs(const std::vector<mesh::Member>& members) {
    std::vector<std::set<mesh::DeviceId>> sees;
    for (const mesh::Member& member : members) {
        auto& seen = sees.emplace_back();
        for (const auto& bytes : announcement_of(member).sees) seen.insert({bytes});
    }
    std::vector<Pair> out;
    for (std::size_t a = 1; a < members.size(); ++a) {
        for (std::size_t b = a + 1; b < members.size(); ++b) {
            if (sees[a].contains(members[b].id) && sees[b].contains(members[a].id)) continue;
            out.push_back(std::minmax(members[a].id, members[b].id));
        }
    }
    return out;
}

std::map<mesh::DeviceId, Effort> efforts_of(const std::vector<mesh::Member>& members,
                                            const mesh::Term& term) {
    std::map<mesh::DeviceId, Effort> out;
    for (const mesh::Member& member : members) {
        const mesh::messages::Announcement said = announcement_of(member);
        if (said.plan == 0) continue;
        Effort& effort = out[member.id];
        effort.steps = said.steps;
        effort.seconds = said.compute_seconds;
        effort.plan = {term, said.plan};
    }
    return out;
}

mesh::messages::Announcement announcement_of(const mesh::Member& member) {
    auto frame = mesh::messages::decode_plan(member.description.models);
    if (!frame) return {};
    auto* announcement = std::get_if<mesh::messages::Announcement>(&frame->body);
    return announcement == nullptr ? mesh::messages::Announcement() : std::move(*announcement);
}

mesh::messages::ModelsReply cluster_models(const std::vector<mesh::Member>& members,
                                           const std::vector<mesh::ModelHash>& loaded) {
    mesh::messages::ModelsReply reply;
    std::map<std::pair<std::string, std::string>, mesh::messages::ModelInfo> by_name;
    std::vector<mesh::messages::ModelInfo> unusable;
    for (const mesh::Member& member : members) {
        const mesh::messages::Announcement announcement = announcement_of(member);
        reply.reading_models |= announcement.reading;
        for (const auto& problem : announcement.problems) {
            mesh::messages::ModelInfo& info = unusable.emplace_back();
            info.name = problem.name;
            info.problem = problem.reason;
            info.devices.push_back(member.id.hex());
        }
        for (const auto& model : announcement.models) {
            const std::string hash = mesh::ModelHash{model.hash}.hex();
            mesh::messages::ModelInfo& info = by_name[{model.name, hash}];
            info.name = model.name;
            info.hash = hash;
            info.architecture = model.architecture;
            info.quantisation = model.quantisation;
            info.file_bytes = model.file_bytes;
            info.parameters = model.parameters;
            info.context = model.context;
            const auto it = std::ranges::find(loaded, mesh::ModelHash{model.hash});
            info.loaded = it != loaded.end();
            info.at_work = info.loaded && it + 1 == loaded.end();
            info.devices.push_back(member.id.hex());
        }
    }
    for (auto& [key, info] : by_name) reply.models.push_back(std::move(info));
    for (auto& info : unusable) {
        if (reply.models.size() == mesh::messages::kMaxListedModels) break;
        reply.models.push_back(std::move(info));
    }
    return reply;
}

}  // namespace shoal
