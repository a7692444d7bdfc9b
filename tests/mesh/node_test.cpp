// Nodes on real sockets: loopback, one process, one thread.
#include "mesh/node.hpp"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "mesh/discovery/cluster_key.hpp"
#include "mesh/discovery/interfaces.hpp"
#include "mesh/transport/identity_store.hpp"
#include "mesh/transport/term_store.hpp"
#include "mesh/transport/zmq_context.hpp"
#include "mesh/transport/zmq_transport.hpp"
#include "tests/mesh/temp_dir.hpp"

namespace node_test {

using namespace shoal::mesh;
using shoal::tests::TempDir;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

namespace {

/// For what happens in a fraction of it on a machine that has nothing else to do.
constexpr milliseconds kPatience{20'000};

/// Apart from any daemon of this machine and from tests that run at the same time.
std::uint16_t beacon_port() {
    return static_cast<std::uint16_t>(20000 + ::getpid() % 20000);
}

struct Device {
    TempDir dir;
    Identity identity = load_or_create_identity(dir.path());
    ZmqContext context{identity};
    std::set<DeviceId> members;
    std::vector<std::vector<std::byte>> messages;
    std::unique_ptr<Node> node;

    explicit Device(const ClusterKey& key, NodeConfig config = {}) {
        config.bind = "127.0.0.1";
        if (config.beacon_port == NodeConfig().beacon_port) config.beacon_port = beacon_port();
        if (config.interfaces.empty()) config.interfaces = {"lo"};
        config.state_dir = dir.path();
        config.heartbeat = milliseconds(100);
        config.suspect_after = milliseconds(1000);
        config.dead_after = milliseconds(3000);
        DeviceDescription self;
        self.name = "test";
        Node::Callbacks callbacks;
        callbacks.joined = [this](const Member& m) { members.insert(m.id); };
        callbacks.lost = [this](const DeviceId& id) { members.erase(id); };
        callbacks.message = [this](const DeviceId&, std::span<const std::byte> bytes) {
            messages.emplace_back(bytes.begin(), bytes.end());
        };
        node = Node::start(context, identity, key, config, self, callbacks);
    }
};

/// Drives the nodes until `done` or the time is over.
bool run_until(const std::vector<Device*>& devices, milliseconds at_most,
               const std::function<bool()>& done) {
    const auto end = Clock::now() + at_most;
    while (!done()) {
        auto wake = end;
        std::vector<pollfd> descriptors;
        for (const Device* device : devices) {
            wake = std::min(wake, device->node->next_deadline());
            for (const int fd : device->node->descriptors()) {
                descriptors.push_back({fd, POLLIN, 0});
            }
        }
        const auto now = Clock::now();
        if (now >= end) return false;
        const auto wait = std::chrono::ceil<milliseconds>(std::max(wake, now) - now);
        ::poll(descriptors.data(), descriptors.size(), static_cast<int>(wait.count()));
        for (const Device* device : devices) device->node->poll();
    }
    return true;
}

bool see_each_other(const Device& a, const Device& b) {
    return a.members.contains(b.identity.id) && b.members.contains(a.identity.id);
}

}  // namespace

TEST_SUITE("node") {
    TEST_CASE("three devices on one machine find each other and elect a root") {
        const ClusterKey key = generate_cluster_key();
        Device a(key), b(key), c(key);
        const auto start = Clock::now();
        REQUIRE(run_until({&a, &b, &c}, kPatience, [&] {
            return a.node->root() && a.node->root() == b.node->root() &&
                   b.node->root() == c.node->root() && a.node->term() == c.node->term() &&
                   a.node->term() == b.node->term() && a.members.size() == 2;
        }));
        const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - start);
        MESSAGE("a root after " << took.count() << " ms");
        REQUIRE(a.node->members().size() == 3);
        CHECK(a.node->members()[0].id == a.identity.id);
        CHECK(a.node->members()[1].address == "127.0.0.1");
        const DeviceId root = *a.node->root();
        for (Device* device : {&a, &b, &c}) {
            const bool is_root = device->identity.id == root;
            // Which of them it is, and in which term, is the simulation's to check: on a busy
            // machine one may not hear of another in time.
            if (is_root) {
                CHECK(transport::load_term_counter(device->dir.path()) == a.node->term().counter);
            }
        }
    }

