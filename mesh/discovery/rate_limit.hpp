// How often something may happen, per source and in total.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <string>

namespace shoal::mesh::discovery {

using Time = std::chrono::steady_clock::time_point;

/// A bucket that holds up to `burst` tokens and gains `per_second`.
class TokenBucket {
  public:
    TokenBucket(double per_second, double burst, Time now) noexcept
        : per_second_(per_second), burst_(burst), tokens_(burst), at_(now) {}

    bool has_token(Time now) const noexcept { return tokens_at(now) >= 1; }
    /// Requires: has_token(now).
    void take(Time now) noexcept {
        tokens_ = tokens_at(now) - 1;
        at_ = std::max(now, at_);
    }
    bool is_full(Time now) const noexcept { return tokens_at(now) >= burst_; }

  private:
    double tokens_at(Time now) const noexcept {
        const std::chrono::duration<double> passed = std::max(now, at_) - at_;
        return std::min(burst_, tokens_ + passed.count() * per_second_);
    }

    double per_second_, burst_, tokens_;
    Time at_;
};

/// Buckets by source, and one for all. The table of sources is bounded: when it is full of
/// sources that are still being limited, strangers wait.
class RateLimit {
  public:
    struct Config {
        /// Answers a second; several devices may share one address.
        double per_source = 50, source_burst = 64;
        double total = 400, total_burst = 400;
        std::size_t max_sources = 512;
    };

    RateLimit(Config config, Time now)
        : config_(config), total_(config.total, config.total_burst, now) {}

    [[nodiscard]] bool allow(const std::string& source, Time now) {
        if (!total_.has_token(now)) return false;
        auto it = sources_.find(source);
        if (it == sources_.end()) {
            if (sources_.size() >= config_.max_sources) {
                std::erase_if(sources_,
                              [&](const auto& entry) { return entry.second.is_full(now); });
                if (sources_.size() >= config_.max_sources) return false;
            }
            it = sources_.try_emplace(source, config_.per_source, config_.source_burst, now).first;
        }
        if (!it->second.has_token(now)) return false;
        it->second.take(now);
        total_.take(now);
        return true;
    }

  private:
    Config config_;
    TokenBucket total_;
    std::map<std::string, TokenBucket> sources_;
};

}  // namespace shoal::mesh::discovery
