// The part of AnswerReader that reads reasoning, and harmony's messages, which may be it.
#include <algorithm>

#include "daemon/chat/answer_reader.hpp"
#include "daemon/chat/json_text.hpp"

namespace shoal::chat {
namespace {

constexpr std::string_view kMessage = "<|message|>";
constexpr std::string_view kChannel = "<|channel|>";
constexpr std::string_view kTo = "to=";
constexpr std::string_view kFunctions = "functions.";
constexpr CallFrame kChannelCall{.body = Body::json};

/// The word behind a mark: up to a space or another mark.
std::string_view word_after(std::string_view text, std::string_view mark) noexcept {
    const std::size_t at = text.find(mark);
    if (at == std::string_view::npos) return {};
    text.remove_prefix(at + mark.size());
    return text.substr(0, text.find_first_of(" \t\r\n<"));
}

}  // namespace

void AnswerReader::begin_reasoning(std::size_t which) {
    if (held_section_) show_held();
    // Spaces before the first reasoning are nobody's.
    if (at_start_) held_.clear();
    state_ = State::reasoning;
    reasoned_ = false;
    if (format_.calls == CallFormat::harmony) return;
    reasoning_marks_ = {};
    reasoning_marks_.add({format_.reasoning[which].end, Role::reasoning_end, false, nullptr, 0});
}

void AnswerReader::end_reasoning() {
    held_reason_.clear();
    trim_ = true;
    state_ = State::content;
}

/// Spaces at both ends of reasoning are not part of it.
void AnswerReader::reason(std::string_view text) {
    if (!reasoned_) text.remove_prefix(std::min(text.find_first_not_of(kSpaces), text.size()));
    if (text.empty()) return;
    reasoned_ = true;
    const std::size_t visible = text.find_last_not_of(kSpaces) + 1;  // 0 when there is none
    if (visible > 0) {
        emit(EventKind::reasoning, held_reason_);
        held_reason_.clear();
        emit(EventKind::reasoning, text.substr(0, visible));
    }
    held_reason_ += text.substr(visible);
    if (held_reason_.size() <= kMaxHeldSpaces) return;
    const std::size_t fits = held_reason_.size() - kMaxHeldSpaces;
    emit(EventKind::reasoning, std::string_view(held_reason_).substr(0, fits));
    held_reason_.erase(0, fits);
}

/// Harmony's first header has no mark of its own when the prompt has written it: then the text
/// begins with a channel's mark, or with the recipient.
bool AnswerReader::step_opening() {
    const std::size_t first = pending_.find_first_not_of(kSpaces, at_);
    if (first == std::string::npos && pending_.size() - at_ < kMaxHeldSpaces) return false;
    const std::string_view rest =
        std::string_view(pending_).substr(std::min(first, pending_.size()));
    const std::size_t common = std::min(rest.size(), kTo.size());
    if (rest.substr(0, common) == kTo.substr(0, common) && common < kTo.size() && common > 0)
        return false;
    state_ = State::content;
    if (common == kTo.size() && rest.substr(0, common) == kTo) begin_channel(0);
    return true;
}

void AnswerReader::begin_channel(std::size_t mark_bytes) {
    state_ = State::channel;
    mark_bytes_ = mark_bytes;
}

bool AnswerReader::step_channel() {
    const std::string_view rest = std::string_view(pending_).substr(at_, kMaxHeaderBytes);
    const std::size_t message = rest.find(kMessage, mark_bytes_);
    if (message == std::string_view::npos && rest.size() < kMaxHeaderBytes) return false;
    state_ = State::content;
    if (message != std::string_view::npos &&
        route(rest.substr(0, message), message + kMessage.size())) {
        return true;
    }
    const std::size_t bytes =
        message == std::string_view::npos ? rest.size() : message + kMessage.size();
    visible(rest.substr(0, bytes));
    at_ += bytes;
    return true;
}

/// Where a message goes, by its header. false: nowhere that this knows.
bool AnswerReader::route(std::string_view header, std::size_t bytes) {
    const std::string_view recipient = word_after(header, kTo);
    const std::string_view channel = word_after(header, kChannel);
    if (recipient.substr(0, kFunctions.size()) == kFunctions) {
        const std::string name(recipient.substr(kFunctions.size()));
        if (!look_for_calls_ || !tools_.may_call(name)) return false;
        state_ = State::call;
        mark_bytes_ = bytes;
        body_.emplace(kChannelCall, tools_, name);
        return true;
    }
    if (!recipient.empty() && recipient != "user" && recipient != "all") return false;
    if (channel == "analysis") {
        begin_reasoning(0);
    } else if (channel == "final" || channel == "commentary") {
        if (shown_) held_ = "\n\n";
    } else {
        return false;
    }
    at_ += bytes;
    return true;
}

}  // namespace shoal::chat
