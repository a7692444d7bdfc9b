#include "mesh/node_core.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "tests/mesh/memory_network.hpp"

namespace node_core_test {

using namespace shoal::mesh;
using namespace shoal::tests;

namespace {

/// `count` devices of one cluster, not started.
struct Cluster : MemoryNetwork {
    ClusterKey key = generate_cluster_key();
    std::uint64_t seed;

    explicit Cluster(std::uint64_t with_seed, std::size_t count = 0)
        : MemoryNetwork(with_seed), seed(with_seed) {
        for (std::size_t i = 0; i < count; ++i) add({.key = key});
    }
    void start_all() {
        for (const std::size_t i : all()) start(i);
    }
    std::vector<std::size_t> all() const {
        std::vector<std::size_t> devices(size());
        std::iota(devices.begin(), devices.end(), 0);
        return devices;
    }
    bool agree(const std::vector<std::size_t>& devices, milliseconds within) {
        return run_until([&] { return common_root(devices).has_value(); }, within);
    }
    std::size_t preferred(const std::vector<std::size_t>& devices) const {
        return *std::ranges::max_element(devices, {}, [&](std::size_t i) { return id(i); });
    }
    std::vector<std::byte> bytes(const std::string& text) {
        std::vector<std::byte> out;
        for (const char c : text) out.push_back(static_cast<std::byte>(c));
        return out;
    }
};

/// Has as much to read as is put into it, and sends nothing.
struct FullTransport : transport::Transport {
    bool connect(const DeviceId&, const PublicKey&, const std::string&, std::uint16_t) override {
        return true;
    }
    void disconnect(const DeviceId&, const PublicKey&) noexcept override {}
    bool send(const DeviceId&, wire::Lane, std::span<const std::byte>,
              std::span<const std::byte>) override {
        return true;
    }
    std::optional<transport::Incoming> receive() override {
        if (left == 0) return std::nullopt;
        --left;
        return transport::Incoming{transport::Incoming::Kind::message, {}, message};
    }
    std::vector<int> descriptors() const override { return {}; }

    std::vector<std::byte> message;
    int left = 0;
};

struct DeafLink : discovery::BeaconLink {
    void announce(std::span<const std::byte>) override {}
    void send(const discovery::Endpoint&, std::span<const std::byte>) override {}
    std::optional<discovery::Datagram> receive() override { return std::nullopt; }
    std::vector<int> descriptors() const override { return {}; }
};

constexpr std::uint64_t kSeeds = 5;

}  // namespace

TEST_SUITE("node core") {
    TEST_CASE("one to eight devices elect one root, the preferred one, within a second") {
        for (std::size_t count = 1; count <= 8; ++count) {
            for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
                CAPTURE(count);
                CAPTURE(seed);
                Cluster net(seed, count);
                net.start_all();
                CHECK(net.agree(net.all(), milliseconds(1100)));
                CHECK(net.common_root(net.all()) == net.preferred(net.all()));
                net.run(seconds(10));
                // Nothing happened since.
                for (const std::size_t i : net.all()) {
                    CHECK(net.events(i).size() == count);
                    CHECK(net.core(i).term().counter == 1);
                }
            }
        }
    }

