#include "daemon/chat/answer_format.hpp"

#include <algorithm>

#include "daemon/chat/json_text.hpp"

namespace shoal::chat {
namespace {

bool shows(std::string_view source, std::string_view mark) noexcept {
    return source.find(mark) != std::string_view::npos;
}

struct KnownReasoning {
    std::string_view shown_by;
    std::string_view begin;
    std::string_view end;
    bool anywhere;
};

constexpr KnownReasoning kKnownReasoning[] = {
    {"[THINK]", "[THINK]", "[/THINK]", true},
    {"<|START_THINKING|>", "<|START_THINKING|>", "<|END_THINKING|>", true},
    {"<|inner_prefix|>", "<|inner_prefix|>", "<|inner_suffix|>", true},
    {"<|channel>", "<|channel>thought", "<channel|>", true},
    {"<seed:think>", "<seed:think>", "</seed:think>", false},
    {"<|begin_of_thought|>", "<|begin_of_thought|>", "<|end_of_thought|>", true},
    {"◁think▷", "◁think▷", "◁/think▷", false},
    {"[BEGIN FINAL RESPONSE]", "Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]", false},
    {"<thinking>", "<thinking>", "</thinking>", false},
    {"<reasoning>", "<reasoning>", "</reasoning>", false},
    {"<think>", "<think>", "</think>", false},
    // Some templates only take reasoning out of earlier answers.
    {"</think>", "<think>", "</think>", false},
};

/// Harmony's begin is read with the message's header; Solar's begins by a token of its own.
constexpr std::string_view kHarmonyEnd = "<|end|>";

constexpr std::string_view kSilent[] = {
    "<|START_RESPONSE|>", "<|END_RESPONSE|>",     "<|START_TEXT|>",
    "<|END_TEXT|>",       "[END FINAL RESPONSE]",
};

void add(std::vector<std::string>& list, std::string_view mark) {
    if (!mark.empty() && std::find(list.begin(), list.end(), mark) == list.end()) {
        list.emplace_back(mark);
    }
}

std::vector<ReasoningMarks> reasoning_in(std::string_view source) {
    std::vector<ReasoningMarks> found;
    for (const KnownReasoning& known : kKnownReasoning) {
        if (!shows(source, known.shown_by)) continue;
        const ReasoningMarks marks{std::string(known.begin), std::string(known.end),
                                   known.anywhere};
        if (std::find(found.begin(), found.end(), marks) == found.end()) found.push_back(marks);
    }
    if (found.empty()) found.push_back({"<think>", "</think>", false});
    return found;
}

}  // namespace

AnswerFormat detect(std::string_view template_source) {
    AnswerFormat format;
    for (const CallSyntax& syntax : call_syntaxes()) {
        const bool shown =
            std::any_of(syntax.shown_by.begin(), syntax.shown_by.end(),
                        [&](std::string_view mark) { return shows(template_source, mark); });
        if (!shown) continue;
        format.calls = syntax.format;
        break;
    }
    format.reasoning = reasoning_in(template_source);
    if (format.calls == CallFormat::harmony) {
        format.reasoning.clear();
        add(format.silent, kHarmonyEnd);
    }
    if (format.calls == CallFormat::solar) {
        format.reasoning = {{"<|think|>", kHarmonyEnd.data(), true}};
        for (const std::string_view mark : {"<|begin|>assistant", "<|content|>", "<|end|>"}) {
            add(format.silent, mark);
        }
    }
    for (const std::string_view mark : kSilent) {
        if (shows(template_source, mark)) add(format.silent, mark);
    }
    for (const std::string_view mark : syntax_of(format.calls).stops) add(format.stops, mark);
    return format;
}

const ReasoningMarks* AnswerFormat::opened_by(std::string_view prompt_end) const {
    const auto found =
        std::find_if(reasoning.begin(), reasoning.end(), [prompt_end](const ReasoningMarks& marks) {
            return trimmed(prompt_end).ends_with(trimmed(marks.begin));
        });
    return found == reasoning.end() ? nullptr : &*found;
}

std::string AnswerFormat::end_of_reasoning(std::string_view prompt_end) const {
    const ReasoningMarks* opened = opened_by(prompt_end);
    return opened != nullptr ? opened->end + "\n\n" : "";
}

std::vector<std::string> AnswerFormat::marks() const {
    std::vector<std::string> all;
    const CallSyntax& syntax = syntax_of(calls);
    for (const CallFrame& frame : syntax.frames) {
        add(all, frame.begin);
        add(all, frame.end);
        if (frame.body == Body::braces) add(all, frame.quote);
    }
    for (const std::string_view mark : syntax.before) add(all, mark);
    for (const std::string_view mark : syntax.after) add(all, mark);
    for (const std::string_view mark : syntax.inner) add(all, mark);
    for (const ReasoningMarks& marks : reasoning) {
        add(all, marks.begin);
        add(all, marks.end);
    }
    for (const std::string& mark : silent) add(all, mark);
    for (const std::string& mark : stops) add(all, mark);
    return all;
}

bool AnswerFormat::renders(std::string_view token_text) const {
    if (token_text.empty()) return false;
    const std::vector<std::string> all = marks();
    return std::any_of(all.begin(), all.end(), [token_text](const std::string& mark) {
        return mark.find(token_text) != std::string::npos;
    });
}

std::string_view name_of(CallFormat format) {
    return syntax_of(format).name;
}

const CallPieces& call_pieces(CallFormat format) {
    return syntax_of(format).pieces;
}

}  // namespace shoal::chat
