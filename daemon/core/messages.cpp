// What a daemon's core says to the others' and hears from them.

#include <algorithm>
#include <utility>

#include "daemon/core/core.hpp"
#include "daemon/log/log.hpp"
#include "daemon/requests/status.hpp"

namespace shoal {
namespace {

// The first byte of an application message says what follows.
enum class Channel : std::uint8_t { plan = 1, request = 2, event = 3, devices = 4 };

std::vector<std::byte> with_channel(Channel channel, std::vector<std::byte> bytes) {
    bytes.insert(bytes.begin(), static_cast<std::byte>(channel));
    return bytes;
}

}  // namespace

void DaemonCore::on_message(const mesh::DeviceId& from, std::span<const std::byte> bytes) {
    if (bytes.empty()) return;
    const auto body = bytes.subspan(1);
    const auto complain = [&](const mesh::wire::DecodeError& error) {
        const bool ours = error.reason == mesh::wire::DecodeError::Reason::no_memory;
        const std::string line = complaints_.take(
            "a message of device " + from.hex().substr(0, 8) +
                " is dropped: " + (ours ? "this device has " : "it is malformed: ") + error.what,
            ports_.loop.now());
        if (!line.empty()) log::warn("{}", line);
    };
    switch (static_cast<Channel>(bytes[0])) {
        case Channel::plan: {
            auto frame = mesh::messages::decode_plan(body);
            return frame ? on_plan_message(from, std::move(*frame)) : complain(frame.error());
        }
        case Channel::request: {
            auto frame = mesh::messages::decode_request(body);
            return frame ? router_.on_request(from, std::move(*frame)) : complain(frame.error());
        }
        case Channel::event: {
            const auto frame = mesh::messages::decode_event(body);
            return frame ? router_.on_event(from, *frame) : complain(frame.error());
        }
        case Channel::devices:
            if (ports_.admin != nullptr) ports_.admin->on_message(from, body);
            return;
    }
    complain({mesh::wire::DecodeError::Reason::unknown_type, "unknown channel"});
}

void DaemonCore::on_plan_message(const mesh::DeviceId& from, mesh::messages::PlanFrame frame) {
    using namespace mesh::messages;
    struct Visitor {
        DaemonCore& core;
        const mesh::DeviceId& from;
        std::uint64_t id;
        void operator()(PlanOffer& m) {
            core.member_.on_offer(from, std::move(m), core.ports_.mesh.term());
        }
        void operator()(PlanStart& m) { core.member_.on_start(from, m); }
        void operator()(PlanProgress& m) { core.root_.on_progress(from, m); }
        void operator()(PlanLoaded& m) { core.root_.on_loaded(from, m); }
        void operator()(PlanEnd& m) {
            // From the root it ends our part, from a member the whole plan.
            core.member_.on_end(from, m);
            core.root_.on_plan_end(from, m);
        }
        void operator()(PieceRequest& m) { core.ports_.models.on_piece_request(from, id, m); }
        void operator()(PieceReply& m) {
            core.ports_.models.on_piece_reply(from, id, std::move(m));
        }
        void operator()(Announcement&) {}
        void operator()(LinkTest& m) { core.survey_.on_test(from, m, core.ports_.mesh.term()); }
        void operator()(LinkResult& m) { core.survey_.on_result(from, m); }
        void operator()(FileRequest& m) { core.fetch_.on_request(from, id, m); }
        void operator()(FileReply& m) { core.fetch_.on_reply(from, id, std::move(m)); }
    };
    std::visit(Visitor{*this, from, frame.id}, frame.body);
}

bool DaemonCore::send(const mesh::DeviceId& to, const mesh::messages::PlanFrame& frame) {
    if (to == self_) {
        ports_.loop.post([this, frame] { on_plan_message(self_, frame); });
        return true;
    }
    return send(to, with_channel(Channel::plan, mesh::messages::encode(frame)));
}

bool DaemonCore::send_about_devices(const mesh::DeviceId& to, std::vector<std::byte> frame) {
    return send(to, with_channel(Channel::devices, std::move(frame)));
}

// What the mesh has no room for waits; false when the device is none of ours, or far behind.
bool DaemonCore::send(const mesh::DeviceId& to, std::vector<std::byte> message) {
    const auto members = ports_.mesh.members();
    const bool is_member = std::any_of(members.begin(), members.end(),
                                       [&](const mesh::Member& m) { return m.id == to; });
    return is_member && outbox_.send(to, std::move(message));
}

struct DaemonCore::RouterPorts final : RequestPorts {
    explicit RouterPorts(DaemonCore& owner) : core(owner) {}

