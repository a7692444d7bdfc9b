// The daemon around a device's requests, as a test says.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/requests/request_ports.hpp"
#include "tests/daemon/support.hpp"
#include "tests/daemon/virtual_loop.hpp"

namespace shoal::tests {

/// This device is number 1. Keeps what it is asked, and answers when it is told to.
class ScriptedPorts final : public RequestPorts {
  public:
    struct Submitted {
        Job job;
        KnownModel model;
        bool load_only = false;
    };

    mesh::DeviceId self() const override { return device_id(1); }
    bool send_request(const mesh::DeviceId& to,
                      const mesh::messages::RequestFrame& frame) override {
        if (room) requests.emplace_back(to, frame);
        return room;
    }
    bool send_event(const mesh::DeviceId& to, const mesh::messages::EventFrame& frame) override {
        if (room) events.emplace_back(to, frame);
        return room;
    }
    mesh::messages::ModelsReply models() const override { return known; }
    mesh::messages::StatusReply status() const override { return {}; }
    void localise(mesh::messages::StatusReply& status) const override { status.self = "one"; }
    bool holds(const mesh::ModelHash&) const override { return has_files; }
    void settle(std::function<void()> done) override {
        settled ? done() : settling.push_back(std::move(done));
    }
    void add(const std::string& path, Added done) override {
        added.emplace_back(path, std::move(done));
    }
    void open(const KnownModel&, Reading reading, Opened done) override {
        (reading == Reading::vocabulary ? vocabularies : descriptions).push_back(std::move(done));
    }
    Forecast forecast(const mesh::ModelHash&) const override { return cluster; }
    bool submit(Job job, const KnownModel& model, bool load_only) override {
        if (queue_is_full) return false;
        jobs.push_back({std::move(job), model, load_only});
        return true;
    }
    void cancel(JobId job) override { cancelled.push_back(job); }
    void keep(const mesh::ModelHash& model, std::int32_t seconds) override {
        if (seconds != mesh::messages::kKeepAsSet) kept.emplace_back(model, seconds);
    }
    std::optional<Clock::duration> expected_wait() const override { return wait; }
    void bench(const mesh::messages::BenchRequest& request, Told told) override {
        benches.emplace_back(request, std::move(told));
    }
    void stop_bench() override { ++stopped_benches; }
    void administer(const mesh::messages::Request& request, Told told) override {
        administered.emplace_back(request, std::move(told));
    }
    void stop_joining() override { ++stopped_joins; }

    /// Some device announces a model.
    void announce(const std::string& name) {
        mesh::messages::ModelInfo info;
        info.name = name;
        info.hash = hash(name).hex();
        known.models.push_back(std::move(info));
    }
    static mesh::ModelHash hash(const std::string& name) {
        mesh::ModelHash made;
        for (std::size_t i = 0; i < name.size(); ++i) {
            made.bytes[i % made.bytes.size()] ^= static_cast<std::uint8_t>(name[i]);
        }
        return made;
    }
    /// What was sent to a device about one of its requests.
    std::vector<mesh::messages::Event> events_to(std::uint8_t device, std::uint64_t id) const {
        std::vector<mesh::messages::Event> out;
        for (const auto& [to, frame] : events) {
            if (to == device_id(device) && frame.id == id) out.push_back(frame.body);
        }
        return out;
    }

    bool room = true;  ///< on the way to other devices
    bool has_files = false;
    bool settled = true;  ///< folders have been looked through
    std::vector<std::function<void()>> settling;
    bool queue_is_full = false;
    std::optional<Clock::duration> wait{};
    mesh::messages::ModelsReply known;
    std::vector<std::pair<mesh::DeviceId, mesh::messages::RequestFrame>> requests;
    std::vector<std::pair<mesh::DeviceId, mesh::messages::EventFrame>> events;
    std::vector<std::pair<std::string, Added>> added;
    std::vector<Opened> vocabularies, descriptions;
    Forecast cluster;
    std::vector<Submitted> jobs;
    std::vector<JobId> cancelled;
    std::vector<std::pair<mesh::ModelHash, std::int32_t>> kept;
    std::vector<std::pair<mesh::messages::BenchRequest, Told>> benches;
    int stopped_benches = 0;
    std::vector<std::pair<mesh::messages::Request, Told>> administered;
    int stopped_joins = 0;
};

/// A generation of a model, by its name.
inline mesh::messages::Generate generate(const std::string& model) {
    auto request = greedy("hello", 100);
    request.model = model;
    return request;
}

/// What a request's end says, when it failed.
inline mesh::messages::ErrorCode code_of(const mesh::messages::Event& event) {
    const auto* failed = std::get_if<mesh::messages::Failed>(&event);
    return failed == nullptr ? mesh::messages::ErrorCode{} : failed->code;
}

}  // namespace shoal::tests
