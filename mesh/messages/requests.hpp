// The request messages of Shoal. One set serves the control socket (CLI), the mesh's control
// channel (a device forwarding to the root) and, through the Service interface, the HTTP API.
// A request starts a stream of events that ends with exactly one final event (is_final).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "mesh/messages/device_profile.hpp"
#include "mesh/messages/measured_link.hpp"
#include "mesh/messages/plan_report.hpp"
#include "mesh/messages/slice.hpp"
#include "mesh/messages/warning.hpp"
#include "mesh/wire/codec.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal::mesh::messages {

/// Limits of the messages; a longer one is refused before anything is allocated.
inline constexpr std::size_t kMaxRequestBytes = 16u << 20;
inline constexpr std::size_t kMaxPromptBytes = 8u << 20;
inline constexpr std::size_t kMaxPromptTokens = 1u << 20;
inline constexpr std::size_t kMaxChatBytes = 8u << 20;
inline constexpr std::size_t kMaxGrammarBytes = 1u << 20;
inline constexpr std::uint32_t kMaxLogprobs = 21;  ///< the token's own and 20 others
inline constexpr std::size_t kMaxToolCalls = 1024;
inline constexpr std::size_t kMaxEmbeddingWidth = 1u << 16;
inline constexpr std::size_t kMaxListedMetadata = 4096;
inline constexpr std::size_t kMaxStopStrings = 16;
inline constexpr std::size_t kMaxStopBytes = 256;
inline constexpr std::size_t kMaxLogitBias = 1024;
inline constexpr std::int32_t kMaxPriority = 100;
inline constexpr std::size_t kMaxModelBytes = 4096;  ///< a name, a hash or a path
inline constexpr std::size_t kMaxListedModels = 4096;
inline constexpr std::size_t kMaxListedDevices = 1024;
inline constexpr std::size_t kMaxListedWarnings = 4096;
inline constexpr std::size_t kMaxListedCpus = 4096;
inline constexpr std::size_t kMaxInvitationBytes = 1024;
inline constexpr std::size_t kMaxDeviceNameBytes = 255;

/// Defaults: greedy is temperature 0. A value that switches a filter off is its default.
struct Sampling {
    float temperature = 0.8F;     ///< 0..100; 0 is greedy
    std::uint32_t top_k = 40;     ///< 0: off
    float top_p = 0.95F;          ///< (0, 1]; 1: off
    float min_p = 0.05F;          ///< [0, 1]; 0: off
    float repeat_penalty = 1;     ///< [0.01, 100]; divides positive, multiplies negative logits
    float presence_penalty = 0;   ///< [-2, 2]; subtracted once from a seen token's logit
    float frequency_penalty = 0;  ///< [-2, 2]; subtracted per occurrence
    std::uint32_t penalty_last_n = 64;  ///< tokens looked back on for penalties
    std::uint64_t seed = 0;
    std::map<std::int32_t, float> logit_bias;
    bool operator==(const Sampling&) const = default;
};

/// Answers that a grammar does not allow are not given.
struct Constraint {
    enum class Kind : std::uint8_t {
        none = 0,
        gbnf = 1,         ///< `text` is a grammar
        json_schema = 2,  ///< `text` is a JSON schema; the answer is JSON that it describes
    };
    Kind kind = Kind::none;
    std::string text;
    bool operator==(const Constraint&) const = default;
};

/// What is wanted of a prompt.
enum class Task : std::uint8_t {
    answer = 1,
    read = 2,   ///< no answer: how likely the prompt is (prompt_logprobs)
    embed = 3,  ///< the prompt as a vector
};

/// A value of keep_alive, in seconds for which a model stays in the devices' memory when nobody
/// uses it: as models.keep_alive_seconds says. 0: it leaves as soon as its requests are over; other
/// negative values: it stays also when others want its room.
inline constexpr std::int32_t kKeepAsSet = INT32_MIN;