    mesh::DeviceId self() const override { return core.self_; }
    bool send_request(const mesh::DeviceId& to,
                      const mesh::messages::RequestFrame& frame) override {
        return core.send(to, with_channel(Channel::request, mesh::messages::encode(frame)));
    }
    bool send_event(const mesh::DeviceId& to, const mesh::messages::EventFrame& frame) override {
        return core.send(to, with_channel(Channel::event, mesh::messages::encode(frame)));
    }
    mesh::messages::ModelsReply models() const override { return core.models(); }
    mesh::messages::StatusReply status() const override { return core.status(); }
    void localise(mesh::messages::StatusReply& status) const override {
        localise_status(status, core.self_, core.ports_.mesh.members(), core.ports_.engine.links());
    }
    bool holds(const mesh::ModelHash& hash) const override {
        return core.ports_.models.holds(hash);
    }
    void settle(std::function<void()> done) override { core.ports_.models.settle(std::move(done)); }
    void add(const std::string& path, Added done) override {
        core.ports_.models.add(path, std::move(done));
    }
    void open(const KnownModel& model, Reading reading, Opened done) override {
        Models::Want want;
        want.owner = this;
        want.model = model;
        want.tokenizer = reading == Reading::vocabulary;
        want.done = std::move(done);
        core.ports_.models.get(std::move(want));
    }
    Forecast forecast(const mesh::ModelHash& model) const override {
        return core.root_.forecast(model);
    }
    bool submit(Job job, const KnownModel& model, bool load_only) override {
        core.survey_.disturb();
        return core.root_.submit(std::move(job), model, load_only);
    }
    void cancel(JobId job) override { core.root_.cancel(job); }
    void keep(const mesh::ModelHash& model, std::int32_t seconds) override {
        core.root_.keep(model, seconds);
    }
    std::optional<Clock::duration> expected_wait() const override {
        return core.root_.expected_wait();
    }
    void bench(const mesh::messages::BenchRequest& request, Told told) override {
        core.measuring_.ask(request, std::move(told));
    }
    void stop_bench() override { core.measuring_.cancel(); }
    void administer(const mesh::messages::Request& request, Told told) override {
        if (core.ports_.admin != nullptr) return core.ports_.admin->ask(request, std::move(told));
        told(mesh::messages::Failed{mesh::messages::ErrorCode::unavailable,
                                    "this device's cluster cannot be changed"});
    }
    void stop_joining() override {
        if (core.ports_.admin != nullptr) core.ports_.admin->stop_joining();
    }

    DaemonCore& core;
};

Measuring::Links DaemonCore::measuring_links() {
    return {[this] { return root_.pending(); }, [this] { return ports_.engine.effort().steps; },
            [this] { describe(); },
            [this](std::function<void()> done) { ports_.models.settle(std::move(done)); }};
}

LinkSurvey::Links DaemonCore::survey_links() {
    LinkSurvey::Links links;
    links.self = self_;
    links.view = [this] {
        LinkSurvey::View view;
        const std::vector<mesh::Member> members = followers();
        for (const mesh::Member& m : members) {
            view.devices.push_back(
                {m.id, m.public_key, m.id == self_ ? "" : m.address, announcement_of(m).link_port});
        }
        for (const Pair& pair : apart_pairs(members)) view.apart.insert(pair);
        return view;
    };
    links.idle = [this] { return root_.idle() && !measuring_.running(); };
    links.busy = [this] { return ports_.engine.speed().running != 0 || measuring_.running(); };
    links.address = [this](const mesh::DeviceId& id) { return address_of(id); };
    links.send = [this](const mesh::DeviceId& to, const mesh::messages::PlanMessage& message) {
        static_cast<void>(send(to, {0, message}));
    };
    links.date = device_.date;
    links.complete = [this] { root_.on_links_measured(); };
    links.keep = [this](const KnownLinks& known) {
        if (device_.keep_links) device_.keep_links(known);
    };
    return links;
}

WholeFetch::Links DaemonCore::fetch_links() {
    WholeFetch::Links links;
    links.self = self_;
    links.wanted = [this] { return wanted_files(); };
    links.holders = [this](const mesh::ModelHash& hash) { return holders(hash); };
    links.busy = [this] {
        return root_.pending() != 0 || member_.loading() || ports_.engine.speed().running != 0 ||
               ports_.engine.effort().in_step || measuring_.running() || survey_.testing();
    };
    links.exchanges = [this] { return ports_.engine.effort().exchanges; };
    links.send = [this](const mesh::DeviceId& to, const mesh::messages::PlanFrame& frame) {
        return send(to, frame);
    };
    links.tell = [this](std::optional<mesh::messages::Warning> warning) {
        warning ? warnings_.raise(*std::move(warning)) : warnings_.clear("whole-file", self_.hex());
    };
    return links;
}

std::unique_ptr<RequestPorts> DaemonCore::router_ports() {
    return std::make_unique<RouterPorts>(*this);
}

}  // namespace shoal