    TEST_CASE("messages of every size arrive, while heartbeats pass by") {
        const ClusterKey key = generate_cluster_key();
        Device a(key), b(key);
        REQUIRE(run_until({&a, &b}, kPatience, [&] { return see_each_other(a, b); }));
        std::vector<std::vector<std::byte>> sent;
        for (const std::size_t size : {0u, 1u, 65536u, 65537u, 4u << 20}) {
            std::vector<std::byte> message(size);
            for (std::size_t i = 0; i < size; ++i) {
                message[i] = static_cast<std::byte>(i * 31 + size);
            }
            REQUIRE(a.node->send(b.identity.id, message));
            sent.push_back(std::move(message));
        }
        REQUIRE(run_until({&a, &b}, kPatience, [&] { return b.messages.size() == sent.size(); }));
        std::ranges::sort(b.messages, {}, &std::vector<std::byte>::size);
        CHECK(b.messages == sent);
        REQUIRE(run_until({&a, &b}, kPatience, [&] {
            const auto members = a.node->members();
            return members.size() == 2 && members[1].round_trip >= std::chrono::microseconds(0);
        }));
    }

    TEST_CASE("the queue of large messages is bounded, and full queues lose nothing") {
        const ClusterKey key = generate_cluster_key();
        Device a(key), b(key);
        REQUIRE(run_until({&a, &b}, kPatience, [&] { return see_each_other(a, b); }));
        const std::vector<std::byte> piece(1u << 20, std::byte{7});
        std::size_t queued = 0;
        // The receiver does not read meanwhile.
        while (queued < 200 && a.node->send(b.identity.id, piece)) ++queued;
        CHECK(queued >= 4);
        CHECK(queued < 60);
        REQUIRE(run_until({&a, &b}, kPatience, [&] { return b.messages.size() == queued; }));
        CHECK(see_each_other(a, b));
        CHECK(a.node->send(b.identity.id, piece));
    }

    TEST_CASE("a device with another cluster key is never let in") {
        const ClusterKey key = generate_cluster_key();
        Device a(key), b(key), stranger(generate_cluster_key());
        REQUIRE(run_until({&a, &b, &stranger}, kPatience, [&] { return see_each_other(a, b); }));
        CHECK_FALSE(run_until({&a, &b, &stranger}, milliseconds(500),
                              [&] { return !stranger.members.empty(); }));
        CHECK(a.members.size() == 1);
        CHECK_FALSE(a.context.is_allowed(stranger.identity.public_key));
        CHECK_FALSE(stranger.context.is_allowed(a.identity.public_key));
    }

    TEST_CASE("a device that dies is noticed, and so is its return") {
        const ClusterKey key = generate_cluster_key();
        Device a(key);
        auto b = std::make_unique<Device>(key);
        REQUIRE(run_until({&a, b.get()}, kPatience, [&] { return see_each_other(a, *b); }));
        const PublicKey dead = b->identity.public_key;
        b->node.reset();
        CHECK(run_until({&a}, kPatience, [&] { return a.members.empty(); }));
        CHECK_FALSE(a.context.is_allowed(dead));
        b = std::make_unique<Device>(key);
        CHECK(run_until({&a, b.get()}, kPatience, [&] { return see_each_other(a, *b); }));
        b->node->leave();
        b->node.reset();
        const auto start = Clock::now();
        CHECK(run_until({&a}, kPatience, [&] { return a.members.empty(); }));
        // Sooner than silence tells.
        CHECK(Clock::now() - start < milliseconds(2500));
    }

    TEST_CASE("static peers meet without multicast") {
        const ClusterKey key = generate_cluster_key();
        const auto port = static_cast<std::uint16_t>(beacon_port() + 100);
        NodeConfig first, second;
        first.multicast = second.multicast = false;
        first.beacon_port = port;
        second.beacon_port = static_cast<std::uint16_t>(port + 30);
        second.peers = {"localhost:" + std::to_string(port)};
        Device a(key, first), b(key, second);
        CHECK(run_until({&a, &b}, kPatience, [&] { return see_each_other(a, b); }));
    }

