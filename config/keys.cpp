#include "config/keys.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <type_traits>

#include "config/syntax.hpp"

namespace shoal::config {
namespace {

constexpr std::array<std::string_view, 4> kKvNames = {"auto", "f32", "f16", "q8_0"};
constexpr std::array<std::string_view, 3> kPrefillNames = {"auto", "tensor", "sequence"};
constexpr std::array<std::string_view, 3> kOverlapNames = {"auto", "always", "never"};
constexpr std::array<std::string_view, 2> kWholeFileNames = {"auto", "never"};
constexpr std::array<std::string_view, 5> kCollectivesNames = {"auto", "q8_0", "q16", "f16", "f32"};
constexpr std::array<std::string_view, 2> kEncryptNames = {"data", "control"};
constexpr std::array<std::string_view, 2> kDataTransportNames = {"zmtp", "libzmq"};
constexpr std::array<std::string_view, 4> kLogNames = {"error", "warn", "info", "debug"};

/// What a daemon that runs takes from its file when it is told to: whole sections, and keys.
constexpr std::array<std::string_view, 15> kLive = {"plan",
                                                    "log",
                                                    "models.directories",
                                                    "models.default",
                                                    "models.context",
                                                    "models.kv",
                                                    "models.collectives",
                                                    "models.prefill",
                                                    "models.overlap",
                                                    "models.whole_file",
                                                    "models.batch_tokens",
                                                    "models.queue",
                                                    "http.allowed_hosts",
                                                    "http.allowed_origins",
                                                    "http.client_requests"};

constexpr std::int64_t kMaxPathBytes = 4096;
// sockaddr_un holds 108 bytes with the terminating zero.
constexpr std::int64_t kMaxSocketPathBytes = 107;
constexpr std::int64_t kMaxListEntries = 256;
constexpr std::int64_t kMaxBytesValue = std::int64_t{1} << 50;

template <typename T>
inline constexpr bool kIsDuration = false;
template <typename Rep, typename Period>
inline constexpr bool kIsDuration<std::chrono::duration<Rep, Period>> = true;

template <typename T>
void store(const Key& key, T& to, const Value& value) {
    if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::string> ||
                  std::is_same_v<T, std::vector<std::string>>) {
        to = std::get<T>(value);
    } else if constexpr (std::is_enum_v<T>) {
        const auto at = std::ranges::find(key.choices, std::get<std::string>(value));
        to = static_cast<T>(at - key.choices.begin());
    } else if constexpr (kIsDuration<T>) {
        to = T(std::get<std::int64_t>(value));
    } else {
        to = static_cast<T>(std::get<std::int64_t>(value));
    }
}

template <typename T>
Value fetch(const Key& key, const T& from) {
    if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::string> ||
                  std::is_same_v<T, std::vector<std::string>>) {
        return from;
    } else if constexpr (std::is_enum_v<T>) {
        return std::string(key.choices[static_cast<std::size_t>(from)]);
    } else if constexpr (kIsDuration<T>) {
        return static_cast<std::int64_t>(from.count());
    } else {
        return static_cast<std::int64_t>(from);
    }
}

/// Where a key's value lives, as two functions.
struct Place {
    void (*assign)(const Key&, Settings&, const Value&);
    Value (*read)(const Key&, const Settings&);
};

template <auto Section, auto Field>
constexpr Place place() {
    return {[](const Key& key, Settings& settings, const Value& value) {
                store(key, (settings.*Section).*Field, value);
            },
            [](const Key& key, const Settings& settings) {
                return fetch(key, (settings.*Section).*Field);
            }};
}

using Check = std::optional<std::string> (*)(std::string_view);

constexpr Key boolean(std::string_view name, Place at, std::string_view summary) {
    return {name, Kind::boolean, "", 0, 1, {}, nullptr, summary, false, at.assign, at.read};
}

constexpr Key integer(std::string_view name, Place at, std::string_view unit, std::int64_t min,
                      std::int64_t max, std::string_view summary) {
    return {name, Kind::integer, unit, min, max, {}, nullptr, summary, false, at.assign, at.read};
}

constexpr Key bytes(std::string_view name, Place at, std::int64_t min, std::int64_t max,
                    std::string_view summary) {
    return {name, Kind::bytes, "bytes", min, max, {}, nullptr, summary, false, at.assign, at.read};
}

constexpr Key text(std::string_view name, Place at, std::int64_t min, std::int64_t max, Check check,
                   std::string_view summary) {
    return {name, Kind::text, "", min, max, {}, check, summary, false, at.assign, at.read};
}

constexpr Key secret(Key key) {
    key.secret = true;
    return key;
}