/// Generate text. `model` is a name or hash; a path only over the local control socket.
struct Generate {
    std::string model;  ///< empty: the model loaded now, or the only one known
    std::string prompt;
    std::vector<std::int32_t> prompt_ids;  ///< used instead of prompt when not empty
    /// A conversation as JSON (daemon/chat/conversation.hpp), used instead of both when not empty:
    /// the model's template makes a prompt of it, and the answer is told apart into text, reasoning
    /// and tool calls.
    std::string chat;
    std::string suffix;            ///< what follows the answer, of models that fill in
    std::uint32_t max_tokens = 0;  ///< 0: until the model ends or the context is full
    Sampling sampling;
    std::vector<std::string> stop;  ///< generation ends before any of these
    bool ignore_eos = false;        ///< end tokens do not end the generation (benchmarks)
    Constraint constraint;
    Task task = Task::answer;
    std::uint32_t logprobs = 0;    ///< 0: none; n: of each token and of the n - 1 likeliest
    bool prompt_logprobs = false;  ///< those of the prompt's tokens, too
    /// A generation that moves here: the ids generated so far; events continue after them.
    std::vector<std::int32_t> resume_ids;
    std::int32_t keep_alive = kKeepAsSet;  ///< of the model, from now on
    /// Whose it is: requests of one client share what one client gets. Said by the device that was
    /// asked, whatever its client says. 0: nothing is known but the device.
    std::uint64_t client = 0;
    std::int32_t priority = 0;  ///< -kMaxPriority to kMaxPriority; the lower, the earlier
    bool cache_prompt = true;   ///< K and V of its beginning may be those of other requests
};
struct TokenizeRequest {
    std::string model, text;
    bool add_special = true, parse_special = true;
    std::string chat;  ///< used instead of text when not empty, as in Generate
};
struct DetokenizeRequest {
    std::string model;
    std::vector<std::int32_t> ids;
};
/// What a model is: its template, its numbers, its file's metadata.
struct DescribeRequest {
    std::string model;
};
struct StatusRequest {};
struct ModelsRequest {};
/// Make a model ready without generating. Not over HTTP.
struct LoadRequest {
    std::string model;
    std::int32_t keep_alive = kKeepAsSet;  ///< from now on
};
/// A model leaves the devices' memory as soon as the requests are over that want it.
struct UnloadRequest {
    std::string model;
};
/// Stop a running request of the same requester.
struct CancelRequest {
    std::uint64_t request = 0;
};
/// Measure what this device does in a second, for which it must be idle; or say what it measured
/// last. Over the control socket only.
struct BenchRequest {
    bool show = false;  ///< measure nothing
};
/// What a model would do on the devices at hand, by the root's measurements and settings. Loads
/// nothing. Not over HTTP.
struct PlanRequest {
    std::string model;
    std::uint32_t devices = 0;  ///< show the best plan for so many; 0: the one that would be made
};
/// Who is in the cluster (mesh/PROTOCOL.md, First contact). Over the control socket only.
struct InviteRequest {};
struct JoinRequest {
    std::string invitation;
};
struct LeaveRequest {};
/// The devices that belong to the cluster, also those that are not there now.
struct DevicesRequest {};
struct RenameRequest {
    std::string device;  ///< its name, or the beginning of its id
    std::string name;
};
/// A device is none of the cluster any more, and cannot come back without an invitation.
struct ForgetRequest {
    std::string device;  ///< its name, or the beginning of its id
};

using Request = std::variant<Generate, TokenizeRequest, DetokenizeRequest, StatusRequest,
                             ModelsRequest, LoadRequest, CancelRequest, BenchRequest, PlanRequest,
                             DescribeRequest, InviteRequest, JoinRequest, LeaveRequest,
                             DevicesRequest, RenameRequest, ForgetRequest, UnloadRequest>;

/// Why something was refused or failed; the text says what, where and what to do.
enum class ErrorCode : std::uint8_t {
    bad_request = 1,     ///< a field is invalid (HTTP 400)
    not_found = 2,       ///< no such model or request (404)
    busy = 3,            ///< the queue is full (503, Retry-After)
    too_large = 4,       ///< the model beyond the memory, or a message beyond its limit (413)
    unavailable = 5,     ///< no root, or the cluster is not ready (503)
    internal = 6,        ///< (500)
    cancelled = 7,       ///< (499)
    forbidden = 8,       ///< not over this door (403)
    context_length = 9,  ///< the prompt is longer than the context, or than prompts may be (400)
};

enum class StopReason : std::uint8_t { end = 1, length = 2, stop = 3, cancelled = 4 };

