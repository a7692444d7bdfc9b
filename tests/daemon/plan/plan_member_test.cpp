#include "daemon/plan/plan_member.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/plan/offer.hpp"
#include "tests/daemon/small_daemon.hpp"

namespace plan_member_test {

using namespace shoal;
using namespace shoal::tests;
using namespace mesh::messages;

namespace {

const mesh::DeviceId kRoot = device_id(9);

Slice& part(PlanOffer& offer, std::size_t rank) {
    return offer.devices[rank].slice;
}

// This device, number 1, follows device 9, which is the root of term 5.
struct Fixture {
    SmallDaemon node{SmallDaemon::Options{.root = false}};
    const mesh::Term term{5, kRoot};

    Fixture() { follow(node); }
    void follow(SmallDaemon& daemon) const {
        daemon.join(9);
        daemon.control.call([&] { daemon.mesh.current.counter = term.counter - 1; });
        daemon.elect(kRoot);
    }
    const model::Hparams& hparams() const {
        static const auto model = open_model(tiny_model());
        return model->hparams;
    }
    // Two devices, the root first, that share everything evenly.
    PlanOffer good(std::uint32_t number = 1) const {
        const auto entry = node.catalogue.list().at(0);
        PlanOffer offer;
        offer.plan = PlanRef::of({term, number});
        offer.model = entry.hash.bytes;
        offer.model_name = entry.name;
        offer.file_bytes = entry.file_bytes;
        offer.kv_type = "f32";
        offer.collectives = "f32";
        offer.kv_positions = 256;
        offer.max_rows = 64;
        offer.max_outputs = 4;
        offer.devices.resize(2);
        offer.devices[0].id = kRoot.bytes;
        offer.devices[1].id = node.self.bytes;
        for (PlanDevice& d : offer.devices) d.endpoint = "tcp://*:4000";
        const model::Hparams& hp = hparams();
        offer.devices[0].slice = {
            {0, hp.n_heads / 2}, {0, hp.n_kv_heads / 2}, {0, hp.n_ff / 2}, {0, hp.n_vocab / 2}};
        offer.devices[1].slice = {{hp.n_heads / 2, hp.n_heads},
                                  {hp.n_kv_heads / 2, hp.n_kv_heads},
                                  {hp.n_ff / 2, hp.n_ff},
                                  {hp.n_vocab / 2, hp.n_vocab}};
        return offer;
    }
    void offer(const PlanOffer& offered, const mesh::DeviceId& from = kRoot) {
        node.tell(from, offered);
    }
    std::vector<PlanEnd> ends(const mesh::DeviceId& to = kRoot) {
        return node.sent_to<PlanEnd>(to);
    }
    std::vector<PlanLoaded> loaded() { return node.sent_to<PlanLoaded>(kRoot); }
    bool takes_part() { return node.plan().has_value(); }
    // The reason why an offer was refused; the plan is not carried out.
    std::string refused(const PlanOffer& offered, const mesh::DeviceId& from = kRoot) {
        const std::size_t before = ends(from).size();
        const std::size_t loaded_before = loaded().size();
        offer(offered, from);
        REQUIRE(eventually([&] { return ends(from).size() > before; }));
        CHECK(ends(from).back().plan == offered.plan);
        CHECK(loaded().size() == loaded_before);
        return ends(from).back().error;
    }
};

bool mentions(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_SUITE("PlanMember") {
    TEST_CASE_FIXTURE(Fixture, "an offer is loaded and reported with what it takes") {
        offer(good());
        REQUIRE(eventually([&] { return !loaded().empty(); }));
        CHECK(loaded()[0].plan == good().plan);
        CHECK(loaded()[0].weight_bytes >= loaded()[0].planned_weight_bytes);
        CHECK(loaded()[0].kv_bytes == 256 * 2 * 2 * 1 * 16 * 4);
        CHECK(loaded()[0].buffer_bytes > 0);
        CHECK(takes_part());
        CHECK(ends().empty());
        const auto progress = node.sent_to<PlanProgress>(kRoot);
        REQUIRE_FALSE(progress.empty());
        CHECK(progress.size() <= 101);
        CHECK(progress.back().done == progress.back().total);
    }

    TEST_CASE_FIXTURE(Fixture, "it knows whether it loads, and whether it should have the file") {
        const auto state = [&] {
            return node.control.call([&] {
                const PlanMember& member = node.core.member();
                return std::pair{member.loading(), member.wanted_file().has_value()};
            });
        };
        CHECK(state() == std::pair{false, false});
        PlanOffer wanting = good();
        wanting.devices[1].wants_file = true;
        offer(wanting);
        REQUIRE(eventually([&] { return !loaded().empty(); }));
        CHECK(state() == std::pair{false, true});
        const auto model = node.control.call([&] { return *node.core.member().wanted_file(); });
        CHECK(model.hash.bytes == wanting.model);
        CHECK(model.name == wanting.model_name);
        CHECK(model.file_bytes == wanting.file_bytes);
        // One that nobody holds.
        wanting.plan = PlanRef::of({term, 2});
        wanting.model = {1};
        offer(wanting);
        CHECK(state() == std::pair{true, true});
        wanting = good(3);
        wanting.devices[0].wants_file = true;
        offer(wanting);
        CHECK_FALSE(state().second);
        REQUIRE(eventually([&] { return loaded().size() == 2; }));
        CHECK(state() == std::pair{false, false});
        node.elect(std::nullopt);
        CHECK(state() == std::pair{false, false});
    }

    TEST_CASE_FIXTURE(Fixture, "offers that are not the root's of this term are refused") {
        auto old = good();
        old.plan.counter = 4;
        CHECK(mentions(refused(old), "term"));
        auto later = good();
        later.plan.counter = 6;
        CHECK(mentions(refused(later), "term"));
        auto other = good();
        other.plan.candidate = device_id(7).bytes;
        CHECK(mentions(refused(other), "term"));
        node.join(7);
        CHECK(mentions(refused(good(), device_id(7)), "root"));
        CHECK_FALSE(takes_part());
    }

    TEST_CASE_FIXTURE(Fixture, "offers that name the devices wrongly are refused") {
        auto without = good();
        without.devices[1].id = device_id(7).bytes;
        CHECK(mentions(refused(without), "no part"));
        auto turned = good();
        std::swap(turned.devices[0].id, turned.devices[1].id);
        CHECK(mentions(refused(turned), "first device"));
        auto twice = good();
        twice.devices.push_back(twice.devices[1]);
        CHECK(mentions(refused(twice), "twice"));
        auto empty = good();
        empty.devices.clear();
        CHECK_FALSE(refused(empty).empty());
        CHECK_FALSE(takes_part());
    }

    TEST_CASE_FIXTURE(Fixture, "slices with gaps, overlaps or wrong KV heads are refused") {
        using Change = std::function<void(PlanOffer&)>;
        const std::vector<std::pair<std::string, Change>> wrong = {
            {"query heads", [](PlanOffer& o) { part(o, 1).q_heads.begin++; }},
            {"query heads", [](PlanOffer& o) { part(o, 1).q_heads.begin--; }},
            {"query heads", [](PlanOffer& o) { part(o, 1).q_heads.end++; }},
            {"query heads", [](PlanOffer& o) { part(o, 1).q_heads = {}; }},
            {"query heads",
             [](PlanOffer& o) {
                 Range& range = part(o, 1).q_heads;
                 std::swap(range.begin, range.end);
             }},
            {"query heads", [](PlanOffer& o) { part(o, 1).q_heads.end = ~0U; }},
            {"FFN", [](PlanOffer& o) { part(o, 0).ffn.end += 32; }},
            {"FFN", [](PlanOffer& o) { part(o, 0).ffn.begin = 32; }},
            {"FFN", [](PlanOffer& o) { part(o, 1).ffn.end = 0; }},
            {"vocabulary", [](PlanOffer& o) { part(o, 1).vocab.end--; }},
            {"vocabulary", [](PlanOffer& o) { part(o, 0).vocab.begin = ~0U; }},
            {"KV heads", [](PlanOffer& o) { part(o, 1).kv_heads.begin--; }},
            {"KV heads", [](PlanOffer& o) { part(o, 0).kv_heads.end = 0; }},
            {"KV heads", [](PlanOffer& o) { part(o, 1).kv_heads.end = ~0U; }},
            {"heads", [](PlanOffer& o) { o.kv_type = "q8_0"; }},
            {"format", [](PlanOffer& o) { o.kv_type = "q4_1"; }},
            {"format", [](PlanOffer& o) { o.kv_type = ""; }},
            {"format", [](PlanOffer& o) { o.collectives = "f64"; }},
            {"sizes", [](PlanOffer& o) { o.kv_positions = 0; }},
            {"sizes", [](PlanOffer& o) { o.kv_positions = ~0ULL; }},
            {"sizes", [](PlanOffer& o) { o.max_rows = 0; }},
            {"sizes", [](PlanOffer& o) { o.max_rows = ~0U; }},
            {"sizes", [](PlanOffer& o) { o.max_outputs = 0; }},
            {"sizes", [](PlanOffer& o) { o.max_outputs = ~0U; }},
            {"sizes", [](PlanOffer& o) { o.scatter_rows = o.max_rows + 1; }},
            {"sizes", [](PlanOffer& o) { o.scatter_rows = ~0U; }},
        };
        for (std::size_t i = 0; i < wrong.size(); ++i) {
            CAPTURE(i);
            auto offered = good(static_cast<std::uint32_t>(i + 1));
            wrong[i].second(offered);
            const std::string reason = refused(offered);
            CAPTURE(reason);
            CHECK(mentions(reason, wrong[i].first));
            CHECK_FALSE(takes_part());
        }
        offer(good(1000));
        CHECK(eventually([&] { return !loaded().empty(); }));
    }

    TEST_CASE_FIXTURE(Fixture, "a share may be empty, and sharing a KV head is fine") {
        auto spare = good();
        const model::Hparams& hp = hparams();
        spare.devices[0].slice = {
            {0, hp.n_heads}, {0, hp.n_kv_heads}, {0, hp.n_ff}, {0, hp.n_vocab}};
        spare.devices[1].slice = {};
        offer(spare);
        CHECK(eventually([&] { return loaded().size() == 1; }));

        auto shared = good(2);
        part(shared, 0).q_heads.end = 3;
        part(shared, 0).kv_heads.end = 2;
        part(shared, 1).q_heads.begin = 3;
        part(shared, 1).kv_heads.begin = 1;
        offer(shared);
        CHECK(eventually([&] { return loaded().size() == 2; }));
        CHECK(ends().empty());
    }

    TEST_CASE_FIXTURE(Fixture, "heads may be cut within a quantised block, FFN columns may not") {
        SmallDaemon typed(SmallDaemon::Options{.models = {typed_model("q4_k_m")}, .root = false});
        follow(typed);
        const auto entry = typed.catalogue.list().at(0);
        const auto model = Catalogue::open(entry);
        const model::Hparams& hp = model->hparams;
        const auto offer_cut_at = [&](std::uint32_t number, std::uint32_t column) {
            auto offered = good(number);
            offered.model = entry.hash.bytes;
            offered.file_bytes = entry.file_bytes;
            offered.devices[0].slice = {{0, 3}, {0, 2}, {0, column}, {0, 5}};
            offered.devices[1].slice = {
                {3, hp.n_heads}, {1, hp.n_kv_heads}, {column, hp.n_ff}, {5, hp.n_vocab}};
            typed.tell(kRoot, offered);
        };
        const auto ended = [&] { return typed.sent_to<PlanEnd>(kRoot); };
        offer_cut_at(1, 37);
        REQUIRE(eventually([&] { return !ended().empty(); }));
        CHECK(mentions(ended().back().error, "FFN columns"));
        offer_cut_at(2, 64);
        CHECK(eventually([&] { return !typed.sent_to<PlanLoaded>(kRoot).empty(); }));
        CHECK(ended().size() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "a plan with a device that is not known here is refused by its id") {
        auto offered = good();
        offered.devices.push_back(offered.devices[1]);
        offered.devices[2].id = device_id(7).bytes;
        offered.devices[2].slice = {};
        CHECK(mentions(refused(offered), device_id(7).hex().substr(0, 8)));
        CHECK(ends().back().fault == Fault::peers);
        CHECK(ends().back().peers == std::vector{device_id(7).bytes});
    }

    TEST_CASE_FIXTURE(Fixture, "a new offer ends the plan before it, in whatever state that is") {
        offer(good(1));
        offer(good(2));
        offer(good(3));
        // One before it may have been faster.
        REQUIRE(eventually([&] { return !loaded().empty() && loaded().back().plan.number == 3; }));
        offer(good(4));
        REQUIRE(eventually([&] { return loaded().back().plan.number == 4; }));
        CHECK(ends().empty());
    }

    TEST_CASE_FIXTURE(Fixture, "only the root can end or start the plan, and only that one") {
        offer(good(1));
        node.tell(device_id(7), PlanEnd{good(1).plan, ""});
        node.tell(kRoot, PlanEnd{good(2).plan, ""});
        node.tell(device_id(7), PlanStart{good(1).plan});
        node.tell(kRoot, PlanStart{good(2).plan});
        CHECK(takes_part());
        REQUIRE(eventually([&] { return loaded().size() == 1; }));
        node.tell(kRoot, PlanEnd{good(1).plan, ""});
        CHECK_FALSE(takes_part());
        CHECK(ends().size() == 1);
        node.tell(kRoot, PlanStart{good(1).plan});
        node.control.call([&] { node.core.on_ended(good(1).plan.id(), {"late", Fault::own, {}}); });
        // Whoever starts what is not here any more is told.
        REQUIRE(ends().size() == 2);
        CHECK(ends()[1].plan == good(1).plan);
        CHECK(ends()[1].fault == Fault::none);
    }

    TEST_CASE_FIXTURE(Fixture, "a plan that fails here is told to the root") {
        offer(good(1));
        REQUIRE(eventually([&] { return loaded().size() == 1; }));
        // This node has no data plane, so joining the others fails.
        node.tell(kRoot, PlanStart{good(1).plan});
        REQUIRE(eventually([&] { return !ends().empty(); }));
        CHECK_FALSE(ends()[0].error.empty());
        CHECK(ends()[0].fault == Fault::own);
        CHECK_FALSE(takes_part());
    }

    TEST_CASE_FIXTURE(Fixture, "a plan goes with its root, or with its root's term") {
        offer(good(1));
        CHECK(takes_part());
        node.elect(kRoot);
        CHECK_FALSE(takes_part());
        node.control.drain();
        CHECK(ends().empty());
        CHECK(mentions(refused(good(2)), "term"));
    }

    TEST_CASE_FIXTURE(Fixture, "a model that nobody holds is waited for until the plan ends") {
        auto offered = good();
        offered.model[0] ^= 1;
        offer(offered);
        node.control.drain();
        CHECK(takes_part());
        node.tell(kRoot, PlanEnd{offered.plan, ""});
        CHECK_FALSE(takes_part());
        offer(good(2));
        CHECK(eventually([&] { return loaded().size() == 1; }));
    }
}

}  // namespace plan_member_test