constexpr Key path(std::string_view name, Place at, std::int64_t min, std::int64_t max,
                   std::string_view summary) {
    return {name, Kind::path, "", min, max, {}, check_path, summary, false, at.assign, at.read};
}

constexpr Key choice(std::string_view name, Place at, std::span<const std::string_view> choices,
                     std::string_view summary) {
    return {name, Kind::choice, "", 0, 0, choices, nullptr, summary, false, at.assign, at.read};
}

constexpr Key list(std::string_view name, Place at, Kind kind, std::int64_t min, Check check,
                   std::string_view summary) {
    return {name, kind, "", min, kMaxListEntries, {}, check, summary, false, at.assign, at.read};
}

using D = DeviceSettings;
using C = ClusterSettings;
using M = ModelSettings;
using P = PlanSettings;
using H = HttpSettings;

template <auto Field>
constexpr Place device = place<&Settings::device, Field>();
template <auto Field>
constexpr Place cluster = place<&Settings::cluster, Field>();
template <auto Field>
constexpr Place models = place<&Settings::models, Field>();
template <auto Field>
constexpr Place plan = place<&Settings::plan, Field>();
template <auto Field>
constexpr Place http = place<&Settings::http, Field>();
constexpr Place kControlSocket = place<&Settings::control, &ControlSettings::socket>();
constexpr Place kControlGroup = place<&Settings::control, &ControlSettings::group>();
constexpr Place kLogLevel = place<&Settings::log, &LogSettings::level>();

