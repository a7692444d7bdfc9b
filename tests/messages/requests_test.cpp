#include "mesh/messages/requests.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <msgpack.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <variant>

namespace shoal::mesh::messages {
namespace {

using Bytes = std::vector<std::byte>;
using wire::DecodeError;
using Reason = DecodeError::Reason;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

/// Bytes as a stranger would pack them.
class Raw {
  public:
    msgpack::packer<msgpack::sbuffer> pack{buffer_};
    Bytes bytes() const {
        const auto* first = reinterpret_cast<const std::byte*>(buffer_.data());
        return {first, first + buffer_.size()};
    }
    /// The frame's head; its body is still to come.
    Raw& head(std::uint64_t version, std::uint64_t type, std::uint64_t id = 1) {
        pack.pack_array(4), pack.pack(version), pack.pack(type), pack.pack(id);
        return *this;
    }

  private:
    msgpack::sbuffer buffer_;
};

Bytes raw(std::initializer_list<int> values) {
    Bytes out;
    for (int v : values) out.push_back(static_cast<std::byte>(v));
    return out;
}

Generate full_generate() {
    Generate g;
    g.model = "tiny \xC3\xA4";
    g.prompt = std::string("once\0upon", 9);
    g.prompt_ids = {1, 2, 2147483647, 0};
    g.max_tokens = 4294967295U;
    g.sampling = {0.5F, 7, 0.25F, 0.125F, 1.5F, -2, 2, 9, ~0ULL, {{0, -100.F}, {31999, 1e30F}}};
    g.stop = {"\n\n", "</s>"};
    g.ignore_eos = true;
    g.resume_ids = {5, 6};
    g.chat = R"({"messages":[]})";
    g.suffix = "end";
    g.constraint = {Constraint::Kind::json_schema, "{}"};
    g.logprobs = 21;
    g.prompt_logprobs = true;
    g.client = ~0ULL;
    g.priority = -100;
    g.cache_prompt = false;
    return g;
}

DeviceInfo full_device() {
    DeviceInfo d;
    d.id = "00ff", d.name = "kitchen", d.address = "10.0.0.2", d.cpu = "neon";
    d.self = true, d.root = true, d.alive = false, d.rank = 3;
    d.slice = {{1, 2}, {3, 4}, {5, 6}, {7, 8}};
    d.memory_total = 1ULL << 40, d.memory_available = 9;
    d.weight_bytes = 10, d.planned_weight_bytes = 11, d.kv_bytes = 12;
    d.round_trip_ms = 0.25, d.threads = 4, d.state = "loading 42 %";
    d.link = {"zmtp", "AES-256-GCM", 1, 2, 3, 4, 5, 6.5, 7.5};
    return d;
}

StatusReply full_status() {
    StatusReply s;
    s.version = "0.1.0", s.cluster = "ab-cd", s.self = "00ff", s.root = "11ee";
    s.term = ~0ULL, s.plan = 4, s.model = "tiny", s.model_hash = "aa", s.collectives = "q8_0";
    s.kv_type = "f16", s.context = 2048, s.devices = {full_device(), DeviceInfo{}};
    s.running = 1, s.queued = 2, s.generated_tokens = 3;
    s.tokens_per_second = 4.5, s.prefill_tokens_per_second = 1e9;
    s.reading_models = true;
    s.parallel = 16, s.preemptions = 1, s.prompt_tokens = 9, s.cached_tokens = 4, s.cache_use = 0.5;
    s.warnings = {{"disk-full", Severity::error, "00ff", "no room", "make some"}};
    s.links = {{"00ff", "11ee", 1e-4, 1e8, 2e8, "2026-11-29T16:40:00Z", "", "10.0.0.2", "zmtp",
                "AES-256-OCB"}};
    return s;
}

ModelInfo full_model() {
    return {"tiny", "aa", "llama", "Q4_K_M", 1ULL << 33, 8000000000ULL, 8192, true, {"00", "11"}};
}

std::vector<Request> all_requests() {
    return {full_generate(),
            TokenizeRequest{"m", "text", false, false, "{}"},
            DetokenizeRequest{"m", {3, 2, 1}},
            StatusRequest{},
            ModelsRequest{},
            LoadRequest{"/models/tiny.gguf", 60},
            CancelRequest{77},
            BenchRequest{true},
            PlanRequest{"tiny", 3},
            DescribeRequest{"tiny"},
            InviteRequest{},
            JoinRequest{"shoal-join1-0"},
            LeaveRequest{},
            DevicesRequest{},
            RenameRequest{"desk", "kitchen"},
            ForgetRequest{"desk"},
            UnloadRequest{"tiny"}};
}

DeviceProfile full_profile() {
    return {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}, {10, 11, 12}, {13, 14, 15}, 16, 17, 18, 0.25};
}

BenchReply full_bench() {
    return {full_profile(),
            ProfileOrigin::measured,
            "2026-11-29T16:40:00Z",
            "Cortex-A76",
            "dotprod",
            "0.1.0",
            4,
            {0, 2, 4, 6},
            1ULL << 33,
            "disk full"};
}

PlanReply full_plan() {
    PlanReply reply{"tiny", 8192, {0, 4096}, 2048, 512, 256, 2, {}, 1, {}, {1, 2, 3, 4, 5}, -0.5};
    reply.counts = {{1, true, true, {12.5, 9}, 100, 0.25, 1ULL << 33, 64, 40}, PlanCount{}};
    reply.devices = {{"pi", true, false, full_device().slice, 1ULL << 32, 0.5, ""},
                     {"old", false, true, {}, 0, 0, "slow"}};
    reply.links = {3, 2, {1e-4, 1e8}, {1e-5, 1e9}, {1e-3, 1e7}};
    reply.beside = {"small", "other"};
    reply.leaving = {"large"};
    return reply;
}

Token full_token() {
    return {4,
            15043,
            " H\xC3\xA9",
            "tiny",
            "hm",
            {{"call_1", "add", R"({"a":1})"}, {}},
            {{15043, -0.5F, "\xC3"}, {7, -1e9F, ""}}};
}

PromptTokens full_prompt() {
    return {9, {{1, "<s>", {}}, {15043, "\xA9", {{15043, -2, "\xA9"}}}}};
}

Done full_done() {
    Done done{StopReason::stop, "tail", 5, 6, "tiny", 0.5, 0.25, 1e-9, 1e9, 7};
    done.reasoning = "hm", done.calls = {{"call_2", "add", "{}"}}, done.reasoning_tokens = 3;
    done.stopped_by = "\n\n", done.embedding = {0.5F, -1}, done.cached_tokens = 4;
    return done;
}

DescribeReply full_description() {
    DescribeReply d;
    d.info = full_model(), d.chat_template = "{{ bos }}", d.bos = "<s>", d.eos = "</s>";
    d.thinks = true, d.calls_tools = true, d.fills_in = true;
    d.layers = 1, d.width = 2, d.heads = 3, d.kv_heads = 4, d.ffn = 5, d.vocabulary = 6;
    d.metadata = {{"general.name", "Tiny"}, {"a", ""}};
    return d;
}

std::vector<Event> all_events() {
    return {Progress{"loading", 1, ~0ULL},
            full_token(),
            full_done(),
            Failed{ErrorCode::busy, "no", 12},
            TokenizeReply{{1, 2}, {"a", "b"}, "ab"},
            DetokenizeReply{"text"},
            ModelsReply{{full_model(), ModelInfo{}}, true, "/models"},
            full_status(),
            full_bench(),
            full_plan(),
            full_prompt(),
            full_description(),
            InviteReply{"shoal-join1-0", 600, "3f2a-91c0-77de", {"10.0.0.1:40123"}},
            ClusterReply{"3f2a-91c0-77de", {"desk", "kitchen"}, "not found"},
            DevicesReply{"3f2a-91c0-77de",
                         {{"00ff", "desk", "10.0.0.1", "0.1.0", 1, 2, true, true},
                          {"11ee", "kitchen", "", "", 3, 4, false, false}}}};
}

std::string text_of(const RequestFrame& f) {
    const Bytes b = encode(f);
    return {reinterpret_cast<const char*>(b.data()), b.size()};
}

DecodeError request_error(const Bytes& bytes) {
    const auto result = decode_request(bytes);
    REQUIRE_FALSE(static_cast<bool>(result));
    return result.error();
}

DecodeError event_error(const Bytes& bytes) {
    const auto result = decode_event(bytes);
    REQUIRE_FALSE(static_cast<bool>(result));
    return result.error();
}

std::string refusal(const Request& request, Door door = Door::http) {
    const auto failed = validate(request, door);
    REQUIRE(failed.has_value());
    CHECK(failed->code == ErrorCode::bad_request);
    return failed->message;
}

std::string refusal(const Sampling& sampling) {
    Generate g;
    g.sampling = sampling;
    return refusal(g);
}

bool accepted(const Sampling& sampling) {
    Generate g;
    g.sampling = sampling;
    return !validate(g, Door::http);
}

}  // namespace