    TEST_CASE("a device whose folder takes no term says so, until it can lead") {
        Device a(generate_cluster_key());
        const auto folder = a.dir.path();
        const auto away = folder.string() + "-away";
        std::filesystem::rename(folder, away);
        const auto warned = [&] {
            const auto all = a.node->warnings();
            return std::ranges::find(all, "state-not-stored", &messages::Warning::name) !=
                   all.end();
        };
        REQUIRE(run_until({&a}, kPatience, warned));
        CHECK_FALSE(a.node->root());
        CHECK(a.node->warnings().back().text.find((folder / "term").string()) != std::string::npos);
        std::filesystem::rename(away, folder);
        REQUIRE(run_until({&a}, kPatience, [&] { return a.node->root().has_value(); }));
        CHECK_FALSE(warned());
    }

    TEST_CASE("a port that is taken and settings that make no sense are refused with the reason") {
        const Identity identity = generate_identity();
        const ClusterKey key = generate_cluster_key();
        const TempDir dir;
        ZmqContext context(identity);
        const transport::ZmqTransport holder(context, "127.0.0.1", 0);
        const auto reason = [&](NodeConfig config) -> std::string {
            try {
                (void)Node::start(context, identity, key, config, {}, {});
            } catch (const std::exception& outer) {
                try {
                    std::rethrow_if_nested(outer);
                } catch (const std::exception& inner) {
                    return inner.what();
                }
            }
            return "";
        };
        NodeConfig config;
        config.bind = "127.0.0.1";
        config.state_dir = dir.path();
        config.beacon_port = beacon_port();
        NodeConfig taken = config;
        taken.port = holder.port();
        CHECK(reason(taken).find("127.0.0.1 port " + std::to_string(holder.port())) !=
              std::string::npos);
        CHECK(reason(taken).find("in use") != std::string::npos);
        NodeConfig elsewhere = config;
        elsewhere.bind = "192.0.2.1";
        CHECK(reason(elsewhere).find("192.0.2.1") != std::string::npos);
        NodeConfig hasty = config;
        hasty.dead_after = hasty.suspect_after;
        CHECK(reason(hasty).find("dead_after") != std::string::npos);
        NodeConfig malformed = config;
        malformed.peers = {"host:99999"};
        CHECK(reason(malformed).find("host:99999") != std::string::npos);
        transport::store_term_counter(dir.path(), 5);
        CHECK(transport::load_term_counter(dir.path()) == 5);
        REQUIRE(::truncate((dir.path() / "term").c_str(), 0) == 0);
        CHECK(reason(config).find("term is damaged") != std::string::npos);
    }
}

TEST_SUITE("interfaces") {
    TEST_CASE("beacons go out on real interfaces and the loopback only") {
        using discovery::Interface;
        using discovery::is_usable;
        constexpr unsigned kLan = 0x1 | 0x2 | 0x1000;  // UP, BROADCAST, MULTICAST
        const auto make = [](const char* name, unsigned flags, bool v4 = true, bool v6 = true) {
            Interface i;
            i.name = name;
            i.index = 3;
            i.flags = flags;
            if (v4) i.ipv4 = {"10.0.0.1"};
            i.has_ipv6 = v6;
            return i;
        };
        struct Row {
            Interface interface;
            bool usable;
        };
        const std::vector<Row> rows{
            {make("eth0", kLan), true},
            {make("wlp3s0", kLan), true},
            {make("eth0", kLan, true, false), true},
            {make("eth0", kLan, false, true), true},
            {make("eth0", kLan, false, false), false},
            {make("eth0", 0x2 | 0x1000), false},         // down
            {make("lo", 0x1 | 0x8, true, false), true},  // UP, LOOPBACK
            {make("docker0", kLan), false},
            {make("br-0123456789ab", kLan), false},
            {make("br0", kLan), true},
            {make("virbr0", kLan), false},
            {make("veth12ab34c", kLan, false, true), false},
            {make("veth0", kLan), true},
            {make("tun0", 0x1 | 0x10 | 0x1000), false},  // POINTOPOINT
            {make("wg0", 0x1 | 0x10), false},
            {make("tailscale0", kLan), false},
        };
        for (const Row& row : rows) {
            CAPTURE(row.interface.name);
            CHECK(is_usable(row.interface, {}) == row.usable);
        }
        CHECK(is_usable(make("docker0", kLan), {"docker0"}));
        CHECK_FALSE(is_usable(make("eth0", kLan), {"eth1"}));
        const auto real = discovery::list_interfaces();
        CHECK(std::ranges::any_of(real, [](const auto& i) { return i.name == "lo"; }));
    }
}

}  // namespace node_test
