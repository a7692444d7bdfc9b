#include "daemon/jinja/cells.hpp"

#include <utility>

#include "daemon/jinja/error.hpp"
#include "daemon/jinja/names.hpp"
#include "daemon/jinja/numbers.hpp"
#include "daemon/jinja/utf8.hpp"

namespace shoal::jinja {
namespace {

/// Up to so many entries are looked through one by one.
constexpr std::size_t kSmallDict = 8;
/// Counted for an entry and its place in the index.
constexpr std::size_t kEntryBytes = 2 * sizeof(Value) + 64;
constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);

/// Keys of different ranks are never equal. 0 for what is no key.
int rank(const Value& key) noexcept {
    if (key.is_string()) return 1;
    if (key.is_number()) return 2;
    return key.is_none() ? 3 : 0;
}

int compare_keys(const Value& a, const Value& b) noexcept {
    if (rank(a) != rank(b)) return rank(a) - rank(b);
    if (a.is_string()) return a.bytes().compare(b.bytes());
    return a.is_number() ? order_of_numbers(a, b) : 0;
}

}  // namespace

StringCell::StringCell(Text its_text, bool is_markup)
    : text(std::move(its_text)), code_points(utf8::count(text.bytes())), markup(is_markup) {}

bool DictCell::Less::operator()(const Value& a, const Value& b) const noexcept {
    return compare_keys(a, b) < 0;
}

std::size_t DictCell::position_of(const Value& key) const {
    if (entries_.size() > kSmallDict) {
        const auto at = index_.find(key);
        return at == index_.end() ? kNowhere : at->second;
    }
    for (std::size_t i = 0; i < entries_.size(); ++i) {
        if (compare_keys(entries_[i].key, key) == 0) return i;
    }
    return kNowhere;
}

const DictCell::Entry* DictCell::find(const Value& key) const {
    if (rank(key) == 0) return nullptr;
    const std::size_t at = position_of(key);
    return at == kNowhere ? nullptr : &entries_[at];
}

const DictCell::Entry* DictCell::find(std::string_view key) const {
    if (entries_.size() > kSmallDict) return find(Value::trusted(std::string(key)));
    for (const Entry& entry : entries_) {
        if (entry.key.is_string() && entry.key.bytes() == key) return &entry;
    }
    return nullptr;
}

void DictCell::set(Value key, Value value) {
    if (rank(key) == 0) fail("unhashable type: '" + type_name(key) + "' cannot be a key");
    const std::size_t at = position_of(key);
    if (at != kNowhere) {
        entries_[at].value = std::move(value);
        return;
    }
    grow(kEntryBytes);
    entries_.push_back({std::move(key), std::move(value)});
    if (entries_.size() == kSmallDict + 1) {
        index_all();
    } else if (entries_.size() > kSmallDict) {
        index_.emplace(entries_.back().key, entries_.size() - 1);
    }
}

bool DictCell::erase(const Value& key) {
    if (rank(key) == 0) return false;
    const std::size_t at = position_of(key);
    if (at == kNowhere) return false;
    // The index refers to places, all of which behind this one change.
    entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(at));
    shrink(kEntryBytes);
    index_all();
    return true;
}

void DictCell::clear() {
    shrink(kEntryBytes * entries_.size());
    index_.clear();
    entries_.clear();
}

void DictCell::index_all() {
    index_.clear();
    if (entries_.size() <= kSmallDict) return;
    for (std::size_t i = 0; i < entries_.size(); ++i) index_.emplace(entries_[i].key, i);
}

}  // namespace shoal::jinja
