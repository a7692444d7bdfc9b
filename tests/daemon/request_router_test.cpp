#include "daemon/request_router.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <string>
#include <vector>

#include "tests/daemon/small_node.hpp"

using namespace shoal;
using namespace shoal::tests;
using namespace mesh::wire;
using std::chrono::milliseconds;

namespace {

const mesh::DeviceId kTwo = device_id(2);
const mesh::DeviceId kThree = device_id(3);

struct Fixture {
    SmallNode::Options options;
    std::unique_ptr<SmallNode> node;

    Fixture() { options.root = false; }
    void build() { node = std::make_unique<SmallNode>(options); }
    void build_with_root_elsewhere() {
        build();
        node->control.call([&] { node->others.push_back(SmallNode::other(2)); });
        node->elect(kTwo);
    }
    void build_as_root() {
        options.root = true;
        build();
    }
    Story story(std::uint64_t ticket) const { return node->story(ticket); }
    ErrorCode code(std::uint64_t ticket) {
        REQUIRE(node->ends(ticket));
        REQUIRE(story(ticket).failed() != nullptr);
        return story(ticket).failed()->code;
    }
    std::vector<std::pair<mesh::DeviceId, RequestFrame>> requests() {
        return node->control.call([&] { return node->requests_sent; });
    }
    template <typename T>
    std::vector<T> events_to(const mesh::DeviceId& device, std::uint64_t id) {
        return node->control.call([&] {
            std::vector<T> out;
            for (const auto& [to, frame] : node->events_sent) {
                const T* body = std::get_if<T>(&frame.body);
                if (to == device && frame.id == id && body != nullptr) out.push_back(*body);
            }
            return out;
        });
    }
    void event(const mesh::DeviceId& from, std::uint64_t id, Event body) {
        node->control.call([&] { node->router.on_event(from, {id, std::move(body)}); });
    }
    void request(const mesh::DeviceId& from, std::uint64_t id, Request body) {
        node->control.call([&] { node->router.on_request(from, {id, std::move(body)}); });
    }
    static Event token(std::uint32_t index) {
        return Token{index, static_cast<std::int32_t>(100 + index), std::to_string(index) + " "};
    }
    static Generate named(const std::string& model, std::uint32_t max_tokens = 3) {
        auto request = greedy("hello", max_tokens);
        request.model = model;
        return request;
    }
    // A file of this device that the catalogue does not know.
    std::filesystem::path loose_file(const std::filesystem::path& from, const std::string& name) {
        const auto path = node->state.folder / name;
        std::filesystem::copy_file(from, path);
        return path;
    }
};

}  // namespace

