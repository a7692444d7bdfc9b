#include "daemon/status.hpp"

#include <algorithm>

namespace shoal {
namespace {

using mesh::wire::DeviceInfo;
using mesh::wire::PlanDevice;

std::string state_of(const PlanDeviceState& state) {
    if (state.loaded) return "ready";
    if (state.total == 0) return "preparing";
    return state.what + " " + std::to_string(state.done * 100 / state.total) + " %";
}

double round_trip_ms(const mesh::Member& member) {
    using Milliseconds = std::chrono::duration<double, std::milli>;
    return member.round_trip.count() < 0 ? -1 : Milliseconds(member.round_trip).count();
}

void add_slice(DeviceInfo& info, const PlanDevice& device, std::size_t rank) {
    info.rank = static_cast<std::int32_t>(rank);
    info.q_heads = {device.q_begin, device.q_end};
    info.kv_heads = {device.kv_begin, device.kv_end};
    info.ffn_columns = {device.ffn_begin, device.ffn_end};
    info.vocab_rows = {device.vocab_begin, device.vocab_end};
}

DeviceInfo device_info(const mesh::Member& member, const StatusParts& parts) {
    DeviceInfo info;
    info.id = member.id.hex();
    info.name = member.description.name;
    info.address = member.address;
    info.cpu = member.description.cpu;
    info.self = member.id == parts.self;
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

}  // namespace

mesh::wire::StatusReply cluster_status(const StatusParts& parts) {
    mesh::wire::StatusReply reply;
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
    }
    std::stable_sort(reply.devices.begin(), reply.devices.end(),
                     [](const DeviceInfo& a, const DeviceInfo& b) {
                         return static_cast<std::uint32_t>(a.rank) <
                                static_cast<std::uint32_t>(b.rank);  // -1, not planned, is last
                     });
    reply.running = parts.speed.running;
    reply.queued = parts.queued;
    reply.generated_tokens = parts.speed.generated_tokens;
    reply.tokens_per_second = parts.speed.decode_tokens_per_second;
    reply.prefill_tokens_per_second = parts.speed.prefill_tokens_per_second;
    return reply;
}

void localise_status(mesh::wire::StatusReply& reply, const mesh::DeviceId& self,
                     const std::vector<mesh::Member>& members) {
    reply.self = self.hex();
    for (DeviceInfo& info : reply.devices) {
        info.self = info.id == reply.self;
        info.round_trip_ms = -1;
        for (const mesh::Member& member : members) {
            if (member.id.hex() != info.id) continue;
            info.round_trip_ms = round_trip_ms(member);
            info.address = member.address;
        }
    }
}

mesh::wire::Announcement announcement_of(const mesh::Member& member) {
    auto frame = mesh::wire::decode_plan(member.description.models);
    if (!frame) return {};
    auto* announcement = std::get_if<mesh::wire::Announcement>(&frame->body);
    return announcement == nullptr ? mesh::wire::Announcement() : std::move(*announcement);
}

mesh::wire::ModelsReply cluster_models(const std::vector<mesh::Member>& members,
                                       const mesh::wire::PlanOffer* offer) {
    std::map<std::pair<std::string, std::string>, mesh::wire::ModelInfo> by_name;
    for (const mesh::Member& member : members) {
        const mesh::wire::Announcement announcement = announcement_of(member);
        for (const auto& model : announcement.models) {
            const std::string hash = mesh::ModelHash{model.hash}.hex();
            mesh::wire::ModelInfo& info = by_name[{model.name, hash}];
            info.name = model.name;
            info.hash = hash;
            info.architecture = model.architecture;
            info.quantisation = model.quantisation;
            info.file_bytes = model.file_bytes;
            info.parameters = model.parameters;
            info.context = model.context;
            info.loaded = offer != nullptr && offer->model == model.hash;
            info.devices.push_back(member.id.hex());
        }
    }
    mesh::wire::ModelsReply reply;
    for (auto& [key, info] : by_name) reply.models.push_back(std::move(info));
    return reply;
}

}  // namespace shoal
