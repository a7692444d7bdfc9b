#include "daemon/requests/request_router.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <string>
#include <vector>

#include "tests/daemon/small_daemon.hpp"

namespace request_router_test {

using namespace shoal;
using namespace shoal::tests;
using namespace mesh::messages;
using std::chrono::milliseconds;

namespace {

const mesh::DeviceId kTwo = device_id(2);
const mesh::DeviceId kThree = device_id(3);

struct Fixture {
    SmallDaemon::Options options;
    std::unique_ptr<SmallDaemon> node;

    Fixture() { options.root = false; }
    void build() { node = std::make_unique<SmallDaemon>(options); }
    void build_with_root_elsewhere() {
        build();
        node->join(2);
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
    // Another device announces this.
    void announce(Announcement announcement) {
        node->join(other_device(2), std::move(announcement));
    }
    void announce(CatalogueEntry entry, const std::string& name) {
        entry.name = name;
        Announcement announcement;
        announcement.models = {announced(entry)};
        announce(std::move(announcement));
    }
    void add(const std::filesystem::path& path) {
        node->catalogue.add(path);
        node->control.call([&] { node->core.describe(); });
    }
    std::string hash(std::size_t index) const {
        return node->catalogue.list().at(index).hash.hex();
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
        REQUIRE(story(ticket).done() != nullptr);
        // The first one waited for the model, the second one for nothing.
        CHECK(story(ticket).done()->load_seconds > 0);
        const auto second = node->start(named("tiny"));
        REQUIRE(node->ends(second));
        REQUIRE(story(second).done() != nullptr);
        CHECK(story(second).done()->load_seconds == 0);
        const auto third = node->start(LoadRequest{"tiny"});
        REQUIRE(node->ends(third));
        CHECK(story(third).done()->load_seconds == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "the first token names the model, whatever it was called by") {
        build_as_root();
        const auto ticket = node->start(named(""));
        REQUIRE(node->ends(ticket));
        std::vector<std::string> names;
        for (const Event& event : story(ticket).events) {
            if (const auto* t = std::get_if<Token>(&event)) names.push_back(t->model);
        }
        CHECK(names == std::vector<std::string>{"tiny", "", ""});
    }

    TEST_CASE_FIXTURE(Fixture, "invalid requests are answered, and their door decides") {
        build_as_root();
        auto hot = named("tiny");
        hot.sampling.temperature = -1;
        CHECK(code(node->start(hot)) == ErrorCode::bad_request);
        for (const Door door : {Door::http, Door::mesh}) {
            CHECK(code(node->start(named("/etc/passwd"), door)) == ErrorCode::forbidden);
            CHECK(code(node->start(named("./x.gguf"), door)) == ErrorCode::forbidden);
            CHECK(code(node->start(LoadRequest{"../x.gguf"}, door)) == ErrorCode::forbidden);
        }
        CHECK(code(node->start(LoadRequest{"tiny"}, Door::http)) == ErrorCode::forbidden);
        CHECK(code(node->start(CancelRequest{1})) == ErrorCode::bad_request);
        node->join_client(2);
        node->ask(kTwo, {5, named("/etc/passwd")});
        REQUIRE(node->events_to<Failed>(kTwo, 5).size() == 1);
        CHECK(node->events_to<Failed>(kTwo, 5)[0].code == ErrorCode::forbidden);
        // A wish to load is judged like any other.
        node->ask(kTwo, {6, LoadRequest{"/etc/passwd"}});
        REQUIRE(node->events_to<Failed>(kTwo, 6).size() == 1);
        CHECK(node->events_to<Failed>(kTwo, 6)[0].code == ErrorCode::forbidden);
        node->ask(kTwo, {7, LoadRequest{""}});
        REQUIRE(node->events_to<Failed>(kTwo, 7).size() == 1);
        CHECK(node->events_to<Failed>(kTwo, 7)[0].code == ErrorCode::bad_request);
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
        announce(node->catalogue.list().at(0), "copy");
        const auto models = node->start(ModelsRequest{});
        REQUIRE(node->ends(models));
        REQUIRE(std::get<ModelsReply>(story(models).events[0]).models.size() == 2);
        const auto tokens = [&](const std::string& name) {
            const auto ticket = node->start(TokenizeRequest{name, "hello", true, true});
            return node->ends(ticket) &&
                   std::holds_alternative<TokenizeReply>(story(ticket).events.back());
        };
        CHECK(tokens(hash(0)));
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
        CHECK(node->ends(node->start(named(hash(1)))));
        announce(node->catalogue.list().at(1), "tiny");  // another content of the same name
        const auto ticket = node->start(named("tiny"));
        CHECK(code(ticket) == ErrorCode::not_found);
        CHECK(story(ticket).failed()->message.find("hash") != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "a hash may be cut, as people copy it from a list") {
        options.models = {tiny_model(), other_model()};
        options.patience.joining = milliseconds(0);
        build_as_root();
        std::string whole = hash(1);
        for (const std::size_t digits : {8, 12, 63, 64}) {
            const auto ticket = node->start(named(whole.substr(0, digits)));
            REQUIRE(node->ends(ticket));
            REQUIRE(story(ticket).done() != nullptr);
            CHECK(story(ticket).done()->model == "other");
        }
        std::transform(whole.begin(), whole.end(), whole.begin(), ::toupper);
        CHECK(node->ends(node->start(named(whole.substr(0, 12)))));
        CHECK(code(node->start(named(whole.substr(0, 7)))) == ErrorCode::not_found);
        CHECK(code(node->start(named(whole.substr(0, 11) + "x"))) == ErrorCode::not_found);
    }

    TEST_CASE_FIXTURE(Fixture, "a name that nobody can still announce is refused at once") {
        options.patience = {std::chrono::hours(1), std::chrono::hours(1), milliseconds(0)};
        build_as_root();
        const auto ticket = node->start(named("Tyny"));
        CHECK(code(ticket) == ErrorCode::not_found);
        CHECK(story(ticket).failed()->message.find("did you mean \"tiny\"?") != std::string::npos);
        const auto far = node->start(named("gpt-4"));
        CHECK(code(far) == ErrorCode::not_found);
        CHECK(story(far).failed()->message.find("did you mean") == std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "a file that cannot be used is refused with its reason") {
        options.patience = {std::chrono::hours(1), std::chrono::hours(1), milliseconds(0)};
        build_as_root();
        Announcement announcement;
        announcement.problems = {
            {"half", "/m/half.gguf: it is damaged, or its download ended early"},
            {"tiny", "/m/tiny.gguf: is no model here"}};
        announce(std::move(announcement));
        const auto ticket = node->start(named("half"));
        CHECK(code(ticket) == ErrorCode::not_found);
        const std::string why = story(ticket).failed()->message;
        CHECK(why.find("/m/half.gguf: it is damaged") != std::string::npos);
        CHECK(why.find("device " + device_id(2).hex().substr(0, 8)) != std::string::npos);
        // A good one of the name is used.
        const auto good = node->start(named("tiny"));
        REQUIRE(eventually([&] { return node->plan().has_value(); }));
        node->tell(kTwo, PlanLoaded{node->plan()->plan, 1, 1, 1, 1});
        REQUIRE(node->ends(good));
        CHECK(story(good).done() != nullptr);
        const auto list = node->start(ModelsRequest{});
        REQUIRE(node->ends(list));
        const Story listed = story(list);
        const auto& models = std::get<ModelsReply>(listed.events.back()).models;
        CHECK(std::count_if(models.begin(), models.end(),
                            [](const ModelInfo& m) { return !m.problem.empty(); }) == 2);
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

        config::ModelSettings other;
        other.default_model = "other";
        node->control.call([&] { node->core.set(other, {}); });
        const auto changed = node->start(named(""));
        REQUIRE(node->ends(changed));
        CHECK(story(changed).done()->model == "other");

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
        add(other_model());
        REQUIRE(node->ends(early));
        CHECK(story(early).done() != nullptr);

        const auto never = node->start(named("missing"));
        CHECK(code(never) == ErrorCode::not_found);
        CHECK(story(never).failed()->message.find("missing") != std::string::npos);

        const auto cancelled = node->start(named("missing"));
        node->cancel(cancelled);
        CHECK(code(cancelled) == ErrorCode::cancelled);
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a request that waits for its model runs once when the root changes") {
        build_as_root();
        const auto ticket = node->start(named("other", 30));
        node->elect(std::nullopt);
        node->elect(node->self);
        node->elect(node->self);
        add(other_model());
        REQUIRE(node->ends(ticket));
        CHECK(story(ticket).numbered());
        // A second copy would show as a second job.
        CHECK(node->job_events.story(1).over());
        CHECK(node->job_events.story(2).events.empty());
    }

    TEST_CASE_FIXTURE(Fixture, "only so many requests may wait for models") {
        build_as_root();
        node->join_client(2);
        for (std::size_t i = 0; i < Desk::kMaxUnplaced; ++i) {
            node->ask(kTwo, {i, named("missing")});
        }
        node->ask(kTwo, {1000, named("missing")});
        REQUIRE(node->events_to<Failed>(kTwo, 1000).size() == 1);
        CHECK(node->events_to<Failed>(kTwo, 1000)[0].code == ErrorCode::busy);
        node->ask(kTwo, {1001, named("tiny")});
        CHECK(eventually([&] { return node->events_to<Done>(kTwo, 1001).size() == 1; }));
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

    TEST_CASE_FIXTURE(Fixture, "a text of too many tokens is refused with both numbers") {
        build();
        std::string text;
        while (text.size() < kMaxPromptBytes) text += "x \n";
        text.resize(kMaxPromptBytes);
        const auto ticket = node->start(TokenizeRequest{"tiny", text, true, true});
        CHECK(code(ticket) == ErrorCode::too_large);
        CHECK(story(ticket).failed()->message.find("at least 1") != std::string::npos);
        CHECK(story(ticket).failed()->message.find("1048576") != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "texts are given up when nobody waits for them") {
        build_as_root();
        REQUIRE(node->ends(node->start(TokenizeRequest{"tiny", "hello", true, true})));
        node->join_client(2);
        // All is said before the first text is done: what comes back comes behind it.
        const std::string text(50'000, 'x');
        constexpr std::uint64_t kCount = Answers::kMaxPending + 2;
        node->control.call([&] {
            std::vector<http::Service::Ticket> tickets;
            for (std::uint64_t i = 0; i < kCount; ++i) {
                tickets.push_back(node->core.service().start(
                    TokenizeRequest{"tiny", text, true, true}, Door::control,
                    [this, i](const Event& e) { node->recorder.add(1000 + i, e); }));
            }
            for (const auto ticket : tickets) node->cancel(ticket);
        });
        for (std::uint64_t i = 0; i < kCount; ++i) {
            CAPTURE(i);
            const bool room = i < Answers::kMaxPending;
            CHECK(code(1000 + i) == (room ? ErrorCode::cancelled : ErrorCode::busy));
        }
        // One that takes longer than it takes to say that it is not wanted.
        const std::string longer(4'000'000, 'x');
        node->ask(kTwo, {5, TokenizeRequest{"tiny", longer, true, true}});
        node->ask(kTwo, {6, CancelRequest{5}});
        REQUIRE(node->ends(node->start(TokenizeRequest{"tiny", "hello", true, true})));
        for (std::uint64_t i = 0; i < kCount; ++i) CHECK(story(1000 + i).finals() == 1);
        REQUIRE(node->events_to<Failed>(kTwo, 5).size() == 1);
        CHECK(node->events_to<Failed>(kTwo, 5)[0].code == ErrorCode::cancelled);
        CHECK(node->events_to<TokenizeReply>(kTwo, 5).empty());
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
        node->cancel(waiting);
        node->cancel(waiting);
        CHECK(code(waiting) == ErrorCode::cancelled);
        // Before it has even begun.
        const auto early = node->control.call([&] {
            const auto ticket = node->core.service().start(
                named("long"), Door::control, [&](const Event& e) { node->recorder.add(777, e); });
            node->cancel(ticket);
            return ticket;
        });
        REQUIRE(node->ends(777));
        CHECK(early != 0);
        // While its file is read.
        const auto path = loose_file(long_model(), "loose.gguf");
        const auto reading = node->start(named(path));
        node->cancel(reading);
        CHECK(code(reading) == ErrorCode::cancelled);
        // While it runs.
        node->elect(node->self);
        const auto running = node->start(named("long", 0));
        REQUIRE(eventually([&] { return story(running).ids().size() > 5; }));
        node->cancel(running);
        REQUIRE(node->ends(running));
        CHECK(story(running).done()->reason == StopReason::cancelled);
        node->cancel(running);
        node->cancel(4242);
        node->control.drain();
        CHECK(story(running).finals() == 1);
        CHECK(story(waiting).finals() == 1);
    }
}

TEST_SUITE("RequestRouter elsewhere") {
    TEST_CASE_FIXTURE(Fixture, "a request goes to the root and its events come back") {
        build_with_root_elsewhere();
        const auto ticket = node->start(named("tiny"));
        REQUIRE(eventually([&] { return node->requests().size() == 1; }));
        const auto [to, sent] = node->requests()[0];
        CHECK(to == kTwo);
        CHECK(sent.id == ticket);
        node->answer(kTwo, {ticket, Progress{"loading", 1, 2}, sent.attempt});
        node->answer(kTwo, {ticket, token(0), sent.attempt});
        node->answer(kTwo, {ticket, token(1), sent.attempt});
        node->answer(kTwo, {ticket, Done{}, sent.attempt});
        CHECK(story(ticket).text() == "0 1 ");
        CHECK(story(ticket).events.size() == 4);
    }

    TEST_CASE_FIXTURE(Fixture, "a request that waits for a root begins when there is one") {
        build();
        const auto ticket = node->start(named("tiny"));
        node->elect(node->self);
        REQUIRE(node->ends(ticket));
        CHECK(story(ticket).done() != nullptr);
    }

    TEST_CASE_FIXTURE(Fixture, "a generation that moves here and away again keeps its text") {
        options.models = {long_model()};
        SmallDaemon alone(SmallDaemon::Options{.models = {long_model()}});
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

    TEST_CASE_FIXTURE(Fixture,
                      "a record that outgrows a message ends the request, not the daemon") {
        build_with_root_elsewhere();
        auto big = named("tiny");
        big.resume_ids.assign(kMaxPromptTokens, 1);
        const auto ticket = node->start(big);
        REQUIRE(eventually([&] { return node->requests().size() == 1; }));
        node->answer(kTwo, {ticket, token(kMaxPromptTokens), node->requests()[0].second.attempt});
        node->elect(kThree);
        CHECK(code(ticket) == ErrorCode::too_large);
    }

    TEST_CASE_FIXTURE(Fixture, "requests of other devices run here and answer them") {
        build_as_root();
        node->join_client(2);
        node->ask(kTwo, {7, named("tiny", 5)});
        REQUIRE(eventually([&] { return node->events_to<Done>(kTwo, 7).size() == 1; }));
        CHECK(node->events_to<Token>(kTwo, 7).size() == 5);
        node->ask(kTwo, {8, StatusRequest{}});
        CHECK(node->events_to<StatusReply>(kTwo, 8).size() == 1);
        node->ask(kTwo, {9, TokenizeRequest{"tiny", "hi", true, true}});
        CHECK(eventually([&] { return node->events_to<TokenizeReply>(kTwo, 9).size() == 1; }));
        node->ask(kTwo, {10, ModelsRequest{}});
        CHECK(node->events_to<Failed>(kTwo, 10).size() == 1);
        node->ask(kTwo, {11, LoadRequest{"tiny"}});
        CHECK(eventually([&] { return node->events_to<Done>(kTwo, 11).size() == 1; }));
    }

    TEST_CASE_FIXTURE(Fixture, "another device cancels its own requests only") {
        options.models = {long_model()};
        build_as_root();
        node->join_client(2);
        node->join_client(3);
        node->ask(kTwo, {7, named("long", 0)});
        REQUIRE(eventually([&] { return node->events_to<Token>(kTwo, 7).size() > 3; }));
        node->ask(kThree, {1, CancelRequest{7}});
        node->ask(kTwo, {8, CancelRequest{8}});
        node->control.drain();
        CHECK(node->events_to<Done>(kTwo, 7).empty());
        node->ask(kTwo, {8, CancelRequest{7}});
        CHECK(eventually([&] { return node->events_to<Done>(kTwo, 7).size() == 1; }));
    }
}

}  // namespace request_router_test