TEST_SUITE("RequestRouter here") {
    TEST_CASE_FIXTURE(Fixture, "a request runs on this device when it is root") {
        build_as_root();
        const auto ticket = node->start(named("tiny"));
        REQUIRE(node->ends(ticket));
        CHECK(story(ticket).ids().size() == 3);
        CHECK(story(ticket).numbered());
        CHECK(story(ticket).done() != nullptr);
        CHECK(requests().empty());
    }

    TEST_CASE_FIXTURE(Fixture, "invalid requests are answered, and their door decides") {
        build_as_root();
        auto hot = named("tiny");
        hot.sampling.temperature = -1;
        CHECK(code(node->start(hot)) == ErrorCode::bad_request);
        for (const Door door : {Door::http, Door::mesh}) {
            CHECK(code(node->start(named("/etc/passwd"), door)) == ErrorCode::forbidden);
            CHECK(code(node->start(named("./x.gguf"), door)) == ErrorCode::forbidden);
            CHECK(code(node->start(LoadRequest{"tiny"}, door)) == ErrorCode::forbidden);
        }
        CHECK(code(node->start(CancelRequest{1})) == ErrorCode::bad_request);
        request(kTwo, 5, named("/etc/passwd"));
        REQUIRE(events_to<Failed>(kTwo, 5).size() == 1);
        CHECK(events_to<Failed>(kTwo, 5)[0].code == ErrorCode::forbidden);
    }

    TEST_CASE_FIXTURE(Fixture, "a path over the control door becomes a model of the cluster") {
        build_as_root();
        const auto path = loose_file(other_model(), "loose.gguf");
        const auto ticket = node->start(named(path));
        REQUIRE(node->ends(ticket));
        REQUIRE(story(ticket).done() != nullptr);
        CHECK(story(ticket).done()->model == "loose");
        CHECK(node->start(named("loose")) != 0);
        CHECK(code(node->start(named("/no/such.gguf"))) == ErrorCode::not_found);
        std::ofstream(node->state.folder / "junk.gguf") << "junk";
        const auto junk = node->start(named(node->state.folder / "junk.gguf"));
        REQUIRE(node->ends(junk));
        CHECK(story(junk).failed()->message.find("junk.gguf") != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "one content under two names is one model, by path, hash and name") {
        build_as_root();
        node->control.call([&] {
            auto entry = node->catalogue.list().at(0);
            entry.name = "copy";
            node->others.push_back(SmallNode::other(2));
            node->others[0].description.models = SmallNode::announcement({entry});
        });
        const auto models = node->start(ModelsRequest{});
        REQUIRE(node->ends(models));
        REQUIRE(std::get<ModelsReply>(story(models).events[0]).models.size() == 2);
        const auto tokens = [&](const std::string& name) {
            const auto ticket = node->start(TokenizeRequest{name, "hello", true, true});
            return node->ends(ticket) &&
                   std::holds_alternative<TokenizeReply>(story(ticket).events.back());
        };
        CHECK(tokens(node->catalogue.list().at(0).hash.hex()));
        CHECK(tokens("tiny"));
        CHECK(tokens("copy"));
        CHECK(tokens(tiny_model()));
        CHECK(tokens(""));
    }

    TEST_CASE_FIXTURE(Fixture,
                      "names are matched with and without the ending, and ambiguity told") {
        options.patience.model = milliseconds(50);
        options.models = {tiny_model(), other_model()};
        build_as_root();
        CHECK(node->ends(node->start(named("tiny.gguf"))));
        CHECK(node->ends(node->start(named(node->catalogue.list().at(1).hash.hex()))));
        node->control.call([&] {
            auto entry = node->catalogue.list().at(1);
            entry.name = "tiny";  // another content of the same name
            node->others.push_back(SmallNode::other(2));
            node->others[0].description.models = SmallNode::announcement({entry});
        });
        const auto ticket = node->start(named("tiny"));
        CHECK(code(ticket) == ErrorCode::not_found);
        CHECK(story(ticket).failed()->message.find("hash") != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture,
                      "without a name the loaded, the only or the default model is meant") {
        options.patience.model = milliseconds(50);
        build_as_root();
        REQUIRE(node->ends(node->start(named(""))));

        options.models = {tiny_model(), other_model()};
        build();
        const auto which = node->start(named(""));
        CHECK(code(which) == ErrorCode::not_found);
        CHECK(story(which).failed()->message.find("which model") != std::string::npos);
        REQUIRE(node->ends(node->start(named("other"))));
        const auto loaded = node->start(named(""));
        REQUIRE(node->ends(loaded));
        CHECK(story(loaded).done()->model == "other");

        options.settings.default_model = "tiny";
        build();
        const auto preset = node->start(named(""));
        REQUIRE(node->ends(preset));
        CHECK(story(preset).done()->model == "tiny");

        options.models.clear();
        options.settings.default_model.clear();
        build();
        const auto none = node->start(named(""));
        CHECK(code(none) == ErrorCode::not_found);
        CHECK(story(none).failed()->message.find("GGUF") != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "an unknown model waits for its announcement, then is not found") {
        options.patience.model = milliseconds(400);
        build_as_root();
        const auto early = node->start(named("other"));
        node->control.drain();
        CHECK_FALSE(story(early).over());
        node->catalogue.add(other_model());
        REQUIRE(node->ends(early));
        CHECK(story(early).done() != nullptr);

        const auto never = node->start(named("missing"));
        CHECK(code(never) == ErrorCode::not_found);
        CHECK(story(never).failed()->message.find("missing") != std::string::npos);

        const auto cancelled = node->start(named("missing"));
        node->router.cancel(cancelled);
        CHECK(code(cancelled) == ErrorCode::cancelled);
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a request that waits for its model runs once when the root changes") {
        build_as_root();
        const auto ticket = node->start(named("other", 30));
        node->elect(std::nullopt);
        node->elect(node->self);
        node->elect(node->self);
        node->catalogue.add(other_model());
        REQUIRE(node->ends(ticket));
        CHECK(story(ticket).numbered());
        // A second copy would show as a second job.
        CHECK(node->job_events.story(1).over());
        CHECK(node->job_events.story(2).events.empty());
    }

    TEST_CASE_FIXTURE(Fixture, "only so many requests may wait for models") {
        build_as_root();
        for (std::size_t i = 0; i < RequestRouter::kMaxUnresolved; ++i) {
            request(kTwo, i, named("missing"));
        }
        request(kTwo, 1000, named("missing"));
        REQUIRE(events_to<Failed>(kTwo, 1000).size() == 1);
        CHECK(events_to<Failed>(kTwo, 1000)[0].code == ErrorCode::busy);
        request(kTwo, 1001, named("tiny"));
        CHECK(eventually([&] { return events_to<Done>(kTwo, 1001).size() == 1; }));
    }

    TEST_CASE_FIXTURE(Fixture, "a full queue is told as busy") {
        options.settings.queue = 0;
        build_as_root();
        CHECK(code(node->start(named("tiny"))) == ErrorCode::busy);
    }

    TEST_CASE_FIXTURE(Fixture, "tokens and text need no root") {
        build();
        const auto tokens = node->start(TokenizeRequest{"tiny", "hello w\xC3\xB6rld", true, true});
        REQUIRE(node->ends(tokens));
        const auto reply = std::get<TokenizeReply>(story(tokens).events.back());
        CHECK(reply.ids.size() == reply.pieces.size());
        std::vector<std::int32_t> ids(reply.ids.begin() + 1, reply.ids.end());  // without BOS
        const auto text = node->start(DetokenizeRequest{"tiny", ids});
        REQUIRE(node->ends(text));
        CHECK(std::get<DetokenizeReply>(story(text).events.back()).text == "hello w\xC3\xB6rld");
        const auto wrong = node->start(DetokenizeRequest{"tiny", {1, 320}});
        CHECK(code(wrong) == ErrorCode::bad_request);
        CHECK(story(wrong).failed()->message.find("320") != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "models and status are answered at once") {
        build();
        const auto models = node->start(ModelsRequest{});
        const auto status = node->start(StatusRequest{});
        node->control.drain();
        REQUIRE(story(models).over());
        CHECK(std::get<ModelsReply>(story(models).events[0]).models.size() == 1);
        REQUIRE(story(status).over());
        CHECK(std::get<StatusReply>(story(status).events[0]).root.empty());
    }

    TEST_CASE_FIXTURE(Fixture, "cancelling ends a request in every state") {
        options.models = {long_model()};
        build();
        const auto waiting = node->start(named("long"));
        node->router.cancel(waiting);
        node->router.cancel(waiting);
        CHECK(code(waiting) == ErrorCode::cancelled);
        // Before it has even begun.
        const auto early = node->control.call([&] {
            const auto ticket = node->router.start(
                named("long"), Door::control, [&](const Event& e) { node->recorder.add(777, e); });
            node->router.cancel(ticket);
            return ticket;
        });
        REQUIRE(node->ends(777));
        CHECK(early != 0);
        // While its file is read.
        const auto path = loose_file(long_model(), "loose.gguf");
        const auto reading = node->start(named(path));
        node->router.cancel(reading);
        CHECK(code(reading) == ErrorCode::cancelled);
        // While it runs.
        node->elect(node->self);
        const auto running = node->start(named("long", 0));
        REQUIRE(eventually([&] { return story(running).ids().size() > 5; }));
        node->router.cancel(running);
        REQUIRE(node->ends(running));
        CHECK(story(running).done()->reason == StopReason::cancelled);
        node->router.cancel(running);
        node->router.cancel(4242);
        node->control.drain();
        CHECK(story(running).finals() == 1);
        CHECK(story(waiting).finals() == 1);
    }
}

TEST_SUITE("RequestRouter elsewhere") {
    TEST_CASE_FIXTURE(Fixture, "a request goes to the root and its events come back") {
        build_with_root_elsewhere();
        const auto ticket = node->start(named("tiny"));
        REQUIRE(requests().size() == 1);
        CHECK(requests()[0].first == kTwo);
        CHECK(requests()[0].second.id == ticket);
        event(kTwo, ticket, Progress{"loading", 1, 2});
        event(kTwo, ticket, token(0));
        event(kThree, ticket, token(1));  // not the root
        event(kTwo, ticket + 1, token(1));
        event(kTwo, ticket, token(1));
        event(kTwo, ticket, Done{});
        event(kTwo, ticket, token(2));
        CHECK(story(ticket).text() == "0 1 ");
        CHECK(story(ticket).finals() == 1);
        CHECK(story(ticket).events.size() == 4);
    }

    TEST_CASE_FIXTURE(Fixture, "without a root a request waits, then it is unavailable") {
        options.patience.root = milliseconds(300);
        build();
        const auto ticket = node->start(named("tiny"));
        node->elect(node->self);
        REQUIRE(node->ends(ticket));
        CHECK(story(ticket).done() != nullptr);

        node->elect(std::nullopt);
        const auto late = node->start(named("tiny"));
        CHECK(code(late) == ErrorCode::unavailable);
        CHECK(story(late).failed()->message.find("shoal status") != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "a root that cannot be reached is asked again") {
        build();
        node->reachable = [](const auto&) { return false; };
        node->elect(kTwo);
        const auto ticket = node->start(named("tiny"));
        node->control.drain();
        CHECK(requests().empty());
        node->control.call([&] { node->reachable = [](const auto&) { return true; }; });
        REQUIRE(eventually([&] { return requests().size() == 1; }));
        event(kTwo, ticket, Done{});
        CHECK(story(ticket).over());
    }

    TEST_CASE_FIXTURE(Fixture, "a new root goes on after what was shown, repeats are dropped") {
        build_with_root_elsewhere();
        const auto ticket = node->start(named("tiny", 10));
        event(kTwo, ticket, token(0));
        event(kTwo, ticket, token(1));
        node->elect(std::nullopt);
        event(kTwo, ticket, token(2));  // late, of a root that is none
        node->elect(kThree);
        REQUIRE(requests().size() == 2);
        CHECK(requests()[1].first == kThree);
        const auto again = std::get<Generate>(requests()[1].second.body);
        CHECK(again.resume_ids == std::vector<std::int32_t>{100, 101});
        event(kTwo, ticket, Failed{ErrorCode::cancelled, "late"});
        event(kThree, ticket, token(1));
        event(kThree, ticket, token(2));
        event(kThree, ticket, token(4));  // a gap is none of ours
        event(kThree, ticket, token(3));
        Done done;
        done.decode_seconds = 99;
        event(kThree, ticket, done);
        CHECK(story(ticket).text() == "0 1 2 3 ");
        CHECK(story(ticket).finals() == 1);
        CHECK(story(ticket).done()->decode_seconds < 99);  // the whole time, as seen here
    }

    TEST_CASE_FIXTURE(Fixture, "a generation that moves here and away again keeps its text") {
        options.models = {long_model()};
        SmallNode alone(SmallNode::Options{.models = {long_model()}});
        const auto whole = alone.start(named("long", 400));
        REQUIRE(alone.ends(whole));

        build();
        node->elect(node->self);
        const auto ticket = node->start(named("long", 400));
        for (int i = 1; i <= 3; ++i) {
            REQUIRE(eventually(
                [&] { return story(ticket).ids().size() >= static_cast<std::size_t>(60 * i); }));
            node->elect(i % 2 == 0 ? std::nullopt : std::optional(kTwo));
            node->elect(node->self);
        }
        REQUIRE(node->ends(ticket));
        CHECK(story(ticket).numbered());
        CHECK(story(ticket).ids() == alone.story(whole).ids());
        CHECK(story(ticket).text() == alone.story(whole).text());
    }

    TEST_CASE_FIXTURE(Fixture, "a root that was lost and is back in the same term is asked again") {
        build_with_root_elsewhere();
        const auto ticket = node->start(named("tiny", 10));
        event(kTwo, ticket, token(0));
        node->control.call([&] { node->router.on_member_lost(kTwo); });
        REQUIRE(eventually([&] { return requests().size() == 2; }));
        CHECK(std::get<Generate>(requests()[1].second.body).resume_ids.size() == 1);
        event(kTwo, ticket, token(1));
        event(kTwo, ticket, Done{});
        CHECK(story(ticket).text() == "0 1 ");
    }

    TEST_CASE_FIXTURE(Fixture, "cancelling asks the root, or ends what waits for one") {
        build_with_root_elsewhere();
        const auto ticket = node->start(named("tiny"));
        node->router.cancel(ticket);
        node->router.cancel(ticket);
        node->control.drain();
        REQUIRE(requests().size() == 2);
        CHECK(std::get<CancelRequest>(requests()[1].second.body).request == ticket);
        CHECK_FALSE(story(ticket).over());
        event(kTwo, ticket, Done{.reason = StopReason::cancelled});
        CHECK(story(ticket).over());

        const auto second = node->start(named("tiny"));
        node->router.cancel(second);
        node->elect(kThree);
        CHECK(code(second) == ErrorCode::cancelled);
        node->control.drain();
        for (const auto& [to, frame] : requests()) CHECK(to == kTwo);
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a record that outgrows a message ends the request, not the daemon") {
        build_with_root_elsewhere();
        auto big = named("tiny");
        big.resume_ids.assign(kMaxPromptTokens, 1);
        const auto ticket = node->start(big);
        REQUIRE(requests().size() == 1);
        event(kTwo, ticket, token(kMaxPromptTokens));
        node->elect(kThree);
        CHECK(code(ticket) == ErrorCode::too_large);
    }

    TEST_CASE_FIXTURE(Fixture, "requests of other devices run here and answer them") {
        build_as_root();
        node->control.call([&] { node->others.clear(); });
        request(kTwo, 7, named("tiny", 5));
        REQUIRE(eventually([&] { return events_to<Done>(kTwo, 7).size() == 1; }));
        CHECK(events_to<Token>(kTwo, 7).size() == 5);
        request(kTwo, 8, StatusRequest{});
        CHECK(events_to<StatusReply>(kTwo, 8).size() == 1);
        request(kTwo, 9, TokenizeRequest{"tiny", "hi", true, true});
        CHECK(eventually([&] { return events_to<TokenizeReply>(kTwo, 9).size() == 1; }));
        request(kTwo, 10, ModelsRequest{});
        CHECK(events_to<Failed>(kTwo, 10).size() == 1);
        request(kTwo, 11, LoadRequest{"tiny"});
        CHECK(eventually([&] { return events_to<Done>(kTwo, 11).size() == 1; }));
    }

    TEST_CASE_FIXTURE(Fixture, "another device's request to a device that is no root ends") {
        options.patience.model = milliseconds(100);
        build();
        request(kTwo, 7, named("tiny", 5));
        REQUIRE(eventually([&] { return events_to<Failed>(kTwo, 7).size() == 1; }));
        CHECK(events_to<Failed>(kTwo, 7)[0].code == ErrorCode::unavailable);
        // It may have heard of our election before us.
        request(kTwo, 8, named("tiny", 5));
        node->elect(node->self);
        CHECK(eventually([&] { return events_to<Done>(kTwo, 8).size() == 1; }));
    }

    TEST_CASE_FIXTURE(Fixture, "another device cancels its own requests only") {
        options.models = {long_model()};
        build_as_root();
        request(kTwo, 7, named("long", 0));
        REQUIRE(eventually([&] { return events_to<Token>(kTwo, 7).size() > 3; }));
        request(kThree, 1, CancelRequest{7});
        request(kTwo, 8, CancelRequest{8});
        node->control.drain();
        CHECK(events_to<Done>(kTwo, 7).empty());
        request(kTwo, 8, CancelRequest{7});
        CHECK(eventually([&] { return events_to<Done>(kTwo, 7).size() == 1; }));
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a lost device's requests end, and nothing of them reaches it again") {
        options.models = {long_model()};
        build_as_root();
        request(kTwo, 7, named("long", 0));
        REQUIRE(eventually([&] { return events_to<Token>(kTwo, 7).size() > 3; }));
        node->lose(kTwo);
        // It is back at once and asks again, with what it has.
        auto again = named("long", 400);
        again.resume_ids = {1, 2, 3};
        request(kTwo, 7, again);
        REQUIRE(eventually([&] { return events_to<Done>(kTwo, 7).size() == 1; }));
        CHECK(events_to<Done>(kTwo, 7)[0].reason == StopReason::length);
        CHECK(events_to<Failed>(kTwo, 7).empty());
        CHECK(node->control.call([&] { return node->root.queued(); }) == 0);
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a device that asks again without being lost takes over its request") {
        options.models = {long_model()};
        build_as_root();
        request(kTwo, 7, named("long", 0));
        REQUIRE(eventually([&] { return events_to<Token>(kTwo, 7).size() > 3; }));
        auto again = named("long", 6);
        again.resume_ids = {1, 2, 3};
        request(kTwo, 7, again);
        REQUIRE(eventually([&] { return events_to<Done>(kTwo, 7).size() == 1; }));
        // The first one was stopped without a word: its job ended cancelled.
        REQUIRE(eventually([&] { return node->job_events.story(1).over(); }));
        CHECK(node->job_events.story(1).done()->reason == StopReason::cancelled);
        CHECK(events_to<Done>(kTwo, 7).size() == 1);
        CHECK(events_to<Done>(kTwo, 7)[0].generated_tokens == 6);
    }
}
