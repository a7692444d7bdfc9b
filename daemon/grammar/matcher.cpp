#include "daemon/grammar/matcher.hpp"

#include <array>
#include <utility>

#include "daemon/grammar/automaton.hpp"
#include "daemon/grammar/mask_cache.hpp"

namespace shoal::grammar {

struct Matcher::Learnt {
    explicit Learnt(std::shared_ptr<const Grammar> grammar) : automaton(std::move(grammar)) {}

    /// Forgets until there is room again, masks at last. False when there is none.
    bool make_room(ConfigurationId at) {
        if (!automaton.full() || automaton.collect(std::array{at})) return true;
        if (masks != nullptr) masks->clear(automaton);
        return automaton.collect(std::array{at});
    }

    Automaton automaton;
    std::unique_ptr<MaskCache> masks;  ///< of the vocabulary that was last asked for
};

Matcher::Matcher(std::shared_ptr<const Grammar> grammar)
    : learnt_(std::make_shared<Learnt>(std::move(grammar))), at_(learnt_->automaton.start()) {
    learnt_->automaton.pin(at_);
}

Matcher::~Matcher() {
    learnt_->automaton.unpin(at_);
}

Matcher::Matcher(const Matcher& other) noexcept : learnt_(other.learnt_), at_(other.at_) {
    learnt_->automaton.pin(at_);
}

Matcher& Matcher::operator=(const Matcher& other) noexcept {
    other.learnt_->automaton.pin(other.at_);
    learnt_->automaton.unpin(at_);
    learnt_ = other.learnt_;
    at_ = other.at_;
    return *this;
}

Matcher::Outcome Matcher::accept(std::string_view bytes) {
    Automaton& automaton = learnt_->automaton;
    automaton.begin_work();
    ConfigurationId at = at_;
    for (const char byte : bytes) {
        if (!learnt_->make_room(at)) return Outcome::too_complex;
        at = automaton.next(at, static_cast<std::uint8_t>(byte));
        if (at == Automaton::kDead) return Outcome::refused;
        if (at == Automaton::kTooComplex) return Outcome::too_complex;
    }
    automaton.pin(at);
    automaton.unpin(at_);
    at_ = at;
    return Outcome::accepted;
}

bool Matcher::may_end() const noexcept {
    return learnt_->automaton.ends(at_);
}

std::string Matcher::forced_bytes(std::size_t limit) const {
    Automaton& automaton = learnt_->automaton;
    automaton.begin_work();
    std::string forced;
    ConfigurationId at = at_;
    while (forced.size() < limit && !automaton.ends(at)) {
        if (!learnt_->make_room(at)) break;
        const auto possible = automaton.possible_bytes(at, 2);
        if (possible.size() != 1) break;
        at = automaton.next(at, possible[0]);
        if (at == Automaton::kTooComplex) break;
        forced += static_cast<char>(possible[0]);
    }
    return forced;
}

std::shared_ptr<const TokenMask> Matcher::allowed(
    const std::shared_ptr<const Vocabulary>& vocabulary) const {
    Learnt& learnt = *learnt_;
    if (learnt.masks == nullptr || &learnt.masks->vocabulary() != vocabulary.get()) {
        if (learnt.masks != nullptr) learnt.masks->clear(learnt.automaton);
        learnt.masks = std::make_unique<MaskCache>(vocabulary);
    }
    return learnt.masks->mask(learnt.automaton, at_);
}

}  // namespace shoal::grammar
