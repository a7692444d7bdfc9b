#include "mesh/exchange/data_plane.hpp"

#include <cassert>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>
#include <zmq.hpp>

#include "mesh/exchange/frame.hpp"
#include "mesh/exchange/lockstep_exchange.hpp"
#include "mesh/exchange/solo_exchange.hpp"
#include "mesh/exchange/zmq_port.hpp"
#include "mesh/exchange/zmtp/zmtp_port.hpp"
#include "mesh/transport/zmq_context.hpp"
#include "mesh/wire/host_text.hpp"

namespace shoal::mesh {

struct DataPlane::Impl {
    explicit Impl(std::unique_ptr<exchange::PortMaker> maker) : ports(std::move(maker)) {}

    std::unique_ptr<exchange::PortMaker> ports;
    DataPlaneStats stats;
    std::optional<PlanId> last_plan;

    /// The links of a plan, which outlive its exchange.
    struct Links {
        std::uint32_t rank = 0;
        std::vector<DeviceId> devices;
        std::shared_ptr<const std::vector<exchange::LinkMeter>> meters;
        std::string cipher;
    };
    std::vector<LinkReport> read() const;

    std::mutex mutex;
    Links links;                            // guarded by mutex
    std::map<DeviceId, LinkReport> before;  // counts of the plans before; likewise
};

namespace {

std::unique_ptr<exchange::PortMaker> make_ports(zmq::context_t& context, const ZmqContext* security,
                                                const DataPlaneOptions& options) {
    if (options.transport == DataTransport::libzmq) {
        return std::make_unique<exchange::ZmqPortMaker>(context, security, options);
    }
    return std::make_unique<exchange::zmtp::ZmtpPortMaker>(security, options);
}

}  // namespace

DataPlane::DataPlane(ZmqContext& context, const DataPlaneOptions& options)
    : impl_(std::make_unique<Impl>(
          make_ports(context.zmq(), options.encrypt ? &context : nullptr, options))) {}
DataPlane::DataPlane(zmq::context_t& context, const DataPlaneOptions& options)
    : impl_(std::make_unique<Impl>(make_ports(context, nullptr, options))) {}
DataPlane::~DataPlane() = default;

std::uint16_t DataPlane::port() const noexcept {
    return impl_->ports->port();
}

std::string DataPlane::endpoint(const std::string& host) const {
    return "tcp://" + wire::bracketed(host) + ":" + std::to_string(impl_->ports->port());
}

JoinResult DataPlane::join(const PlanId& plan, std::uint32_t rank, std::vector<Peer> peers,
                           const JoinOptions& options, std::stop_token stop) {
    if (rank >= peers.size() || peers.size() > exchange::kMaxRanks) {
        throw std::invalid_argument("rank " + std::to_string(rank) + " of a plan of " +
                                    std::to_string(peers.size()) + " devices");
    }
    if (peers.size() == 1) {
        return {std::make_unique<exchange::SoloExchange>(std::move(stop)), ExchangeStatus::ok, {}};
    }
    if (impl_->last_plan == plan) {
        throw std::invalid_argument("plan " + std::to_string(plan.number) +
                                    " was joined before; a new one needs a new number");
    }
    impl_->last_plan = plan;
    exchange::Place place{plan, rank, std::move(peers)};
    std::unique_ptr<exchange::WaitingPort> port;
    try {
        port = impl_->ports->open(place, impl_->stats, stop);
    } catch (const exchange::BadEndpoint& bad) {
        const Peer& peer = place.devices[bad.rank];
        const std::string why = "cannot connect to \"" + peer.endpoint + "\" of rank " +
                                std::to_string(bad.rank) + ": " + bad.what();
        return {nullptr, ExchangeStatus::aborted, {why, {peer.id}}};
    }
    std::vector<DeviceId> devices;
    for (const Peer& peer : place.devices) devices.push_back(peer.id);
    auto joined = std::make_unique<exchange::BlockingExchange>(
        std::move(port), std::move(place), options.silence_limit,
        options.spin.value_or(impl_->ports->spin()), impl_->stats, std::move(stop));
    const auto status = joined->join(options.timeout);
    if (status != ExchangeStatus::ok) return {nullptr, status, joined->failure()};
    const std::lock_guard lock(impl_->mutex);
    for (LinkReport& report : impl_->read()) impl_->before[report.peer] = std::move(report);
    impl_->links = {rank, std::move(devices), joined->meters(), joined->cipher()};
    return {std::move(joined), ExchangeStatus::ok, {}};
}

std::vector<LinkReport> DataPlane::Impl::read() const {
    std::vector<LinkReport> all;
    for (std::uint32_t r = 0; r < links.devices.size(); ++r) {
        if (r == links.rank) continue;
        LinkReport& report = all.emplace_back((*links.meters)[r].read());
        report.peer = links.devices[r];
        report.transport = ports->name();
        report.cipher = links.cipher;
        const auto it = before.find(report.peer);
        if (it == before.end()) continue;
        for (const auto count :
             {&LinkReport::sent_bytes, &LinkReport::received_bytes, &LinkReport::resent,
              &LinkReport::asked, &LinkReport::collectives}) {
            report.*count += it->second.*count;
        }
    }
    return all;
}

std::vector<LinkReport> DataPlane::links() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->read();
}

const DataPlaneStats& DataPlane::stats() const noexcept {
    return impl_->stats;
}

}  // namespace shoal::mesh
