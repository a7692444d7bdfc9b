#include "config/rules.hpp"

#include "config/keys.hpp"

namespace shoal::config {
namespace {

std::string ms(std::chrono::milliseconds time) {
    return std::to_string(time.count()) + " ms";
}

}  // namespace

std::optional<BrokenRule> broken_rule(const Settings& settings) {
    const ClusterSettings& cluster = settings.cluster;
    if (cluster.suspect < 2 * cluster.heartbeat) {
        return BrokenRule{
            "suspect_ms is " + ms(cluster.suspect) + ", but must be at least twice heartbeat_ms (" +
                ms(cluster.heartbeat) + "), or one lost heartbeat makes a device suspect",
            {"cluster.suspect_ms", "cluster.heartbeat_ms"}};
    }
    if (cluster.dead <= cluster.suspect) {
        return BrokenRule{"dead_ms is " + ms(cluster.dead) +
                              ", but must be more than suspect_ms (" + ms(cluster.suspect) + ")",
                          {"cluster.dead_ms", "cluster.suspect_ms"}};
    }
    const HttpSettings& http = settings.http;
    if (!http.api_key.empty() && !http.api_key_file.empty()) {
        return BrokenRule{"api_key and api_key_file are both set; keep one of them",
                          {"http.api_key_file", "http.api_key"}};
    }
    if (http.enabled && !is_loopback(http.listen) && http.api_key.empty() &&
        http.api_key_file.empty()) {
        return BrokenRule{"listening on " + http.listen +
                              " lets other machines in, so an api_key is required: set "
                              "http.api_key_file or http.api_key, or listen on 127.0.0.1",
                          {"http.listen", "http.enabled"}};
    }
    return std::nullopt;
}

}  // namespace shoal::config
