#include "daemon/http/kept_texts.hpp"

#include <iterator>
#include <utility>

namespace shoal::http {

void KeptTexts::put(std::string id, std::string text, Clock::time_point now) {
    const std::lock_guard lock(mutex_);
    drop_old(now);
    Entry entry{std::move(id), std::move(text), now};
    if (entry.bytes() > max_bytes_) return;
    while (bytes_ + entry.bytes() > max_bytes_) erase(std::prev(entries_.end()));
    bytes_ += entry.bytes();
    entries_.push_front(std::move(entry));
    by_id_[entries_.front().id] = entries_.begin();
}

std::optional<std::string> KeptTexts::get(std::string_view id, Clock::time_point now) {
    const std::lock_guard lock(mutex_);
    drop_old(now);
    const auto found = by_id_.find(id);
    if (found == by_id_.end()) return std::nullopt;
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->text;
}

bool KeptTexts::erase(std::string_view id) {
    const std::lock_guard lock(mutex_);
    const auto found = by_id_.find(id);
    if (found == by_id_.end()) return false;
    erase(found->second);
    return true;
}

void KeptTexts::erase(Entries::iterator entry) {
    bytes_ -= entry->bytes();
    by_id_.erase(entry->id);
    entries_.erase(entry);
}

void KeptTexts::drop_old(Clock::time_point now) {
    for (auto entry = entries_.begin(); entry != entries_.end();) {
        const auto next = std::next(entry);
        if (now - entry->kept > lifetime_) erase(entry);
        entry = next;
    }
}

}  // namespace shoal::http
