// A string that knows which of its bytes came from the input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::jinja {

enum class Origin : std::uint8_t {
    written,  ///< by the template, or by whoever vouches for it
    input     ///< by people, tools or models: never a marker
};

/// UTF-8 bytes with the origin of each, kept as the places where it changes. Nearly all strings
/// have one origin and therefore no such place. Below 4 GiB. A value, as std::string is.
class Text {
  public:
    Text() = default;
    Text(std::string bytes, Origin origin) : bytes_(std::move(bytes)), first_(origin) {}

    const std::string& bytes() const noexcept { return bytes_; }
    std::size_t size() const noexcept { return bytes_.size(); }
    bool empty() const noexcept { return bytes_.empty(); }
    /// What it keeps in memory.
    std::size_t memory_bytes() const noexcept { return bytes_.size() + 4 * changes_.size(); }

    /// Of the byte at `position`, which is below size().
    Origin origin_at(std::size_t position) const noexcept;
    bool has_input() const noexcept;

    void append(std::string_view bytes, Origin origin);
    /// The bytes from `begin` up to `end` of another text, not of this one.
    void append(const Text& other, std::size_t begin, std::size_t end);
    void append(const Text& other) { append(other, 0, other.size()); }
    Text slice(std::size_t begin, std::size_t end) const;

    /// Calls see(std::string_view, Origin) for each piece of one origin, from `begin` up to `end`.
    template <class See>
    void for_each_run(std::size_t begin, std::size_t end, See&& see) const {
        Origin origin = first_;
        std::size_t from = 0;
        for (std::size_t i = 0; i <= changes_.size() && from < end; ++i) {
            const std::size_t to = i < changes_.size() ? changes_[i] : bytes_.size();
            const std::size_t low = from > begin ? from : begin, high = to < end ? to : end;
            if (low < high) see(std::string_view(bytes_).substr(low, high - low), origin);
            from = to;
            origin = other_than(origin);
        }
    }
    template <class See>
    void for_each_run(See&& see) const {
        for_each_run(0, size(), see);
    }

  private:
    static Origin other_than(Origin origin) noexcept {
        return origin == Origin::input ? Origin::written : Origin::input;
    }
    Origin last() const noexcept { return changes_.size() % 2 == 0 ? first_ : other_than(first_); }

    std::string bytes_;
    Origin first_ = Origin::written;
    std::vector<std::uint32_t> changes_;  ///< ascending; bytes from there on have the other origin
};

}  // namespace shoal::jinja