    TEST_CASE("who enters another cluster has left the old one, and both go on") {
        for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
            CAPTURE(seed);
            Cluster net(seed, 3);
            const ClusterKey other = generate_cluster_key();
            net.add({.key = other});
            net.add({.key = other});
            net.start_all();
            REQUIRE(net.agree({0, 1, 2}, milliseconds(2000)));
            REQUIRE(net.agree({3, 4}, milliseconds(2000)));
            // The root goes, or one that follows.
            const std::size_t mover = seed % 3;
            std::vector<std::size_t> left{0, 1, 2};
            std::erase(left, mover);
            net.core(mover).enter(other.beacon_key(), net.now());
            for (const std::size_t i : left) {
                CHECK(net.count_events(mover, "lost " + std::to_string(i)) == 1);
            }
            CHECK(net.agree(left, milliseconds(1500)));
            CHECK(net.agree({3, 4, mover}, milliseconds(3000)));
            for (const std::size_t i : left) {
                CHECK(net.count_events(i, "lost " + std::to_string(mover)) == 1);
                CHECK_FALSE(net.allows(mover, i));
                CHECK_FALSE(net.allows(i, mover));
            }
            // And back, as one that was never away.
            net.core(mover).enter(net.key.beacon_key(), net.now());
            CHECK(net.agree({0, 1, 2}, milliseconds(3000)));
            CHECK(net.agree({3, 4}, milliseconds(3000)));
        }
    }

    TEST_CASE("a device that is refused goes at once and does not come back, until it may") {
        Cluster net(5, 3);
        net.start_all();
        REQUIRE(net.agree(net.all(), milliseconds(2000)));
        for (const std::size_t i : {0, 1}) net.core(i).refuse({net.id(2)}, net.now());
        CHECK(net.agree({0, 1}, milliseconds(1000)));
        net.run(seconds(10));
        CHECK(net.agree({0, 1}, milliseconds(1)));
        CHECK(net.root(2) == 2);
        for (const std::size_t i : {0, 1}) {
            CHECK_FALSE(net.allows(i, 2));
            CHECK(net.count_events(i, "lost 2") == 1);
        }
        for (const std::size_t i : {0, 1}) net.core(i).refuse({}, net.now());
        CHECK(net.agree(net.all(), milliseconds(5000)));
    }

    TEST_CASE("the key changes while members stay, and one that was off is found by its old one") {
        Cluster net(7, 3);
        const ClusterKey fresh = generate_cluster_key();
        net.start_all();
        REQUIRE(net.agree(net.all(), milliseconds(2000)));
        net.kill(2);
        REQUIRE(net.agree({0, 1}, milliseconds(6000)));
        const auto before = net.events(0).size() + net.events(1).size();
        const std::vector keys{fresh.beacon_key(), net.key.beacon_key()};
        for (const std::size_t i : {0, 1}) {
            net.core(i).set_keys(
                keys, [](const PublicKey&) { return true; }, net.now());
        }
        net.run(seconds(10));
        CHECK(net.events(0).size() + net.events(1).size() == before);
        net.start(2);
        CHECK(net.agree(net.all(), milliseconds(3000)));
    }

    TEST_CASE("round trips and addresses of members are known") {
        Cluster net(3, 3);
        net.start_all();
        net.run(seconds(5));
        for (const Member& member : net.core(0).members()) {
            CAPTURE(member.description.name);
            CHECK(member.address == "10.0.0." + std::to_string(net.index_of(member.id) + 1));
            if (member.id == net.id(0)) continue;
            // Each way takes 0.1 to 3 ms, and the least of eight is shown.
            CHECK(member.round_trip >= microseconds(200));
            CHECK(member.round_trip < microseconds(4000));
        }
    }

    TEST_CASE("when the root dies the others elect another, and none of them loses a member") {
        for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
            for (const bool power_loss : {false, true}) {
                CAPTURE(seed);
                CAPTURE(power_loss);
                Cluster net(seed, 5);
                net.start_all();
                REQUIRE(net.agree(net.all(), seconds(2)));
                const auto old_root = *net.common_root(net.all());
                const Term old_term = net.core(0).term();
                net.kill(old_root, power_loss);
                auto rest = net.all();
                std::erase(rest, old_root);
                CHECK(net.agree(rest, power_loss ? milliseconds(5500) : milliseconds(2000)));
                CHECK(net.common_root(rest) == net.preferred(rest));
                CHECK(net.core(rest[0]).term() > old_term);
                for (const std::size_t i : rest) {
                    const auto& events = net.events(i);
                    CHECK(std::ranges::count_if(
                              events, [](const auto& e) { return e.starts_with("lost"); }) == 1);
                }
            }
        }
    }

    TEST_CASE("a device that leaves is gone at once") {
        Cluster net(1, 3);
        net.start_all();
        REQUIRE(net.agree(net.all(), seconds(2)));
        net.leave(0);
        net.run(milliseconds(20));
        CHECK(net.core(1).members().size() == 2);
        CHECK(net.agree({1, 2}, milliseconds(1000)));
    }

    TEST_CASE("a late joiner follows the root, whatever it is like but for its priority") {
        for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
            CAPTURE(seed);
            Cluster net(seed, 3);
            net.start_all();
            REQUIRE(net.agree(net.all(), seconds(2)));
            const auto root = net.common_root(net.all());
            const Term term = net.core(0).term();
            const auto late = net.add({.key = net.key, .memory = 64ull << 30});
            net.start(late);
            CHECK(net.agree({0, 1, 2, 3}, milliseconds(1000)));
            net.run(seconds(20));
            CHECK(net.common_root({0, 1, 2, 3}) == root);
            CHECK(net.core(late).term() == term);
            CHECK(net.events(0).size() == 4);
        }
    }

    TEST_CASE("a device that led itself for long, in a high term, joins without disturbing") {
        for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
            CAPTURE(seed);
            Cluster net(seed, 4);
            net.set_reachable([](auto a, auto b) { return (a == 3) == (b == 3); });
            for (int restart = 0; restart < 5; ++restart) {
                net.start(3);
                net.run(seconds(3));
                if (restart < 4) net.kill(3);
            }
            for (const std::size_t i : {0u, 1u, 2u}) net.start(i);
            REQUIRE(net.agree({0, 1, 2}, seconds(2)));
            const auto root = net.common_root({0, 1, 2});
            REQUIRE(net.core(3).term().counter == 5);
            const auto events = net.events(0).size();
            net.set_reachable([](auto, auto) { return true; });
            CHECK(net.agree(net.all(), seconds(3)));
            net.run(seconds(10));
            CHECK(net.common_root(net.all()) == root);
            CHECK(net.core(0).term().counter == 1);
            CHECK(net.events(0).size() == events + 1);
        }
    }

    TEST_CASE("a device of higher priority takes over once, after a while") {
        for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
            CAPTURE(seed);
            Cluster net(seed, 3);
            net.start_all();
            REQUIRE(net.agree(net.all(), seconds(2)));
            const auto root = net.common_root(net.all());
            const auto chief = net.add({.key = net.key, .priority = 5});
            net.start(chief);
            net.run(milliseconds(1500));
            CHECK(net.common_root({0, 1, 2, 3}) == root);
            CHECK(net.run_until(
                [&] {
                    return net.common_root({0, 1, 2, 3}) == chief;
                },
                seconds(3)));
            net.run(seconds(20));
            CHECK(net.common_root({0, 1, 2, 3}) == chief);
            CHECK(net.core(0).term().counter == 2);
        }
    }

    TEST_CASE("both halves of a partition serve, and the higher term wins when it heals") {
        for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
            CAPTURE(seed);
            Cluster net(seed, 6);
            net.start_all();
            REQUIRE(net.agree(net.all(), seconds(2)));
            net.set_reachable([](auto a, auto b) { return (a < 3) == (b < 3); });
            net.run(seconds(8));
            REQUIRE(net.common_root({0, 1, 2}));
            REQUIRE(net.common_root({3, 4, 5}));
            const Term left = net.core(0).term(), right = net.core(5).term();
            CHECK(left != right);
            net.set_reachable([](auto, auto) { return true; });
            CHECK(net.agree(net.all(), seconds(4)));
            CHECK(net.core(0).term() == std::max(left, right));
            net.run(seconds(10));
            CHECK(net.core(0).term() == std::max(left, right));
        }
    }

    TEST_CASE("links that come and go end in one root once they stay") {
        for (std::uint64_t seed = 1; seed <= 2 * kSeeds; ++seed) {
            CAPTURE(seed);
            Cluster net(seed, 5);
            net.start_all();
            std::mt19937_64 random(seed);
            for (int i = 0; i < 20; ++i) {
                const auto mask = random();
                net.set_reachable([mask](auto a, auto b) {
                    return (mask >> (a < b ? a * 8 + b : b * 8 + a) & 1) != 0;
                });
                net.run(milliseconds(random() % 3000));
            }
            net.set_reachable([](auto, auto) { return true; });
            CHECK(net.agree(net.all(), seconds(15)));
            const Term term = net.core(0).term();
            net.run(seconds(10));
            CHECK(net.core(0).term() == term);
        }
    }

    TEST_CASE("a restarted device is recognised, quickly restarted or not") {
        for (const milliseconds away : {milliseconds(0), milliseconds(50), milliseconds(6000)}) {
            for (const bool is_root : {false, true}) {
                CAPTURE(away.count());
                CAPTURE(is_root);
                Cluster net(7, 3);
                net.start_all();
                REQUIRE(net.agree(net.all(), seconds(2)));
                const auto root = *net.common_root(net.all());
                const auto device = is_root ? root : (root + 1) % 3;
                const auto witness = (device + 1) % 3;
                net.kill(device, true);
                net.run(away);
                net.start(device);
                CHECK(net.agree(net.all(), seconds(4)));
                const std::string number = std::to_string(device);
                CHECK(net.count_events(witness, "lost " + number) == 1);
                CHECK(net.count_events(witness, "joined " + number) == 2);
                if (!is_root) CHECK(net.common_root(net.all()) == root);
            }
        }
    }

    TEST_CASE("a cloned identity: one of the two stays, everybody says so, and nothing flaps") {
        for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
            for (const bool at_once : {false, true}) {
                CAPTURE(seed);
                CAPTURE(at_once);
                Cluster net(seed, 3);
                const auto clone = net.add({.key = net.key, .clone_of = 0});
                for (const std::size_t i : {0u, 1u, 2u}) net.start(i);
                if (at_once) {
                    net.start(clone);
                } else {
                    REQUIRE(net.agree({0, 1, 2}, seconds(3)));
                    net.run(seconds(5));
                    net.start(clone);
                }
                net.run(seconds(10));
                const auto said = [&](std::size_t device) {
                    const auto list = net.core(device).warnings(net.now());
                    return std::ranges::any_of(list, [&](const messages::Warning& w) {
                        return w.name == "identity-clash" && w.device == net.id(0).hex() &&
                               w.severity == messages::Severity::error && !w.remedy.empty();
                    });
                };
                for (const std::size_t i : net.all()) CHECK(said(i));
                // One of the two is in, the same for everybody, and has been.
                const std::size_t in = net.core(0).members().size() == 3 ? 0 : clone;
                const std::size_t out = in == 0 ? clone : 0;
                if (!at_once) CHECK(in == 0);
                CHECK(net.core(out).members().size() == 1);
                for (const std::size_t i : {1u, 2u}) {
                    REQUIRE(net.core(i).members().size() == 3);
                    for (const Member& m : net.core(i).members()) {
                        if (m.id == net.id(0))
                            CHECK(m.description.name == "device" + std::to_string(in));
                    }
                }
                const auto events = net.events(1).size();
                net.run(seconds(30));
                CHECK(net.events(1).size() == events);
                // The one that was in ends: the other takes its place, and nobody complains.
                net.kill(in);
                net.run(seconds(15));
                CHECK(net.core(1).members().size() == 3);
                CHECK(net.core(out).members().size() == 3);
                CHECK_FALSE(said(1));
                CHECK_FALSE(said(out));
            }
        }
    }

    TEST_CASE("devices of another cluster key are told of, and no more once they are gone") {
        Cluster net(12, 2);
        const auto stranger = net.add({.key = generate_cluster_key()});
        net.start_all();
        net.run(seconds(2));
        const auto list = net.core(0).warnings(net.now());
        REQUIRE(list.size() == 1);
        CHECK(list[0].name == "foreign-cluster");
        CHECK(list[0].severity == messages::Severity::notice);
        CHECK(list[0].text.find("10.0.0.3") != std::string::npos);
        net.kill(stranger);
        net.run(seconds(61));
        CHECK(net.core(0).warnings(net.now()).empty());
    }

    TEST_CASE("with 30 % loss a root is elected, and terms stay put") {
        for (std::uint64_t seed = 1; seed <= 2 * kSeeds; ++seed) {
            CAPTURE(seed);
            Cluster net(seed, 5);
            net.set_loss(0.3);
            net.start_all();
            CHECK(net.agree(net.all(), seconds(10)));
            const Term term = net.core(0).term();
            net.run(seconds(10));
            CHECK(net.core(0).term() == term);
        }
    }

    TEST_CASE("a device with another cluster key never joins, and clusters share a network") {
        Cluster net(11, 2);
        const ClusterKey other = generate_cluster_key();
        const auto stranger = net.add({.key = other});
        const auto friend_of_stranger = net.add({.key = other});
        for (std::size_t i = 0; i < 4; ++i) net.start(i);
        CHECK(net.agree({0, 1}, seconds(2)));
        CHECK(net.agree({stranger, friend_of_stranger}, seconds(2)));
        net.run(seconds(20));
        CHECK(net.common_root({0, 1}));
        CHECK(net.common_root({2, 3}));
        for (const std::size_t a : {0u, 1u}) {
            for (const std::size_t b : {2u, 3u}) {
                CHECK_FALSE(net.allows(a, b));
                CHECK_FALSE(net.allows(b, a));
            }
        }
        CHECK(net.core(0).discovery_counters().foreign > 0);
        CHECK(net.core(0).discovery_counters().malformed == 0);
    }

    TEST_CASE("recorded beacons, played again, put nobody on the allow-list") {
        Cluster net(12, 3);
        net.start(0);
        net.start(1);
        net.run(seconds(5));
        REQUIRE(net.common_root({0, 1}));
        const auto recorded = net.recorded();
        REQUIRE(recorded.size() > 10);
        net.kill(1);
        net.run(seconds(10));
        REQUIRE_FALSE(net.allows(0, 1));
        for (const auto& beacon : recorded) net.inject(0, beacon);
        net.run(seconds(5));
        CHECK_FALSE(net.allows(0, 1));
        CHECK(net.core(0).discovery_counters().stale > 0);
        // Nor can a device that comes later be fooled.
        net.start(2);
        for (const auto& beacon : recorded) net.inject(2, beacon);
        net.run(seconds(5));
        CHECK_FALSE(net.allows(2, 1));
        CHECK(net.common_root({0, 2}));
    }

    TEST_CASE("answers are limited") {
        Cluster net(13, 2);
        net.start(0);
        net.start(1);
        net.run(milliseconds(5));
        // One announcement of device 1, recorded and sent in a flood.
        const auto it = std::ranges::find_if(net.recorded(), [](const auto& beacon) {
            return beacon.from.host == "10.0.0.2" && std::to_integer<int>(beacon.bytes[5]) == 1;
        });
        REQUIRE(it != net.recorded().end());
        const auto announcement = *it;
        net.kill(1);
        net.run(seconds(10));
        const auto before = net.recorded().size();
        for (int i = 0; i < 5000; ++i) net.inject(0, announcement);
        net.run(seconds(1));
        CHECK(net.recorded().size() - before < 150);
        CHECK(net.core(0).discovery_counters().limited > 4000);
    }

    TEST_CASE("term counters outlive restarts, and nobody claims what it cannot store") {
        Cluster net(14, 1);
        for (std::uint64_t i = 1; i <= 3; ++i) {
            net.start(0);
            net.run(seconds(3));
            CHECK(net.core(0).term().counter == i);
            CHECK(net.stored_counter(0) == i);
            net.kill(0);
        }
        net.fail_storing(0, true);
        net.start(0);
        net.run(seconds(5));
        CHECK_FALSE(net.root(0));
        net.fail_storing(0, false);
        net.run(seconds(2));
        CHECK(net.root(0) == 0);
        CHECK(net.core(0).term().counter == 4);
    }

    TEST_CASE("devices that only share a static peer find each other") {
        Cluster net(15);
        const auto hub = net.add({.key = net.key, .hears_announcements = false});
        for (int i = 0; i < 3; ++i) {
            net.add({.key = net.key, .hears_announcements = false, .peers = {hub}});
        }
        net.start_all();
        CHECK(net.agree(net.all(), milliseconds(1500)));
    }

    TEST_CASE("messages arrive in order, and a lost one ends the conversation before the next") {
        Cluster net(16, 2);
        net.start_all();
        REQUIRE(net.agree(net.all(), seconds(2)));
        for (int i = 0; i < 50; ++i) {
            REQUIRE(net.core(0).send(net.id(1), net.bytes(std::to_string(i))));
        }
        net.run(milliseconds(50));
        REQUIRE(net.messages(1).size() == 50);
        for (int i = 0; i < 50; ++i) {
            CHECK(net.messages(1)[static_cast<std::size_t>(i)] == std::to_string(i));
        }
        net.lose_next_application_message();
        REQUIRE(net.core(0).send(net.id(1), net.bytes("lost")));
        REQUIRE(net.core(0).send(net.id(1), net.bytes("after")));
        net.run(milliseconds(500));
        CHECK(net.messages(1).size() == 50);
        CHECK(net.count_events(1, "lost 0") == 1);
        CHECK(net.count_events(0, "lost 1") == 1);
        CHECK(net.agree(net.all(), seconds(3)));
        REQUIRE(net.core(0).send(net.id(1), net.bytes("again")));
        net.run(milliseconds(50));
        CHECK(net.messages(1).back() == "again");
    }

    TEST_CASE("a lost message that nothing follows is missed within a heartbeat, on every lane") {
        for (const std::size_t size : {std::size_t{4}, 2 * wire::kSmallMessageBytes}) {
            CAPTURE(size);
            Cluster net(16, 2);
            net.start_all();
            REQUIRE(net.agree(net.all(), seconds(2)));
            net.lose_next_application_message();
            REQUIRE(net.core(0).send(net.id(1), std::vector<std::byte>(size)));
            net.run(milliseconds(600));
            CHECK(net.count_events(1, "lost 0") == 1);
            CHECK(net.count_events(0, "lost 1") == 1);
            CHECK(net.agree(net.all(), seconds(3)));
        }
    }

    TEST_CASE("messages that take long are not taken for lost") {
        Cluster net(16, 2);
        net.start_all();
        REQUIRE(net.agree(net.all(), seconds(2)));
        net.set_queueing(0, seconds(10));
        REQUIRE(net.core(0).send(net.id(1), net.bytes("slow")));
        net.run(seconds(11));
        CHECK(net.messages(1).size() == 1);
        CHECK(net.count_events(1, "lost 0") == 0);
    }

    TEST_CASE("sending fails when there is no such member or the message is too long") {
        Cluster net(17, 2);
        net.start_all();
        CHECK_FALSE(net.core(0).send(net.id(1), net.bytes("early")));
        REQUIRE(net.agree(net.all(), seconds(2)));
        CHECK_FALSE(net.core(0).send(net.id(0), net.bytes("to myself")));
        CHECK_FALSE(
            net.core(0).send(net.id(1), std::vector<std::byte>(wire::kMaxApplicationBytes + 1)));
        CHECK(net.core(0).send(net.id(1), std::vector<std::byte>(wire::kMaxApplicationBytes)));
        net.run(milliseconds(10));
        REQUIRE(net.messages(1).size() == 1);
        CHECK(net.messages(1)[0].size() == wire::kMaxApplicationBytes);
    }

    TEST_CASE("a flood of messages is taken a turn at a time, by number and by bytes") {
        struct Row {
            std::size_t bytes;
            int messages, in_one_turn;
        };
        for (const Row& row : {Row{10, 1000, NodeCore::kMaxBatch}, Row{1u << 20, 10, 4}}) {
            CAPTURE(row.bytes);
            FullTransport transport;
            DeafLink link;
            transport.message.resize(row.bytes);
            transport.left = row.messages;
            NodeCoreSettings settings;
            settings.control_port = 1;
            const Time now{std::chrono::hours(1)};
            NodeCore core(
                settings, transport, link, [](std::uint64_t) { return true; },
                [](std::span<std::uint8_t> bytes) { std::ranges::fill(bytes, std::uint8_t{1}); },
                {}, now);
            core.poll(now);
            CHECK(transport.left == row.messages - row.in_one_turn);
            // At once, and nothing that overflows when a loop subtracts it.
            CHECK(core.next_deadline() - now < Time::duration::zero());
            for (int turn = 0; turn < 4; ++turn) core.poll(now);
            CHECK(transport.left == 0);
            CHECK(core.malformed() == static_cast<std::uint64_t>(row.messages));
            CHECK(core.next_deadline() > now);
        }
    }

    TEST_CASE("a changed description reaches the members") {
        Cluster net(18, 2);
        net.start_all();
        REQUIRE(net.agree(net.all(), seconds(2)));
        DeviceDescription changed;
        changed.name = "renamed";
        changed.speed = 1e9;
        net.core(0).describe(changed, net.now());
        net.run(milliseconds(20));
        CHECK(net.core(0).members()[0].description == changed);
        CHECK(net.core(1).members()[1].description == changed);
        // When it gets lost, it is sent again.
        changed.name = "renamed again";
        net.set_loss(1);
        net.core(0).describe(changed, net.now());
        net.run(milliseconds(20));
        net.set_loss(0);
        net.run(milliseconds(1100));
        CHECK(net.core(1).members()[1].description == changed);
        CHECK(net.count_events(1, "lost 0") == 0);
    }
}

}  // namespace node_core_test
