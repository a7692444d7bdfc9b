#include "daemon/exec/pooling.hpp"

namespace shoal::exec {

RowRange Pool::wanted(std::uint32_t first, std::uint32_t count) const noexcept {
    switch (pooling_) {
        case Pooling::mean:
            break;
        case Pooling::first:
            return {first, first == 0 && count != 0 ? 1U : 0U};
        case Pooling::last:
            return {tokens_ - 1, first < tokens_ && tokens_ <= first + count ? 1U : 0U};
    }
    return {first, count};
}

void Pool::add(std::span<const float> states, std::size_t dim) {
    sum_.resize(dim);
    for (std::size_t at = 0; at < states.size(); at += dim, ++added_) {
        for (std::size_t i = 0; i < dim; ++i) sum_[i] += states[at + i];
    }
}

std::vector<float> Pool::vector() const {
    std::vector<float> out;
    out.reserve(sum_.size());
    for (const double sum : sum_) out.push_back(static_cast<float>(sum / added_));
    return out;
}

}  // namespace shoal::exec
