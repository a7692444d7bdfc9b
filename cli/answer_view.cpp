#include "cli/answer_view.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "cli/exit_codes.hpp"

namespace shoal::cli {
namespace messages = mesh::messages;
namespace {

/// Templates and models begin answers with newlines; people want none there.
std::string_view without_leading_newlines(std::string_view text, bool begins) {
    if (begins) text.remove_prefix(std::min(text.find_first_not_of('\n'), text.size()));
    return text;
}

bool only_newlines(std::string_view text) noexcept {
    return text.find_first_not_of('\n') == std::string_view::npos;
}

}  // namespace

AnswerView::AnswerView(Output& output, ProgressLine& progress, const Terminal& terminal, Look look)
    : output_(output),
      progress_(progress),
      terminal_(terminal),
      look_(look),
      wrap_(terminal.interactive ? terminal.columns : 0) {}

void AnswerView::add(const messages::Token& token) {
    if (token.index != expected_) {
        throw Error(kFailed,
                    fmt::format("part of the answer is missing: token {} came where {} was due",
                                token.index, expected_));
    }
    ++expected_;
    show_reasoning(token.reasoning);
    show_text(token.text);
    show_calls(token.calls);
}

void AnswerView::add(const messages::Done& done) {
    show_reasoning(done.reasoning);
    show_text(done.text);
    show_calls(done.calls);
    progress_.clear();
}

void AnswerView::show_text(std::string_view text) {
    if (text.empty()) return;
    const bool begins = only_newlines(text_);
    text_ += text;
    if (look_ == Look::nothing) return;
    if (look_ == Look::text) {
        progress_.clear();
        // A model can write anything, so also what commands a terminal.
        output_.write(terminal_.interactive ? harmless(text) : std::string(text));
        return;
    }
    text = without_leading_newlines(text, begins);
    if (text.empty()) return;
    if (begins && look_ == Look::chat && !only_newlines(reasoning_)) {
        write(terminal_.color ? "\n\n" : "\n\nAnswer:\n", Style::plain);
        wrap_.reset();
    }
    write(text, Style::plain);
}

void AnswerView::show_reasoning(std::string_view text) {
    if (text.empty()) return;
    const bool begins = only_newlines(reasoning_);
    reasoning_ += text;
    if (look_ == Look::answer) {
        progress_.show(fmt::format("thinking, {} tokens", expected_), 0, 0);
    }
    if (look_ != Look::chat) return;
    text = without_leading_newlines(text, begins);
    if (text.empty()) return;
    if (begins && !terminal_.color) write("Thinking:\n", Style::plain);
    write(text, Style::faint);
}

void AnswerView::show_calls(const std::vector<messages::ToolCall>& calls) {
    if (!chat()) return;
    for (const messages::ToolCall& call : calls) {
        write(fmt::format("[calls {} with {}]\n", call.name, call.arguments), Style::faint);
    }
}

void AnswerView::write(std::string_view text, Style style) {
    progress_.clear();
    const std::string lines = wrap_.add(harmless(text));
    output_.write(styled(terminal_, style, lines));
}

}  // namespace shoal::cli