/// Something slow goes on: loading, fetching pieces, waiting in the queue, prefill.
struct Progress {
    std::string what;
    std::uint64_t done = 0, total = 0;
};
/// How likely a token is among all of the vocabulary, as the model has it, before sampling.
struct TokenScore {
    std::int32_t id = 0;
    float logprob = 0;  ///< natural
    std::string text;   ///< its bytes
    bool operator==(const TokenScore&) const = default;
};
/// A whole call of a tool that an answer makes.
struct ToolCall {
    std::string id, name;
    std::string arguments;  ///< a JSON object
    bool operator==(const ToolCall&) const = default;
};
struct Token {
    std::uint32_t index = 0;  ///< 0 is the first generated token of the request
    std::int32_t id = 0;
    std::string text;                ///< whole UTF-8 characters; may be empty
    std::string model;               ///< the model's name; with the first that a plan chooses
    std::string reasoning;           ///< of a chat: text that comes before the answer
    std::vector<ToolCall> calls;     ///< of a chat: that are complete with this token
    std::vector<TokenScore> scores;  ///< the token's, then the likeliest, as many as asked for
};
/// The tokens of a prompt, in parts and in order, before the first Token.
struct PromptTokens {
    struct Entry {
        std::int32_t id = 0;
        std::string text;                ///< its bytes
        std::vector<TokenScore> scores;  ///< as in Token; none of the first
        bool operator==(const Entry&) const = default;
    };
    std::uint32_t first = 0;
    std::vector<Entry> tokens;
};
struct Done {
    StopReason reason = StopReason::end;
    std::string text;  ///< what was still held back, follows the last Token's text
    std::uint32_t prompt_tokens = 0, generated_tokens = 0;
    std::string model;  ///< the model's name
    double load_seconds = 0, queue_seconds = 0, prefill_seconds = 0, decode_seconds = 0;
    std::uint32_t devices = 0;    ///< devices of the plan that generated it
    std::string reasoning;        ///< as text
    std::vector<ToolCall> calls;  ///< as text
    std::uint32_t reasoning_tokens = 0;
    std::string stopped_by;           ///< the stop string; of StopReason::stop
    std::vector<float> embedding;     ///< of Task::embed
    std::uint32_t cached_tokens = 0;  ///< of the prompt, that were not computed anew
};
struct Failed {
    ErrorCode code = ErrorCode::internal;
    std::string message;
    std::uint32_t retry_seconds = 0;  ///< of ErrorCode::busy: when to try again; 0: not known
};
struct TokenizeReply {
    std::vector<std::int32_t> ids;
    std::vector<std::string> pieces;
    std::string text;  ///< of a chat: the prompt that the template made
};
struct DetokenizeReply {
    std::string text;
};

struct ModelInfo {
    std::string name, hash, architecture, quantisation;
    std::uint64_t file_bytes = 0, parameters = 0;
    std::uint32_t context = 0;
    bool loaded = false;
    std::vector<std::string> devices;  ///< ids (hex) of the devices that hold the file
    std::string problem;   ///< why it is no usable model; only name, devices and path are not empty
    std::string path;      ///< of the answering device's file, or of the first; empty: it has none
    bool at_work = false;  ///< of those that are loaded, the one that requests run for, or ran last
};
/// A value of a model file's metadata, as text; long ones and arrays are left out.
struct Metadata {
    std::string key, value;
    bool operator==(const Metadata&) const = default;
};
struct DescribeReply {
    ModelInfo info;
    std::string chat_template;                                   ///< empty: the file has none
    std::string bos, eos;                                        ///< texts of the tokens
    bool thinks = false, calls_tools = false, fills_in = false;  ///< as its template shows
    std::uint32_t layers = 0, width = 0, heads = 0, kv_heads = 0, ffn = 0, vocabulary = 0;
    std::vector<Metadata> metadata;
};
struct ModelsReply {
    std::vector<ModelInfo> models;
    bool reading_models = false;  ///< some device still looks through its folders
    std::string store;  ///< the answering device's folder for what is added; empty: it has none
};

/// How activations go between the answering device and another of its plan; see mesh::LinkReport.
struct LinkInfo {
    std::string transport, cipher;  ///< empty: there is no such link
    std::uint64_t sent_bytes = 0, received_bytes = 0, resent = 0, asked = 0, collectives = 0;
    double wait_p50_us = 0, wait_p99_us = 0;
};
/// Half-open ranges of what a device computes.
struct DeviceInfo {
    std::string id, name, address, cpu;  ///< cpu: the chosen ISA, "avx2"
    bool self = false, root = false, alive = true;
    std::int32_t rank = -1;  ///< -1: not in the plan (spare)
    Slice slice;
    std::uint64_t memory_total = 0, memory_available = 0;
    std::uint64_t weight_bytes = 0, planned_weight_bytes = 0, kv_bytes = 0;
    double round_trip_ms = -1;  ///< from the answering device; -1 unknown
    std::uint32_t threads = 0;
    std::string state;  ///< "ready", "loading 42 %", "spare", ...
    LinkInfo link;      ///< from the answering device
};
/// A model that is in the devices' memory.
struct LoadedModel {
    std::string name, hash;
    std::uint64_t weight_bytes = 0, kv_bytes = 0;  ///< on all of them; kv: the cache's capacity
    std::uint32_t context = 0;
    bool at_work = false;       ///< requests for it run; else it waits for its turn, or for some
    bool pinned = false;        ///< it stays also when others want its room
    double unloads_after = -1;  ///< seconds, if nobody uses it; negative: when others want its room
};
struct StatusReply {
    std::string version, cluster;  ///< cluster: short public fingerprint of the key
    std::string self, root;        ///< device ids, root empty while electing
    std::uint64_t term = 0;
    std::uint32_t plan = 0;
    std::string model;  ///< loaded model's name, empty: none
    std::string model_hash;
    std::string collectives, kv_type;
    std::uint32_t context = 0;
    std::vector<DeviceInfo> devices;
    std::uint32_t running = 0, queued = 0;
    std::uint64_t generated_tokens = 0;
    double tokens_per_second = 0;  ///< of the last or current generation, decode
    double prefill_tokens_per_second = 0;
    bool reading_models = false;      ///< some device still looks through its folders
    std::vector<Warning> warnings;    ///< what any device finds wrong, the gravest first
    std::vector<MeasuredLink> links;  ///< between devices that are there, as far as measured
    std::uint32_t parallel = 0;       ///< requests that the root computes together at most
    std::uint64_t preemptions = 0;    ///< how often a request gave its room in the cache to others
    std::uint64_t prompt_tokens = 0, cached_tokens = 0;  ///< since the root's start
    double cache_use = 0;             ///< part of the KV cache that is taken; kept texts apart
    std::vector<LoadedModel> loaded;  ///< that at work first, then those used last
};

