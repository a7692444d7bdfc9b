#include "daemon/jinja/text.hpp"

#include <algorithm>

namespace shoal::jinja {

Origin Text::origin_at(std::size_t position) const noexcept {
    const auto passed =
        std::upper_bound(changes_.begin(), changes_.end(), position) - changes_.begin();
    return passed % 2 == 0 ? first_ : other_than(first_);
}

bool Text::has_input() const noexcept {
    return !bytes_.empty() && (first_ == Origin::input || !changes_.empty());
}

void Text::append(std::string_view bytes, Origin origin) {
    if (bytes.empty()) return;
    if (bytes_.empty()) {
        first_ = origin;
    } else if (last() != origin) {
        changes_.push_back(static_cast<std::uint32_t>(bytes_.size()));
    }
    bytes_.append(bytes);
}

void Text::append(const Text& other, std::size_t begin, std::size_t end) {
    other.for_each_run(begin, end,
                       [&](std::string_view run, Origin origin) { append(run, origin); });
}

Text Text::slice(std::size_t begin, std::size_t end) const {
    Text out;
    out.append(*this, begin, end);
    return out;
}

}  // namespace shoal::jinja
