// What a client may refer to later, kept for a while in a bounded amount of memory.
#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace shoal::http {

/// Thread-safe. The text that was asked for least lately goes first; one that is older than
/// `lifetime` is there no more.
class KeptTexts {
  public:
    using Clock = std::chrono::steady_clock;

    KeptTexts(std::size_t max_bytes, Clock::duration lifetime)
        : max_bytes_(max_bytes), lifetime_(lifetime) {}

    /// Nothing happens when the text alone is beyond the limit. Requires: the id is new.
    void put(std::string id, std::string text, Clock::time_point now = Clock::now());
    std::optional<std::string> get(std::string_view id, Clock::time_point now = Clock::now());
    /// False: there is none.
    bool erase(std::string_view id);

  private:
    struct Entry {
        std::string id, text;
        Clock::time_point kept;
        std::size_t bytes() const noexcept { return id.size() + text.size(); }
    };
    using Entries = std::list<Entry>;

    void erase(Entries::iterator entry);
    void drop_old(Clock::time_point now);

    const std::size_t max_bytes_;
    const Clock::duration lifetime_;

    std::mutex mutex_;  ///< guards all below
    Entries entries_;   ///< the one that was asked for last comes first
    std::map<std::string, Entries::iterator, std::less<>> by_id_;
    std::size_t bytes_ = 0;
};

}  // namespace shoal::http