/// How a device came by its profile.
enum class ProfileOrigin : std::uint8_t {
    guessed = 1,   ///< from its speed with one type of weights
    measured = 2,  ///< as BenchReply's other members say
    given = 3,     ///< from the setting device.speed_bytes
};
/// What a device does in a second. What follows `origin` is of a measurement, and empty without.
struct BenchReply {
    DeviceProfile profile;
    ProfileOrigin origin = ProfileOrigin::guessed;
    std::string date;  ///< UTC: "2026-11-29T16:40:00Z"
    std::string cpu, isa, version;
    std::uint32_t threads = 0;
    std::vector<std::uint32_t> cpus;  ///< their numbers, which the threads may run on
    std::uint64_t memory_total = 0;
    std::string not_stored;  ///< why it is lost at the daemon's end; empty: it is not
};

struct InviteReply {
    std::string invitation;              ///< a line for JoinRequest
    std::uint32_t seconds = 0;           ///< so long it can be used
    std::string cluster;                 ///< the key's fingerprint
    std::vector<std::string> addresses;  ///< where this device waits, "10.0.0.1:40123"
};
/// The cluster that this device is in now.
struct ClusterReply {
    std::string cluster;               ///< the key's fingerprint
    std::vector<std::string> devices;  ///< names of those that are there, this one first
    std::string warning;               ///< what is not as it should be; empty: all is well
};
/// Times are seconds of the Unix epoch.
struct KnownDevice {
    std::string id, name, address, version;
    std::uint64_t since = 0;  ///< it belongs to the cluster
    std::uint64_t seen = 0;   ///< it was there
    bool self = false, online = false;
};
struct DevicesReply {
    std::string cluster;
    std::vector<KnownDevice> devices;
};

using Event = std::variant<Progress, Token, Done, Failed, TokenizeReply, DetokenizeReply,
                           ModelsReply, StatusReply, BenchReply, PlanReply, PromptTokens,
                           DescribeReply, InviteReply, ClusterReply, DevicesReply>;

/// True for the event that ends a request.
bool is_final(const Event& event) noexcept;

/// Which door a request came through; paths and administration only through `control`.
enum class Door : std::uint8_t { control, mesh, http };

/// What is wrong with a request's values, or nothing. Every range above is checked here.
/// The message names the field, its value and what is allowed.
std::optional<Failed> validate(const Request& request, Door door);

/// A request or event on a channel, with the requester's number for it. Between devices a request
/// may be sent more than once, to one root after another or to the same; events say which sending
/// they answer, so that those that come late are not taken for the present one's.
struct RequestFrame {
    std::uint64_t id = 0;
    Request body;
    std::uint64_t attempt = 0;
};
struct EventFrame {
    std::uint64_t id = 0;
    Event body;
    std::uint64_t attempt = 0;  ///< the request's
};

/// Throws std::length_error when a limit above is passed, which validate() rules out.
std::vector<std::byte> encode(const RequestFrame& frame);
/// An event beyond a limit above is encoded as Failed (too_large), so that its requester hears.
std::vector<std::byte> encode(const EventFrame& frame);
/// Malformed or oversized bytes give a DecodeError, never an exception.
wire::DecodeResult<RequestFrame> decode_request(std::span<const std::byte> bytes) noexcept;
wire::DecodeResult<EventFrame> decode_event(std::span<const std::byte> bytes) noexcept;

}  // namespace shoal::mesh::messages
