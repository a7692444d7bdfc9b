// Reads a model's answer while it is generated, and tells apart what is for the user, what is
// reasoning, and what is a tool call.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/chat/answer_format.hpp"
#include "daemon/chat/call_body.hpp"
#include "daemon/chat/tools.hpp"

namespace shoal::chat {

/// Spaces that are held back, because a call or the end of reasoning would take them away.
inline constexpr std::size_t kMaxHeldSpaces = 256;

enum class EventKind : std::uint8_t {
    content,         ///< text for the user
    reasoning,       ///< text of the model's reasoning
    call_begin,      ///< index, id and name of a call
    call_arguments,  ///< the whole arguments, a JSON object, in one event
    call_end
};

struct AnswerEvent {
    EventKind kind = EventKind::content;
    std::string text = {};  ///< content, reasoning, call_arguments
    std::size_t call = 0;   ///< call_*: which one, from 0
    std::string id = {};    ///< call_begin
    std::string name = {};  ///< call_begin
};

struct ReaderOptions {
    /// Whether to look for calls at all: not when the request has no tools or forbids their use.
    bool calls = true;
    /// What may be called; empty: any name.
    std::vector<Tool> tools = {};
    /// false: only the first call counts, others vanish.
    bool parallel_calls = true;
    /// Prompt::open_end() of the prompt: a template may open reasoning itself.
    std::string prompt_end = {};
    /// For ids of calls. Without it they are numbered, which is for tests.
    std::function<std::uint64_t()> random = {};
};

/// How a text came to its end.
enum class Ending : std::uint8_t {
    by_model,  ///< it wrote its end of turn: half a mark was meant as text
    cut_off    ///< length limit, cancelled, failed: half a mark is never shown
};

/// Externally synchronised; one for each answer. It needs the text with the special tokens of
/// AnswerFormat::marks() rendered, in pieces of whole characters. Events joined are the same
/// however the text is cut.
///
/// A call is held back until it is whole, at most kMaxCallBytes of it, because one that is
/// malformed or names no tool of the request stays text, as the model wrote it. So arguments come
/// in one event. A call that ends half-way is never shown; see unfinished_call().
class AnswerReader {
  public:
    AnswerReader(AnswerFormat format, const ReaderOptions& options);
    ~AnswerReader();
    AnswerReader(const AnswerReader&) = delete;
    AnswerReader& operator=(const AnswerReader&) = delete;

    [[nodiscard]] std::vector<AnswerEvent> feed(std::string_view text);
    /// What was held back. Nothing may be fed afterwards.
    [[nodiscard]] std::vector<AnswerEvent> finish(Ending ending);

    /// A mark came that ends the turn: the rest of the text does not count.
    bool stopped() const noexcept { return state_ == State::stopped; }
    /// Calls so far. With any, an answer that the model ended is finished by "tool_calls".
    std::size_t calls() const noexcept { return calls_; }
    /// After finish(): the text ended within a call, which was dropped.
    bool unfinished_call() const noexcept { return unfinished_call_; }

  private:
    enum class State { opening, content, reasoning, call, channel, stopped };
    enum class Role { call, before, after, reasoning, reasoning_end, next_message, silent, stop };
    struct Mark {
        std::string text;
        Role role = Role::silent;
        bool only_first = false;
        const CallFrame* frame = nullptr;
        std::size_t reasoning = 0;
    };
    /// The marks looked for in one state, by their first byte.
    struct Marks {
        std::vector<Mark> list;
        std::array<bool, 256> begins{};
        void add(Mark mark);
    };
    struct Found {
        const Mark* mark = nullptr;
        bool part = false;  ///< the text ends within a mark
    };

    void add_marks();
    void begin_state(const std::string& prompt_end);

    bool step();
    bool step_opening();
    bool step_content();
    bool step_reasoning();
    bool step_call();
    bool step_channel();
    Found find_at(const Marks& marks, std::size_t at) const;
    bool counts(const Mark& mark) const noexcept;
    bool begin_bare(char bracket);
    void on_mark(const Mark& mark);
    void begin_call(const CallFrame& frame, std::size_t mark_bytes);
    void begin_channel(std::size_t mark_bytes);
    bool route(std::string_view header, std::size_t bytes);
    void begin_reasoning(std::size_t which);
    void end_reasoning();
    void finish_held();

    void visible(std::string_view text);
    void show_held();
    void reason(std::string_view text);
    void emit(EventKind kind, std::string_view text);
    void accept(std::vector<Call>& calls);
    std::string id_of(const Call& call) const;
    std::uint64_t random() const;

    AnswerFormat format_;
    const CallSyntax& syntax_;
    ToolTable tools_;
    bool look_for_calls_;
    bool parallel_;
    std::function<std::uint64_t()> random_;
    Marks content_marks_;
    Marks reasoning_marks_;
    const CallFrame* bare_ = nullptr;

    std::string pending_;  ///< text not yet dealt with, from at_ on
    std::size_t at_ = 0;
    State state_ = State::content;
    std::optional<CallBody> body_;
    std::size_t mark_bytes_ = 0;  ///< state call, channel: of what stands at at_

    std::optional<Ending> ending_;  ///< set by finish()

    std::string held_;           ///< spaces, and marks of Role::before, that a call would take away
    bool held_section_ = false;  ///< held_ has such a mark
    std::string held_reason_;    ///< spaces that the end of reasoning would take away
    bool reasoned_ = false;      ///< this reasoning has had visible text
    bool at_start_ = true;       ///< nothing but spaces, reasoning and calls so far
    bool after_call_ = false;    ///< nothing but spaces since a call
    bool trim_ = false;          ///< spaces that come next are not shown
    bool shown_ = false;         ///< some content has been
    std::size_t calls_ = 0;
    bool unfinished_call_ = false;
    std::vector<AnswerEvent> events_;
};

}  // namespace shoal::chat
