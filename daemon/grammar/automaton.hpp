// The automaton over bytes that a grammar is, with a stack: made while it is used.
//
// A *place* is a state of some rule's automaton that waits for a byte, with the *frame* in which
// the rule was called. A frame is the set of all places where its rule's end goes on, each with the
// frame around it. A *configuration* is the set of places where a text can be. Equal frames are
// one, equal configurations are one, and where a configuration goes with a byte is remembered: so a
// grammar is walked like a table once its configurations have been seen, however ambiguous it is.
//
// A call at the end of a rule does not add a frame, it shares the caller's: a list written as a
// recursion at its end stays flat.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "daemon/grammar/grammar.hpp"
#include "daemon/grammar/item_set.hpp"
#include "daemon/grammar/limits.hpp"
#include "daemon/grammar/program.hpp"

namespace shoal::grammar {

using ConfigurationId = std::uint32_t;
using FrameId = std::uint32_t;

struct Place {
    StateId state;
    FrameId frame;

    friend auto operator<=>(const Place&, const Place&) = default;
};

/// Owned by one thread. Numbers of configurations stay valid while they are pinned, and otherwise
/// until collect().
class Automaton {
  public:
    /// No text goes on from here.
    static constexpr ConfigurationId kDead = 0;
    /// More than the limits allow: the caller has to give up.
    static constexpr ConfigurationId kTooComplex = 1;
    /// The frame of the root: to return to it is the end of the text.
    static constexpr FrameId kOutside = 0;

    explicit Automaton(std::shared_ptr<const Grammar> grammar);

    ConfigurationId start();
    ConfigurationId next(ConfigurationId from, std::uint8_t byte) {
        const ConfigurationId known = rows_[from * classes_ + program_.byte_class[byte]];
        return known != kUnknown ? known : step(from, byte);
    }
    /// Whether the text may end here.
    bool ends(ConfigurationId id) const noexcept { return ends_[id] != 0; }

    std::span<const Place> places(ConfigurationId id) const noexcept {
        return configurations_[id].places;
    }
    /// Where the texts are that have just completed the frame's rule. Requires: not kOutside.
    ConfigurationId after(FrameId frame);
    /// The configuration of these states in a frame outside of which nothing is known.
    ConfigurationId alone(std::span<const StateId> states);
    /// A state that behaves alike for so many bytes: it stands for many turns of a counted
    /// repetition.
    StateId like(StateId state, std::size_t bytes) const noexcept;

    /// Bytes that lead somewhere, up to `limit` of them: one of each class, or all of the only one.
    std::vector<std::uint8_t> possible_bytes(ConfigurationId id, std::size_t limit);

    void pin(ConfigurationId id) noexcept { ++configurations_[id].pins; }
    void unpin(ConfigurationId id) noexcept { --configurations_[id].pins; }

    /// Starts a piece of work, which ends in kTooComplex when it takes more than kMaxWork.
    void begin_work() noexcept { work_ = 0; }
    /// Counts work that was done outside. False when it has become too much.
    [[nodiscard]] bool spend(std::size_t work) noexcept { return (work_ += work) <= kMaxWork; }
    bool full() const noexcept;
    /// Forgets what neither is pinned nor belongs to `roots`. False when little was forgotten.
    bool collect(std::span<const ConfigurationId> roots = {});

  private:
    static constexpr ConfigurationId kUnknown = 0xFFFFFFFF;
    /// The state of a return to outside.
    static constexpr StateId kEnd = 0xFFFFFFFF;

    struct Configuration {
        std::vector<Place> places;  ///< sorted
        std::uint32_t pins = 0;
        bool used = false;
    };
    struct Frame {
        std::vector<Place> returns;  ///< sorted
        ConfigurationId after = kUnknown;
        bool used = false;
    };
    /// A state's number taken apart: the stored state, and by how much the numbers of its
    /// neighbours within the same loop's body differ from theirs.
    struct Stored {
        StateId state;
        const Loop* loop;
        std::uint32_t turn;
        StateId shift;
    };
    struct Call {
        std::uint32_t order;
        Place back;
    };

    Stored stored(StateId state) const noexcept;
    static StateId neighbour(const Stored& of, StateId target) noexcept;
    static StateId in_turn(const Loop& loop, std::uint32_t turn) noexcept;

    ConfigurationId step(ConfigurationId from, std::uint8_t byte);
    void begin_closure() noexcept;
    void visit(StateId state, FrameId frame);
    void go_on(bool returns);
    void expand(const Place& place, bool returns);
    void expand_call(const State& state, const Stored& where, FrameId frame);
    void expand_loop_end(const Stored& where, FrameId frame);
    ConfigurationId close();
    ConfigurationId intern_configuration(std::vector<Place>& places, bool end);
    FrameId intern_frame(std::vector<Place>& returns);
    void mark(ConfigurationId id, std::vector<FrameId>& frames);
    void sweep();
    std::size_t cost(const Configuration& configuration) const noexcept;

    std::shared_ptr<const Grammar> grammar_;
    const Program& program_;
    std::size_t classes_;
    std::vector<RuleId> by_order_;

    std::vector<Configuration> configurations_;
    std::vector<std::uint8_t> ends_;
    std::vector<ConfigurationId> rows_;  ///< (configurations, byte classes)
    std::vector<Frame> frames_;
    std::vector<ConfigurationId> free_configurations_;
    std::vector<FrameId> free_frames_;
    std::unordered_multimap<std::size_t, ConfigurationId> configuration_index_;
    std::unordered_multimap<std::size_t, FrameId> frame_index_;
    std::size_t remembered_ = 0, work_ = 0;

    // One closure's.
    ItemSet seen_;
    std::vector<Place> open_, found_, returns_;
    std::vector<Call> calls_;  ///< a heap, the first in order on top
    bool end_ = false, too_complex_ = false;
};

}  // namespace shoal::grammar