TEST_SUITE("requests") {
    TEST_CASE("every request survives the wire with every field") {
        // A second encoding shows every field; the members are compared for the largest.
        for (const Request& request : all_requests()) {
            const RequestFrame frame{0xFFFFFFFFFFFFFFFEULL, request};
            const auto back = decode_request(encode(frame));
            REQUIRE(static_cast<bool>(back));
            CHECK(back->id == frame.id);
            CHECK(back->body.index() == request.index());
            CHECK(encode(*back) == encode(frame));
        }
        const auto back = decode_request(encode(RequestFrame{1, full_generate()}));
        REQUIRE(static_cast<bool>(back));
        const auto& g = std::get<Generate>(back->body);
        const Generate want = full_generate();
        CHECK(g.model == want.model);
        CHECK(g.prompt == want.prompt);
        CHECK(g.prompt_ids == want.prompt_ids);
        CHECK(g.max_tokens == want.max_tokens);
        CHECK(g.sampling == want.sampling);
        CHECK(g.stop == want.stop);
        CHECK(g.ignore_eos);
        CHECK(g.resume_ids == want.resume_ids);
        CHECK(g.chat == want.chat);
        CHECK(g.suffix == want.suffix);
        CHECK(g.constraint == want.constraint);
        CHECK(g.logprobs == want.logprobs);
        CHECK(g.prompt_logprobs);
        CHECK(g.client == want.client);
        CHECK(g.priority == want.priority);
        CHECK(g.cache_prompt == want.cache_prompt);
    }

    TEST_CASE("answers of chats, scores and embeddings keep every member") {
        const auto sent = [](const Event& event) {
            const auto back = decode_event(encode(EventFrame{1, event}));
            REQUIRE(static_cast<bool>(back));
            return back->body;
        };
        Generate embed;
        embed.task = Task::embed;
        const auto asked = decode_request(encode(RequestFrame{1, embed}));
        REQUIRE(static_cast<bool>(asked));
        CHECK(std::get<Generate>(asked->body).task == Task::embed);
        const auto token = std::get<Token>(sent(full_token()));
        CHECK(token.reasoning == "hm");
        CHECK(token.calls == full_token().calls);
        CHECK(token.scores == full_token().scores);
        CHECK(std::get<PromptTokens>(sent(full_prompt())).tokens == full_prompt().tokens);
        const auto done = std::get<Done>(sent(full_done()));
        CHECK(done.calls == full_done().calls);
        CHECK(done.embedding == full_done().embedding);
        CHECK(done.stopped_by == "\n\n");
        CHECK(done.cached_tokens == 4);
        const auto model = std::get<DescribeReply>(sent(full_description()));
        CHECK(model.metadata == full_description().metadata);
        CHECK(model.fills_in);
        CHECK(model.vocabulary == 6);
    }

    TEST_CASE("every event survives the wire with every field") {
        for (const Event& event : all_events()) {
            const EventFrame frame{3, event};
            const auto back = decode_event(encode(frame));
            REQUIRE(static_cast<bool>(back));
            CHECK(back->id == 3);
            CHECK(back->body.index() == event.index());
            CHECK(encode(*back) == encode(frame));
        }
        const auto back = decode_event(encode(EventFrame{1, full_status()}));
        REQUIRE(static_cast<bool>(back));
        const auto& status = std::get<StatusReply>(back->body);
        CHECK(status.term == ~0ULL);
        CHECK(status.prefill_tokens_per_second == 1e9);
        REQUIRE(status.devices.size() == 2);
        CHECK(status.devices[0].slice == full_device().slice);
        CHECK_FALSE(status.devices[0].alive);
        CHECK(status.devices[0].state == "loading 42 %");
        CHECK(status.devices[1].rank == -1);
        CHECK(status.reading_models);
        CHECK(status.warnings == full_status().warnings);
        CHECK(status.links == full_status().links);
        const auto bench = decode_event(encode(EventFrame{1, full_bench()}));
        REQUIRE(static_cast<bool>(bench));
        CHECK(std::get<BenchReply>(bench->body).profile == full_profile());
        CHECK(std::get<BenchReply>(bench->body).cpus == full_bench().cpus);
    }

    TEST_CASE("a predicted plan keeps every member") {
        const auto back = decode_event(encode(EventFrame{1, full_plan()}));
        REQUIRE(static_cast<bool>(back));
        CHECK(std::get<PlanReply>(back->body) == full_plan());
    }

    TEST_CASE("plans are predicted for command lines, also of other devices") {
        CHECK_FALSE(validate(PlanRequest{"tiny", 1024}, Door::control));
        CHECK_FALSE(validate(PlanRequest{"tiny", 0}, Door::mesh));
        CHECK(validate(PlanRequest{"tiny", 1025}, Door::control)->code == ErrorCode::bad_request);
        CHECK(validate(PlanRequest{"/a/path", 0}, Door::mesh)->code == ErrorCode::forbidden);
        CHECK(validate(PlanRequest{"tiny", 0}, Door::http)->code == ErrorCode::forbidden);
    }

    TEST_CASE("a device is measured over the control socket alone") {
        for (const bool show : {false, true}) {
            CHECK_FALSE(validate(BenchRequest{show}, Door::control));
            for (const Door door : {Door::http, Door::mesh}) {
                const auto failed = validate(BenchRequest{show}, door);
                REQUIRE(failed.has_value());
                CHECK(failed->code == ErrorCode::forbidden);
            }
        }
    }

    TEST_CASE(
        "who is in the cluster is decided over the control socket alone, by names in bounds") {
        for (const Request& request : all_requests()) {
            const bool about_devices = request.index() >= Request(InviteRequest{}).index() &&
                                       !std::holds_alternative<UnloadRequest>(request);
            if (!about_devices) continue;
            CAPTURE(request.index());
            CHECK_FALSE(validate(request, Door::control));
            for (const Door door : {Door::http, Door::mesh}) {
                const auto failed = validate(request, door);
                REQUIRE(failed.has_value());
                CHECK(failed->code == ErrorCode::forbidden);
            }
        }
        const auto is_bad = [](const Request& request) {
            const auto failed = validate(request, Door::control);
            return failed && failed->code == ErrorCode::bad_request;
        };
        CHECK(is_bad(JoinRequest{std::string(kMaxInvitationBytes + 1, 'x')}));
        CHECK_FALSE(is_bad(JoinRequest{std::string(kMaxInvitationBytes, 'x')}));
        CHECK(is_bad(RenameRequest{"desk", ""}));
        CHECK(is_bad(RenameRequest{"desk", "two\nlines"}));
        CHECK(is_bad(RenameRequest{"desk", std::string(kMaxDeviceNameBytes + 1, 'x')}));
        CHECK_FALSE(is_bad(RenameRequest{"desk", std::string(kMaxDeviceNameBytes, 'x')}));
        CHECK(is_bad(ForgetRequest{""}));
        CHECK(is_bad(ForgetRequest{std::string(kMaxDeviceNameBytes + 1, 'x')}));
    }

    TEST_CASE("a frame says which attempt it belongs to, if it is one of several") {
        for (const std::uint64_t attempt : {std::uint64_t{1}, ~std::uint64_t{0}}) {
            const auto request = decode_request(encode(RequestFrame{1, StatusRequest{}, attempt}));
            REQUIRE(static_cast<bool>(request));
            CHECK(request->attempt == attempt);
            const auto event = decode_event(encode(EventFrame{1, full_status(), attempt}));
            REQUIRE(static_cast<bool>(event));
            CHECK(event->attempt == attempt);
        }
        CHECK(encode(RequestFrame{1, StatusRequest{}, 0}) == raw({0x94, 1, 3, 1, 0x80}));
        CHECK(encode(RequestFrame{1, StatusRequest{}, 9}) == raw({0x95, 1, 3, 1, 0x80, 9}));
        CHECK(decode_request(raw({0x94, 1, 3, 1, 0x80}))->attempt == 0);
        CHECK(request_error(raw({0x95, 1, 3, 1, 0x80, 0xFF})).reason == Reason::bad_value);
        CHECK(request_error(raw({0x96, 1, 3, 1, 0x80, 9, 9})).reason == Reason::bad_value);
        CHECK(request_error(raw({0x93, 1, 3, 1})).reason == Reason::bad_value);
        // An event beyond its limits is refused in the name of the same attempt.
        Event large = TokenizeReply{std::vector<std::int32_t>(kMaxPromptTokens + 1), {}};
        const auto refused = decode_event(encode(EventFrame{1, std::move(large), 9}));
        REQUIRE(static_cast<bool>(refused));
        CHECK(refused->attempt == 9);
    }

    TEST_CASE("a field that was changed changes the bytes") {
        // Guards against a member that is missing from the list of fields.
        const std::string base = text_of({1, Generate{}});
        Generate g;
        g.ignore_eos = true;
        CHECK(text_of({1, g}) != base);
        g = {};
        g.sampling.penalty_last_n = 65;
        CHECK(text_of({1, g}) != base);
        g = {};
        g.sampling.frequency_penalty = 1;
        CHECK(text_of({1, g}) != base);
        g = {};
        g.resume_ids = {1};
        CHECK(text_of({1, g}) != base);
        g = {};
        g.client = 1;
        CHECK(text_of({1, g}) != base);
        g = {};
        g.priority = 1;
        CHECK(text_of({1, g}) != base);
    }

    TEST_CASE("only progress and tokens, of prompt and answer, do not end a request") {
        for (const Event& event : all_events()) {
            const bool goes_on = std::holds_alternative<Progress>(event) ||
                                 std::holds_alternative<Token>(event) ||
                                 std::holds_alternative<PromptTokens>(event);
            CHECK(is_final(event) == !goes_on);
        }
    }

    TEST_CASE("a missing field takes its default") {
        Raw r;
        r.head(1, 0).pack.pack_map(1);
        r.pack.pack(1), r.pack.pack(std::string("hi"));
        const auto back = decode_request(r.bytes());
        REQUIRE(static_cast<bool>(back));
        const auto& g = std::get<Generate>(back->body);
        CHECK(g.prompt == "hi");
        CHECK(g.sampling == Sampling{});
    }

    TEST_CASE("an unknown field is skipped from key 64 on and refused below") {
        for (int key : {64, 65, 1000000}) {
            Raw r;
            r.head(1, 3).pack.pack_map(1);
            r.pack.pack(key), r.pack.pack(std::string("later"));
            CHECK(static_cast<bool>(decode_request(r.bytes())));
        }
        for (int key : {0, 63}) {
            Raw r;
            r.head(1, 3).pack.pack_map(1);
            r.pack.pack(key), r.pack.pack(std::string("later"));
            const auto error = request_error(r.bytes());
            CHECK(error.reason == Reason::bad_value);
            CHECK(error.what.find("newer version") != std::string::npos);
        }
    }

    TEST_CASE("other versions and types are told apart from rubbish") {
        Raw version;
        version.head(2, 3).pack.pack_map(0);
        CHECK(request_error(version.bytes()).reason == Reason::wrong_version);
        Raw type;
        type.head(1, std::variant_size_v<Request>).pack.pack_map(0);
        CHECK(request_error(type.bytes()).reason == Reason::unknown_type);
        Raw event_type;
        event_type.head(1, std::variant_size_v<Event>).pack.pack_map(0);
        CHECK(event_error(event_type.bytes()).reason == Reason::unknown_type);
        CHECK(request_error({}).reason == Reason::truncated);
        CHECK(request_error(raw({0xC1})).reason == Reason::bad_value);
        CHECK(request_error(raw({0xC0})).reason == Reason::bad_value);
        CHECK(request_error(raw({0x94, 1, 3, 1, 0x80, 0})).reason == Reason::bad_value);
        CHECK(request_error(raw({0x94, 1, 3, 0xFF, 0x80})).reason == Reason::bad_value);
        CHECK(static_cast<bool>(decode_request(raw({0x94, 1, 3, 1, 0x80}))));
    }

    TEST_CASE("wrong kinds of values are refused with the field's path") {
        const auto with = [](int key, auto value) {
            Raw r;
            r.head(1, 0).pack.pack_map(1);
            r.pack.pack(4), r.pack.pack_map(1), r.pack.pack(key), r.pack.pack(value);
            return request_error(r.bytes());
        };
        CHECK(with(0, std::string("hot")).what.starts_with("generate.sampling.temperature"));
        CHECK(with(1, -1).what.starts_with("generate.sampling.top_k"));
        CHECK(with(1, 1ULL << 32).what.starts_with("generate.sampling.top_k"));
        CHECK(with(9, 1).what.starts_with("generate.sampling.logit_bias"));
        CHECK(with(2, true).what.starts_with("generate.sampling.top_p"));
    }

    TEST_CASE("floats that are not finite are refused, also when too large for a float") {
        for (double value : {double{kNan}, double{kInf}, -double{kInf}, 1e39, -1e39}) {
            Raw r;
            r.head(1, 0).pack.pack_map(1);
            r.pack.pack(4), r.pack.pack_map(1), r.pack.pack(0), r.pack.pack(value);
            CHECK(request_error(r.bytes()).reason == Reason::bad_value);
        }
        Generate g;
        g.sampling.logit_bias[3] = kNan;
        CHECK(request_error(encode(RequestFrame{1, g})).reason == Reason::bad_value);
        StatusReply s;
        s.tokens_per_second = std::numeric_limits<double>::infinity();
        CHECK(event_error(encode(EventFrame{1, s})).reason == Reason::bad_value);
    }

    TEST_CASE("enumerations outside their values are refused") {
        for (int code : {0, 10, 256 + 1}) {
            Raw r;
            r.head(1, 3).pack.pack_map(1);
            r.pack.pack(0), r.pack.pack(code);
            CHECK(event_error(r.bytes()).reason == Reason::bad_value);
        }
        for (int reason : {0, 5}) {
            Raw r;
            r.head(1, 2).pack.pack_map(1);
            r.pack.pack(0), r.pack.pack(reason);
            CHECK(event_error(r.bytes()).reason == Reason::bad_value);
        }
    }

    TEST_CASE("keys that come twice are refused") {
        Raw field;
        field.head(1, 6).pack.pack_map(2);
        field.pack.pack(0), field.pack.pack(1), field.pack.pack(0), field.pack.pack(2);
        CHECK(request_error(field.bytes()).reason == Reason::bad_value);
        Raw bias;
        bias.head(1, 0).pack.pack_map(1);
        bias.pack.pack(4), bias.pack.pack_map(1), bias.pack.pack(9), bias.pack.pack_map(2);
        bias.pack.pack(7), bias.pack.pack(1.F), bias.pack.pack(7), bias.pack.pack(2.F);
        CHECK(request_error(bias.bytes()).reason == Reason::bad_value);
    }

    TEST_CASE("lengths that the bytes do not back are refused before anything is reserved") {
        // array32, map32, str32 and bin32 that claim 4 Gi elements, at the top and inside.
        CHECK(request_error(raw({0xDD, 0xFF, 0xFF, 0xFF, 0xFF})).reason == Reason::truncated);
        CHECK(request_error(raw({0xDF, 0xFF, 0xFF, 0xFF, 0xFF})).reason == Reason::truncated);
        CHECK(request_error(raw({0xDB, 0xFF, 0xFF, 0xFF, 0xFF})).reason == Reason::truncated);
        CHECK(request_error(raw({0x94, 1, 0, 1, 0x81, 2, 0xDD, 0, 0x10, 0, 0})).reason ==
              Reason::truncated);
        CHECK(request_error(raw({0x94, 1, 0, 1, 0x81, 1, 0xDB, 0x7F, 0xFF, 0xFF, 0xFF})).reason ==
              Reason::truncated);
    }

    TEST_CASE("nesting is limited") {
        Bytes deep(200000, std::byte{0x91});
        deep.push_back(std::byte{0xC0});
        CHECK(request_error(deep).reason == Reason::too_large);
    }

    TEST_CASE("the number of elements is limited, however they are spread") {
        // 16 MB of one-byte elements would become 400 MB of objects.
        Bytes many = raw({0xDC, 0, 15});
        for (int i = 0; i < 15; ++i) {
            for (int b : {0xDD, 0, 0x0F, 0xFF, 0xFF}) many.push_back(static_cast<std::byte>(b));
            many.resize(many.size() + 0x0FFFFF);
        }
        REQUIRE(many.size() < kMaxRequestBytes);
        CHECK(request_error(many).reason == Reason::too_large);
    }

    TEST_CASE("each limit of the decoder holds at its edge") {
        const auto decodes = [](const auto& set) {
            Generate g;
            set(g);
            Raw r;
            r.head(1, 0).pack.pack_map(3);
            r.pack.pack(0), r.pack.pack(g.model);
            r.pack.pack(1), r.pack.pack(g.prompt);
            r.pack.pack(5), r.pack.pack(g.stop);
            return static_cast<bool>(decode_request(r.bytes()));
        };
        CHECK(decodes([](Generate& g) { g.model.assign(kMaxModelBytes, 'm'); }));
        CHECK_FALSE(decodes([](Generate& g) { g.model.assign(kMaxModelBytes + 1, 'm'); }));
        CHECK(decodes([](Generate& g) { g.prompt.assign(kMaxPromptBytes, 'p'); }));
        CHECK_FALSE(decodes([](Generate& g) { g.prompt.assign(kMaxPromptBytes + 1, 'p'); }));
        CHECK(decodes([](Generate& g) { g.stop.assign(kMaxStopStrings, "s"); }));
        CHECK_FALSE(decodes([](Generate& g) { g.stop.assign(kMaxStopStrings + 1, "s"); }));
        CHECK(decodes([](Generate& g) { g.stop = {std::string(kMaxStopBytes, 's')}; }));
        CHECK_FALSE(decodes([](Generate& g) { g.stop = {std::string(kMaxStopBytes + 1, 's')}; }));

        const auto ids = [](std::size_t count) {
            Raw r;
            r.head(1, 2).pack.pack_map(1);
            r.pack.pack(1), r.pack.pack(std::vector<int>(count, 1));
            return static_cast<bool>(decode_request(r.bytes()));
        };
        CHECK(ids(kMaxPromptTokens));
        CHECK_FALSE(ids(kMaxPromptTokens + 1));

        const auto bias = [](std::size_t count) {
            Raw r;
            r.head(1, 0).pack.pack_map(1);
            r.pack.pack(4), r.pack.pack_map(1), r.pack.pack(9);
            r.pack.pack_map(static_cast<std::uint32_t>(count));
            for (std::size_t i = 0; i < count; ++i) r.pack.pack(i), r.pack.pack(1.F);
            return static_cast<bool>(decode_request(r.bytes()));
        };
        CHECK(bias(kMaxLogitBias));
        CHECK_FALSE(bias(kMaxLogitBias + 1));

        const auto listed = [](int type, int key, std::size_t count) {
            Raw r;
            r.head(1, static_cast<std::uint64_t>(type)).pack.pack_map(1);
            r.pack.pack(key), r.pack.pack_array(static_cast<std::uint32_t>(count));
            for (std::size_t i = 0; i < count; ++i) r.pack.pack_map(0);
            return static_cast<bool>(decode_event(r.bytes()));
        };
        CHECK(listed(6, 0, kMaxListedModels));
        CHECK_FALSE(listed(6, 0, kMaxListedModels + 1));
        CHECK(listed(7, 11, kMaxListedDevices));
        CHECK_FALSE(listed(7, 11, kMaxListedDevices + 1));

        Bytes large(kMaxRequestBytes + 1);
        CHECK(request_error(large).reason == Reason::too_large);
    }

    TEST_CASE("the largest valid request fits its frame") {
        Generate g;
        g.prompt_ids.assign(kMaxPromptTokens, 2147483647);
        g.resume_ids.assign(kMaxPromptTokens, 2147483647);
        g.prompt.assign(kMaxRequestBytes - (64u << 10) - 10 * kMaxPromptTokens, 'p');
        g.model.assign(kMaxModelBytes, 'm');
        g.stop.assign(kMaxStopStrings, std::string(kMaxStopBytes, 's'));
        for (int i = 0; i < int{kMaxLogitBias}; ++i) g.sampling.logit_bias[i + 1000000] = 1;
        REQUIRE_FALSE(validate(g, Door::mesh));
        CHECK(static_cast<bool>(decode_request(encode(RequestFrame{1, g}))));
        g.prompt += 'p';
        CHECK(refusal(g, Door::mesh).find("together") != std::string::npos);
    }

    TEST_CASE("what is too large to send is an error for the sender and an event for the client") {
        Generate g;
        g.stop.assign(kMaxStopStrings + 1, "s");
        CHECK_THROWS_AS(encode(RequestFrame{1, g}), std::length_error);
        DetokenizeReply text{std::string(kMaxRequestBytes, 'x')};
        ModelsReply models;
        models.models.resize(kMaxListedModels + 1);
        TokenizeReply tokens;
        tokens.pieces.resize(kMaxPromptTokens + 1);
        for (const Event& event : {Event{text}, Event{models}, Event{tokens}}) {
            const auto back = decode_event(encode(EventFrame{9, event}));
            REQUIRE(static_cast<bool>(back));
            CHECK(back->id == 9);
            REQUIRE(std::holds_alternative<Failed>(back->body));
            CHECK(std::get<Failed>(back->body).code == ErrorCode::too_large);
        }
    }

    TEST_CASE("every truncation is refused and no mutation crashes") {
        std::vector<Bytes> seeds;
        for (const Request& r : all_requests()) seeds.push_back(encode(RequestFrame{300, r, 2}));
        for (const Event& e : all_events()) seeds.push_back(encode(EventFrame{300, e, 2}));
        const auto requests = all_requests().size();
        for (std::size_t s = 0; s < seeds.size(); ++s) {
            for (std::size_t n = 0; n < seeds[s].size(); ++n) {
                const std::span part(seeds[s].data(), n);
                if (s < requests) CHECK_FALSE(static_cast<bool>(decode_request(part)));
                if (s >= requests) CHECK_FALSE(static_cast<bool>(decode_event(part)));
            }
        }
        std::mt19937 random(20240607);
        int survived = 0;
        for (int round = 0; round < 60000; ++round) {
            Bytes bytes = seeds[random() % seeds.size()];
            for (auto flips = 1 + random() % 4; flips > 0; --flips) {
                bytes[random() % bytes.size()] = static_cast<std::byte>(random());
            }
            if (const auto request = decode_request(bytes)) {
                ++survived;
                (void)validate(request->body, Door::mesh);
                CHECK(static_cast<bool>(decode_request(encode(*request))));
            }
            if (const auto event = decode_event(bytes)) {
                ++survived;
                CHECK(static_cast<bool>(decode_event(encode(*event))));
            }
        }
        CHECK(survived > 1000);
    }
}