constexpr std::array kKeys = {
    text("device.name", device<&D::name>, 0, 63, check_name,
         "The name that others see. Empty: the host's name."),
    path("device.state_dir", device<&D::state_dir>, 1, kMaxPathBytes,
         "Where the device keeps its key pair, the election counter and fetched model pieces."),
    integer("device.priority", device<&D::priority>, "", -1000, 1000,
            "The wish to be root. The highest priority in the cluster is elected; devices of "
            "equal priority are ordered by capability."),
    integer("device.threads", device<&D::threads>, "threads", 0, 1024,
            "Threads that compute. 0: one for every physical core, within the affinity mask and "
            "the cgroup's quota."),
    bytes("device.memory_limit_bytes", device<&D::memory_limit_bytes>, 0, kMaxBytesValue,
          "Memory that models may take: weights, KV cache and buffers. 0: what is available."),
    bytes("device.speed_bytes", device<&D::speed_bytes>, 0, kMaxBytesValue,
          "Weights that this device multiplies in a second, by which shares are dealt out. 0: "
          "measured at the start."),
    // Which names there are only the kernels know; the daemon refuses others at the start.
    text("device.cpu", device<&D::cpu>, 1, 32, check_name,
         "Instruction set of the kernels. auto: the best that the processor has; one that it "
         "lacks is an error at the start. `shoald --cpu` lists them."),

    path("cluster.key_file", cluster<&C::key_file>, 0, kMaxPathBytes,
         "The 32-byte secret that the devices of a cluster share: the same file on each. Empty: "
         "cluster.key in the state folder, which the daemon makes when it is missing."),
    list("cluster.boot_keys", cluster<&C::boot_keys>, Kind::path_list, 0, check_path,
         "Files with a cluster key for devices that start for the first time from an SD card: the "
         "first that is there is taken up where key_file is empty and there is no key yet, and "
         "erased."),
    text("cluster.bind", cluster<&C::bind>, 1, 64, check_bind,
         "Address on which other devices reach this one. *: every address."),
    integer("cluster.port", cluster<&C::port>, "TCP port", 0, 65535,
            "Port of the control channel among devices. 0: any free one; beacons announce it."),
    integer("cluster.beacon_port", cluster<&C::beacon_port>, "UDP port", 1, 65535,
            "Port of the beacons by which devices find each other; the same on every device."),
    boolean("cluster.multicast", cluster<&C::multicast>,
            "Send beacons to the local network. false: only to `peers`."),
    list("cluster.interfaces", cluster<&C::interfaces>, Kind::text_list, 0, check_interface,
         "Network interfaces for beacons. Empty: every real one, but no bridges and tunnels."),
    list("cluster.peers", cluster<&C::peers>, Kind::text_list, 0, check_peer,
         "Devices that beacons do not reach, as \"host\" or \"host:beacon_port\"; IPv6 with a "
         "port as \"[address]:port\"."),
    choice("cluster.encrypt", cluster<&C::encrypt>, kEncryptNames,
           "What is encrypted between devices. data: everything. control: all but the activations, "
           "for a wire of one's own; whoever reaches it can read what is asked and disturb the "
           "answers. The same on every device."),
    choice("cluster.data_transport", cluster<&C::data_transport>, kDataTransportNames,
           "How activations travel. zmtp: sent and received by the thread that computes. libzmq: "
           "by the ZeroMQ library's own thread, some ten times slower; to fall back on. The same "
           "on every device."),
    integer("cluster.heartbeat_ms", cluster<&C::heartbeat>, "ms", 10, 60'000,
            "How often a device says that it is alive."),
    integer("cluster.suspect_ms", cluster<&C::suspect>, "ms", 20, 600'000,
            "Silence after which a device is suspected and asked by others; at least twice "
            "heartbeat_ms."),
    integer("cluster.dead_ms", cluster<&C::dead>, "ms", 30, 3'600'000,
            "Silence after which a device is given up and its slice moves to others; more than "
            "suspect_ms."),

    path("control.socket", kControlSocket, 1, kMaxSocketPathBytes,
         "The socket on which `shoal` reaches this device's daemon."),
    text("control.group", kControlGroup, 0, 32, check_group,
         "Members of this group may use the socket. Empty: only the daemon's own user."),

    list("models.directories", models<&M::directories>, Kind::path_list, 0, check_path,
         "Folders that are searched for model files (*.gguf); shoal add puts them into the first."),
    text("models.default", models<&M::default_model>, 0, 255, check_line,
         "Model of requests that name none. Empty: the one loaded, or the only one known."),
    integer("models.context", models<&M::context>, "tokens", 0, 1 << 24,
            "Longest sequence of prompt and answer. 0: the model's own, as far as memory "
            "allows."),
    choice("models.kv", models<&M::kv>, kKvNames,
           "Element type of the KV cache. auto: f32 for F32 models, f16 for all others. q8_0 takes "
           "half the memory of f16 and needs heads of a multiple of 32 elements."),
    choice("models.collectives", models<&M::collectives>, kCollectivesNames,
           "Form in which partial sums travel between devices. auto: q16 for F32, F16 and BF16 "
           "models, q8_0 for all others, which round to eight bits anyway. q8_0 moves half the "
           "bytes of q16 and f16, f32 twice theirs. The root's choice counts."),
    choice("models.prefill", models<&M::prefill>, kPrefillNames,
           "How several devices share a prompt. tensor: each takes its part of the weights and all "
           "tokens; sequence: each takes some tokens through whole layers, which moves far fewer "
           "bytes, but needs the model's file and memory for it on those that do. auto: what is "
           "predicted to be quicker, by length. The root's choice counts."),
    choice(
        "models.overlap", models<&M::overlap>, kOverlapNames,
        "Whether large steps of several devices compute in two halves, each while what the other "
        "sends is under way. auto: where that is predicted to be quicker, as on slow networks. "
        "The root's choice counts."),
    choice("models.whole_file", models<&M::whole_file>, kWholeFileNames,
           "Whether this device fetches the file of a model of which it computes a part, from one "
           "that has it, where long prompts would be quicker for it (see prefill): into the first "
           "of the directories, while nothing is computed, if a tenth of the disk and 1 GiB stay "
           "free. auto: yes. never: no. `shoal rm` removes it."),
    integer("models.batch_tokens", models<&M::batch_tokens>, "tokens", 1, 4096,
            "Prompt tokens that one step takes. More is faster and needs more memory."),
    integer("models.parallel", models<&M::parallel>, "requests", 1, 64,
            "Requests that are computed together, as far as the KV cache has room. More write more "
            "tokens a second in all, and each of them fewer. The root's choice counts."),
    integer("models.queue", models<&M::queue>, "requests", 1, 4096,
            "Requests that may wait; further ones are refused as busy. One client may have three "
            "times as many there as places stay free, so three quarters at most. The root's choice "
            "counts."),
    integer("models.keep_alive_seconds", models<&M::keep_alive_seconds>, "seconds", -1, 315'360'000,
            "How long a model stays in the devices' memory when nobody uses it. -1: until another "
            "one needs the room. A request may say otherwise (keep_alive)."),
    integer("models.turn_ms", models<&M::turn_ms>, "milliseconds", 100, 600'000,
            "How long requests for one model run when requests for another one wait, before they "
            "change places. At least twice as long as the model took to load."),
    integer("models.max_prompt_tokens", models<&M::max_prompt_tokens>, "tokens", 0, 1 << 20,
            "Longest prompt that is taken. 0: as long as the context."),
    path(
        "models.cache_dir", models<&M::cache_dir>, 0, kMaxPathBytes,
        "A folder where this device keeps its part of what was computed of texts, over restarts: "
        "prompts that begin as earlier ones then need not be computed from their first token, if "
        "all devices of the plan keep their parts. Written when nothing is computed. What was said "
        "can be found out from it, so the folder is for the daemon's user alone and for one "
        "daemon. The service may write to /var/cache/shoal. Empty: nothing is kept."),
    bytes("models.cache_bytes", models<&M::cache_bytes>, std::int64_t{64} << 20, kMaxBytesValue,
          "What the files in cache_dir may take together; those not used for longest go first. 1 "
          "GiB of the disk stays free in any case."),
    boolean("models.guess_pretokenizer", models<&M::guess_pretokenizer>,
            "Take model files of this device whose pre-tokenizer (tokenizer.ggml.pre) is not "
            "known, and cut their texts by a usual rule. Their answers may be worse."),

    list("plan.exclude", plan<&P::exclude>, Kind::text_list, 0, check_device,
         "Devices that take no part in plans, by name or id. What the root's settings say counts, "
         "as with everything here: write the same on every device that may become root."),
    list("plan.share", plan<&P::share>, Kind::text_list, 0, check_share,
         "The most that a device takes of a model, as \"name=part\" with a part of 0 to 1, where "
         "what it measures should not decide."),
    integer("plan.min_devices", plan<&P::min_devices>, "devices", 1, 1024,
            "Plans take at least so many devices, as far as there are so many. 1: as many as make "
            "an answer soonest; the others are spares."),

    boolean("http.enabled", http<&H::enabled>, "Serve the HTTP API."),
    text("http.listen", http<&H::listen>, 1, 64, check_listen,
         "IP address to listen on. Any other than a loopback address needs an api_key."),
    integer("http.port", http<&H::port>, "TCP port", 0, 65535,
            "Port to listen on. 0: any free one; the log names it."),
    secret(text("http.api_key", http<&H::api_key>, 0, 256, check_api_key,
                "Secret that every HTTP request must carry, at least 16 characters. Empty: none. "
                "Flags and the environment show it to others: better use api_key_file.")),
    path("http.api_key_file", http<&H::api_key_file>, 0, kMaxPathBytes,
         "A file that holds the api_key in its only line. Empty: none."),
    list("http.allowed_hosts", http<&H::allowed_hosts>, Kind::text_list, 0, check_host,
         "Names beside localhost and the listen address by which requests may call this "
         "device (Host header); keeps foreign web pages out."),
    list("http.allowed_origins", http<&H::allowed_origins>, Kind::text_list, 0, check_origin,
         "Web pages and browser extensions that may use the API, as \"https://host\", "
         "\"http://host:port\" or \"chrome-extension://id\". Empty: none but this device's own."),
    integer("http.max_connections", http<&H::max_connections>, "connections", 1, 4096,
            "Connections at a time; further ones wait."),
    integer("http.client_requests", http<&H::client_requests>, "requests", 0, 4096,
            "Requests for answers that one client (an address, and the key that it shows) may have "
            "at this device, running or waiting; further ones are refused (429). 0: as many as "
            "find room in the queue."),
    bytes("http.max_body_bytes", http<&H::max_body_bytes>, 1024, std::int64_t{16} << 20,
          "Largest request body."),
    integer("http.header_timeout_ms", http<&H::header_timeout>, "ms", 100, 600'000,
            "Time for a request's headers to arrive."),
    integer("http.idle_timeout_ms", http<&H::idle_timeout>, "ms", 100, 3'600'000,
            "Time after which a connection without a request is closed."),

    choice("log.level", kLogLevel, kLogNames, "What is logged: this level and all before it."),
};

}  // namespace

const char* name(KvType type) noexcept {
    return kKvNames[static_cast<std::size_t>(type)].data();
}
const char* name(Collectives form) noexcept {
    return kCollectivesNames[static_cast<std::size_t>(form)].data();
}
const char* name(LogLevel level) noexcept {
    return kLogNames[static_cast<std::size_t>(level)].data();
}

std::span<const Key> keys() noexcept {
    return kKeys;
}

const Key* find_key(std::string_view name) noexcept {
    const auto at = std::ranges::find(kKeys, name, &Key::name);
    return at == kKeys.end() ? nullptr : &*at;
}

std::string_view section(const Key& key) noexcept {
    return key.name.substr(0, key.name.find('.'));
}

bool is_live(const Key& key) noexcept {
    return std::ranges::any_of(
        kLive, [&](std::string_view name) { return name == key.name || name == section(key); });
}

std::vector<const Key*> changed_keys(const Settings& from, const Settings& to) {
    std::vector<const Key*> changed;
    for (const Key& key : kKeys) {
        if (key.read(key, from) != key.read(key, to)) changed.push_back(&key);
    }
    return changed;
}

Value default_value(const Key& key) {
    return key.read(key, Settings{});
}

}  // namespace shoal::config
