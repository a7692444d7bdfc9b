// Which way a model writes its answers, told from the text of its chat template.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "daemon/chat/call_syntax.hpp"

namespace shoal::chat {

/// Marks around reasoning.
struct ReasoningMarks {
    std::string begin;
    std::string end;
    /// Also after visible text. Otherwise only where nothing but spaces and calls came before, so
    /// that an answer about <think> stays an answer.
    bool anywhere = false;

    bool operator==(const ReasoningMarks&) const = default;
};

struct AnswerFormat {
    CallFormat calls = CallFormat::generic;
    std::vector<ReasoningMarks> reasoning;
    /// Marks around visible text and messages, never shown. The generator goes on behind them,
    /// even behind one that the model's file lists as an end of turn.
    std::vector<std::string> silent;
    /// Marks that end a turn with calls, beyond the end of text that the model's file names: the
    /// generator should stop there. The reader ignores what comes behind one.
    std::vector<std::string> stops;

    /// The reasoning that a prompt with this end has opened; nullptr: none.
    const ReasoningMarks* opened_by(std::string_view prompt_end) const;
    /// What ends it, with the lines behind that mark; empty: none.
    std::string end_of_reasoning(std::string_view prompt_end) const;

    /// Every text that the reader looks for. Many of them are special tokens of the vocabulary,
    /// whose text a detokenizer hides: the generator must render those, or calls and reasoning
    /// cannot be told from the answer. Those that are no tokens are ordinary text to the model.
    std::vector<std::string> marks() const;
    /// Whether a special token of this text is to be rendered: it is a mark or a part of one.
    bool renders(std::string_view token_text) const;
};

/// By the marks in the template's text alone. A template that shows none gets the generic form,
/// and <think> where the answer starts with it.
AnswerFormat detect(std::string_view template_source);

/// The name of a way, as ANSWERS.md has it.
std::string_view name_of(CallFormat format);

/// The literal text around calls of a format.
const CallPieces& call_pieces(CallFormat format);

}  // namespace shoal::chat