TEST_SUITE("requests_validate") {
    TEST_CASE("valid requests are accepted at the doors they are for") {
        for (const Request& request : all_requests()) CHECK_FALSE(validate(request, Door::control));
        CHECK_FALSE(validate(full_generate(), Door::http));
        CHECK_FALSE(validate(full_generate(), Door::mesh));
    }

    TEST_CASE("sampling values hold to their ranges") {
        CHECK(accepted({.temperature = 0}));
        CHECK(accepted({.temperature = 100}));
        CHECK(refusal(Sampling{.temperature = -0.01F}) ==
              "temperature is -0.01; allowed are values from 0 to 100");
        CHECK(refusal(Sampling{.temperature = 100.5F}).find("100.5") != std::string::npos);
        CHECK(refusal(Sampling{.temperature = kNan}).find("temperature") == 0);
        CHECK(refusal(Sampling{.temperature = kInf}).find("temperature") == 0);

        CHECK(accepted({.top_p = 1}));
        CHECK(accepted({.top_p = 1e-6F}));
        CHECK(refusal(Sampling{.top_p = 0}).find("top_p is 0; allowed") == 0);
        CHECK(refusal(Sampling{.top_p = 1.01F}).find("top_p") == 0);
        CHECK(refusal(Sampling{.top_p = kNan}).find("top_p") == 0);

        CHECK(accepted({.min_p = 0}));
        CHECK(accepted({.min_p = 1}));
        CHECK(refusal(Sampling{.min_p = -1}).find("min_p") == 0);
        CHECK(refusal(Sampling{.min_p = 1.1F}).find("min_p") == 0);

        CHECK(accepted({.repeat_penalty = 0.01F}));
        CHECK(accepted({.repeat_penalty = 100}));
        CHECK(refusal(Sampling{.repeat_penalty = 0}).find("repeat_penalty") == 0);
        CHECK(refusal(Sampling{.repeat_penalty = 101}).find("repeat_penalty") == 0);

        CHECK(accepted({.presence_penalty = -2, .frequency_penalty = 2}));
        CHECK(refusal(Sampling{.presence_penalty = 2.1F}).find("presence_penalty") == 0);
        CHECK(refusal(Sampling{.presence_penalty = -2.1F}).find("presence_penalty") == 0);
        CHECK(refusal(Sampling{.frequency_penalty = 2.1F}).find("frequency_penalty") == 0);
        CHECK(refusal(Sampling{.frequency_penalty = kNan}).find("frequency_penalty") == 0);

        CHECK(refusal(Sampling{.logit_bias = {{-1, 0.F}}}).find("token -1") != std::string::npos);
        CHECK(refusal(Sampling{.logit_bias = {{4, kInf}}}).find("token 4") != std::string::npos);
        Sampling many;
        for (int i = 0; i < int{kMaxLogitBias}; ++i) many.logit_bias[i] = 1;
        CHECK(accepted(many));
        many.logit_bias[-0x7FFFFFFF] = 1;
        CHECK(refusal(many) == "logit_bias has 1025 entries; at most 1024 are allowed");
    }

    TEST_CASE("prompts, ids and stop strings hold to their limits") {
        Generate g;
        g.prompt.assign(kMaxPromptBytes + 1, 'p');
        CHECK(refusal(g) == "prompt has 8388609 bytes; at most 8388608 are allowed");
        g = {};
        g.prompt_ids.assign(kMaxPromptTokens + 1, 1);
        CHECK(refusal(g).find("prompt_ids has 1048577 tokens") == 0);
        g.prompt_ids = {1, -5};
        CHECK(refusal(g) == "prompt_ids[1] is -5; token ids start at 0");
        g = {};
        g.resume_ids = {-1};
        CHECK(refusal(g).find("resume_ids[0]") == 0);
        g = {};
        g.stop.assign(kMaxStopStrings, "x");
        CHECK_FALSE(validate(g, Door::http));
        g.stop.push_back("x");
        CHECK(refusal(g).find("stop has 17 strings") == 0);
        g.stop = {"a", ""};
        CHECK(refusal(g).find("stop[1] is empty") == 0);
        g.stop = {std::string(kMaxStopBytes + 1, 's')};
        CHECK(refusal(g).find("stop[0] has 257 bytes") == 0);
        g = {};
        for (const std::int32_t priority : {-kMaxPriority, 0, kMaxPriority}) {
            g.priority = priority;
            CHECK_FALSE(validate(g, Door::http));
        }
        g.priority = kMaxPriority + 1;
        CHECK(refusal(g) == "priority is 101; allowed are values from -100 to 100");
        g.priority = std::numeric_limits<std::int32_t>::min();
        CHECK(refusal(g).find("priority is -2147483648") == 0);
        CHECK(refusal(DetokenizeRequest{"", {0, -1}}).find("ids[1] is -1") == 0);
        CHECK(refusal(TokenizeRequest{"", std::string(kMaxPromptBytes + 1, 't')}).find("text") ==
              0);
    }

    TEST_CASE("chats, grammars and scores hold to their limits") {
        Generate g;
        g.chat.assign(kMaxChatBytes, 'x');
        g.suffix = std::string(kMaxPromptBytes - (128u << 10), 'x');
        CHECK_FALSE(validate(g, Door::http));
        g.suffix.assign(kMaxPromptBytes, 'x');
        CHECK(refusal(g).find("together") != std::string::npos);
        g = {};
        g.chat.assign(kMaxChatBytes + 1, 'x');
        CHECK(refusal(g).find("chat") != std::string::npos);
        g = {};
        g.suffix.assign(kMaxPromptBytes + 1, 'x');
        CHECK(refusal(g).find("suffix") != std::string::npos);
        g = {};
        g.constraint = {Constraint::Kind::gbnf, std::string(kMaxGrammarBytes, 'x')};
        CHECK_FALSE(validate(g, Door::http));
        g.task = Task::read;
        CHECK(refusal(g).find("grammar") != std::string::npos);
        g.task = Task::answer;
        g.constraint.text += 'x';
        CHECK(refusal(g).find("grammar") != std::string::npos);
        g = {};
        g.logprobs = kMaxLogprobs;
        CHECK_FALSE(validate(g, Door::http));
        g.logprobs = kMaxLogprobs + 1;
        CHECK(refusal(g).find("logprobs") != std::string::npos);
        g.logprobs = 0;
        g.prompt_logprobs = true;
        CHECK(refusal(g).find("prompt_logprobs") != std::string::npos);
        TokenizeRequest t;
        t.chat.assign(kMaxChatBytes + 1, 'x');
        CHECK(refusal(t).find("chat") != std::string::npos);
    }

    TEST_CASE("paths come through the control door alone, loading not through HTTP") {
        for (const char* path : {"/m/tiny.gguf", "../tiny.gguf", "./x", "~/x", "a/b"}) {
            const Request requests[] = {Generate{.model = path}, TokenizeRequest{path, "x"},
                                        DetokenizeRequest{path, {}}};
            for (const Request& request : requests) {
                CHECK_FALSE(validate(request, Door::control));
                for (Door door : {Door::mesh, Door::http}) {
                    const auto failed = validate(request, door);
                    REQUIRE(failed.has_value());
                    CHECK(failed->code == ErrorCode::forbidden);
                }
            }
        }
        const auto loading = validate(LoadRequest{"tiny"}, Door::http);
        REQUIRE(loading.has_value());
        CHECK(loading->code == ErrorCode::forbidden);
        // A device hands its own command line's wish to the root, with a name or a hash.
        CHECK_FALSE(validate(LoadRequest{"tiny"}, Door::mesh));
        const auto path = validate(LoadRequest{"/m/tiny.gguf"}, Door::mesh);
        REQUIRE(path.has_value());
        CHECK(path->code == ErrorCode::forbidden);
        for (Door door : {Door::control, Door::mesh}) {
            CHECK(refusal(LoadRequest{""}, door).find("model is empty") == 0);
        }
        for (Door door : {Door::control, Door::http, Door::mesh}) {
            CHECK_FALSE(validate(UnloadRequest{"tiny"}, door));
            CHECK(refusal(UnloadRequest{""}, door).find("model is empty") == 0);
        }
    }

    TEST_CASE("a model's name is bounded and printable, in errors too") {
        CHECK_FALSE(validate(Generate{.model = "Llama-3.2-1B Q4_K"}, Door::http));
        CHECK(refusal(Generate{.model = std::string("a\0b", 3)}).find("a.b") != std::string::npos);
        CHECK(refusal(Generate{.model = "a\x1B[2J"}).find('\x1B') == std::string::npos);
        CHECK(refusal(Generate{.model = std::string(kMaxModelBytes + 1, 'm')}).find("4097") !=
              std::string::npos);
        const auto failed = validate(Generate{.model = std::string(4000, '/')}, Door::http);
        REQUIRE(failed.has_value());
        CHECK(failed->message.size() < 300);
    }
}

}  // namespace shoal::mesh::messages
