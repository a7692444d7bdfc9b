// What a device can be told: every setting, with its default. The keys, ranges and explanations
// of these members stand in config/keys.cpp; a test holds the two and config/shoald.toml together.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace shoal::config {

/// The element type of the KV cache.
enum class KvType : std::uint8_t { automatic, f32, f16, q8_0 };
/// How several devices share a prompt.
enum class Prefill : std::uint8_t { automatic, tensor, sequence };
/// Whether large steps compute in two halves, in turns.
enum class Overlap : std::uint8_t { automatic, always, never };
/// Whether files of models are fetched from other devices.
enum class WholeFile : std::uint8_t { automatic, never };
/// The form in which partial sums travel between devices.
enum class Collectives : std::uint8_t { automatic, q8_0, q16, f16, f32 };
/// What is encrypted between devices: everything, or the control channel alone.
enum class Encrypt : std::uint8_t { data, control };
/// How activations travel.
enum class DataTransport : std::uint8_t { zmtp, libzmq };
enum class LogLevel : std::uint8_t { error, warn, info, debug };

/// The names that the keys use: "auto", "q8_0", "warn".
const char* name(KvType type) noexcept;
const char* name(Collectives form) noexcept;
const char* name(LogLevel level) noexcept;

/// [device]
struct DeviceSettings {
    std::string name;  ///< empty: the host's name
    std::string state_dir = "/var/lib/shoal";
    std::int32_t priority = 0;             ///< wish to be root; higher wins
    std::uint32_t threads = 0;             ///< 0: every usable core
    std::uint64_t memory_limit_bytes = 0;  ///< 0: what is available
    std::uint64_t speed_bytes = 0;         ///< weight bytes per second; 0: measured
    std::string cpu = "auto";              ///< instruction set of the kernels
};

/// [cluster]
struct ClusterSettings {
    std::string key_file;  ///< empty: cluster_key_file() says which
    /// Where a key may lie for the first start, that of an SD card's boot partition.
    std::vector<std::string> boot_keys = {"/boot/firmware/shoal.key", "/boot/shoal.key"};
    std::string bind = "*";
    std::uint16_t port = 0;             ///< 0: any free port
    std::uint16_t beacon_port = 47474;  ///< UDP
    bool multicast = true;
    std::vector<std::string> interfaces;  ///< empty: every real one
    std::vector<std::string> peers;       ///< "host" or "host:beacon_port"
    Encrypt encrypt = Encrypt::data;
    DataTransport data_transport = DataTransport::zmtp;
    std::chrono::milliseconds heartbeat{500};
    std::chrono::milliseconds suspect{2000};
    std::chrono::milliseconds dead{4000};
};

/// [control]
struct ControlSettings {
    std::string socket = "/run/shoal/control.sock";
    std::string group = "shoal";  ///< empty: no group beside the daemon's own
};

/// [models]
struct ModelSettings {
    std::vector<std::string> directories = {"/var/lib/shoal/models", "/usr/share/shoal/models"};
    std::string default_model;  ///< empty: the only one known
    std::uint32_t context = 0;  ///< 0: the model's own, as far as memory allows
    KvType kv = KvType::automatic;
    Collectives collectives = Collectives::automatic;
    Prefill prefill = Prefill::automatic;
    Overlap overlap = Overlap::automatic;
    WholeFile whole_file = WholeFile::automatic;
    std::uint32_t batch_tokens = 256;      ///< rows of one prefill step
    std::uint32_t parallel = 16;           ///< requests that are computed together
    std::uint32_t queue = 32;              ///< requests that may wait
    std::int32_t keep_alive_seconds = -1;  ///< of a model that nobody uses; -1: while there is room
    std::uint32_t turn_ms = 2000;          ///< of a model, when requests for others wait
    std::uint32_t max_prompt_tokens = 0;   ///< 0: the context is the limit
    std::string cache_dir;                 ///< of blocks of KV caches; empty: they are not kept
    std::uint64_t cache_bytes = std::uint64_t{4} << 30;
    bool guess_pretokenizer = false;  ///< take models whose pre-tokenizer is not known

    bool operator==(const ModelSettings&) const = default;
};

/// [plan]; the root's count
struct PlanSettings {
    std::vector<std::string> exclude;  ///< names or ids of devices that take no part
    std::vector<std::string> share;    ///< "name=0.25": at most this part of a model
    std::uint32_t min_devices = 1;     ///< that take part, as far as there are so many

    bool operator==(const PlanSettings&) const = default;
};

/// [http]
struct HttpSettings {
    bool enabled = true;
    std::string listen = "127.0.0.1";
    std::uint16_t port = 8090;  ///< 0: any free port
    std::string api_key;        ///< load_settings() fills it from api_key_file
    std::string api_key_file;
    std::vector<std::string> allowed_hosts;    ///< beside loopback names and the listen address
    std::vector<std::string> allowed_origins;  ///< of web pages, "https://host"
    std::uint32_t max_connections = 256;
    std::uint32_t client_requests = 0;  ///< for answers, of one client; 0: any number
    std::uint64_t max_body_bytes = 8u << 20;
    std::chrono::milliseconds header_timeout{10'000};
    std::chrono::milliseconds idle_timeout{60'000};
};

/// [log]
struct LogSettings {
    LogLevel level = LogLevel::info;
};

struct Settings {
    DeviceSettings device;
    ClusterSettings cluster;
    ControlSettings control;
    ModelSettings models;
    PlanSettings plan;
    HttpSettings http;
    LogSettings log;
};

/// The file of the cluster's key: the one that is named, else one that the daemon makes itself.
inline std::string cluster_key_file(const Settings& settings) {
    if (!settings.cluster.key_file.empty()) return settings.cluster.key_file;
    return settings.device.state_dir + "/cluster.key";
}

}  // namespace shoal::config
