// What an AnswerReader looks for, and where it starts.
#include <utility>

#include "daemon/chat/answer_reader.hpp"
#include "daemon/chat/json_text.hpp"

namespace shoal::chat {
namespace {

constexpr std::string_view kRecipientMark = ">>>";

}  // namespace

void AnswerReader::Marks::add(Mark mark) {
    if (mark.text.empty()) return;
    begins[static_cast<unsigned char>(mark.text.front())] = true;
    list.push_back(std::move(mark));
}

void AnswerReader::add_marks() {
    const auto text = [](std::string_view mark) { return std::string(mark); };
    for (const CallFrame& frame : syntax_.frames) {
        // Harmony's channels and functionary's recipients also say what is not a call.
        const bool always = frame.body == Body::channel || frame.header == Header::line;
        if (!look_for_calls_ && !always) continue;
        if (frame.begin.empty()) bare_ = &frame;
        content_marks_.add({text(frame.begin), Role::call, frame.only_first, &frame, 0});
        if (frame.body == Body::channel) {
            reasoning_marks_.add({text(frame.begin), Role::next_message, false, nullptr, 0});
        }
    }
    if (look_for_calls_) {
        for (const std::string_view mark : syntax_.before) {
            content_marks_.add({text(mark), Role::before, false, nullptr, 0});
        }
        for (const std::string_view mark : syntax_.after) {
            content_marks_.add({text(mark), Role::after, false, nullptr, 0});
        }
    }
    for (std::size_t i = 0; i < format_.reasoning.size(); ++i) {
        const ReasoningMarks& marks = format_.reasoning[i];
        content_marks_.add({marks.begin, Role::reasoning, !marks.anywhere, nullptr, i});
    }
    for (const std::string& mark : format_.silent) {
        content_marks_.add({mark, Role::silent, false, nullptr, 0});
        if (format_.calls == CallFormat::harmony) {
            reasoning_marks_.add({mark, Role::reasoning_end, false, nullptr, 0});
        }
    }
    for (const std::string& mark : format_.stops) {
        content_marks_.add({mark, Role::stop, false, nullptr, 0});
        if (format_.calls == CallFormat::harmony) {
            reasoning_marks_.add({mark, Role::stop, false, nullptr, 0});
        }
    }
}

void AnswerReader::begin_state(const std::string& prompt_end) {
    if (format_.calls == CallFormat::harmony) {
        state_ = State::opening;
        return;
    }
    if (format_.calls == CallFormat::functionary_recipients &&
        std::string_view(prompt_end).ends_with(kRecipientMark)) {
        begin_call(syntax_.frames.front(), 0);
        return;
    }
    if (const ReasoningMarks* opened = format_.opened_by(prompt_end)) {
        begin_reasoning(static_cast<std::size_t>(opened - format_.reasoning.data()));
    }
}

}  // namespace shoal::chat
