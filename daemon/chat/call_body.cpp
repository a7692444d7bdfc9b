#include "daemon/chat/call_body.hpp"

#include <algorithm>

#include "daemon/chat/call_readers.hpp"

namespace shoal::chat {
namespace {

constexpr std::string_view kFence = "```json";

enum class Match { no, part, yes };

Match starts_with(std::string_view text, std::string_view what) noexcept {
    const std::size_t common = std::min(text.size(), what.size());
    if (text.substr(0, common) != what.substr(0, common)) return Match::no;
    return common == what.size() ? Match::yes : Match::part;
}

std::string_view after_spaces(std::string_view text) noexcept {
    return text.substr(std::min(text.find_first_not_of(kSpaces), text.size()));
}

/// Whether JSON without a mark before it begins as calls do: an object, maybe in a list, whose
/// first name is one of a call's.
Match begins_as_call(std::string_view text) noexcept {
    const bool full = text.size() >= kMaxHeaderBytes;
    text = text.substr(0, kMaxHeaderBytes);
    if (!text.empty() && text.front() == '[') text = after_spaces(text.substr(1));
    if (!text.empty() && text.front() != '{') return Match::no;
    if (!text.empty()) text = after_spaces(text.substr(1));
    Match best = text.empty() ? Match::part : Match::no;
    for (const std::string_view name :
         {"\"name\"", "\"function\"", "\"type\"", "\"id\"", "\"arguments\"", "\"parameters\"",
          "\"tool_name\"", "\"tool_call\"", "\"tool_calls\"", "\"tool_call_id\""}) {
        best = std::max(best, starts_with(text, name));
    }
    return best == Match::part && full ? Match::no : best;
}

bool of_a_name(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '.' || c == '-' || static_cast<unsigned char>(c) >= 0x80;
}

/// Whether Python begins as calls do: maybe a bracket, a name, a parenthesis.
Match begins_as_python(std::string_view text, bool bracket) noexcept {
    const bool full = text.size() >= kMaxHeaderBytes;
    text = text.substr(0, kMaxHeaderBytes);
    if (bracket) text = after_spaces(text.substr(1));
    const auto* const end = std::find_if_not(text.begin(), text.end(), of_a_name);
    if (end == text.end()) return full ? Match::no : Match::part;
    return end != text.begin() && *end == '(' ? Match::yes : Match::no;
}

}  // namespace

// A mark of words may be words; one with brackets is not written by chance.
CallBody::CallBody(const CallFrame& frame, const ToolTable& tools, bool single_member)
    : frame_(frame),
      tools_(tools),
      single_member_(single_member),
      certain_(frame.begin.find_first_of("<[") != std::string_view::npos) {}

CallBody::CallBody(const CallFrame& frame, const ToolTable& tools, std::string name)
    : CallBody(frame, tools, false) {
    certain_ = true;
    header_ = Call{{}, std::move(name), {}};
}

CallBody::State CallBody::read(std::string_view text) {
    const bool full = text.size() >= kMaxCallBytes;
    text = text.substr(0, kMaxCallBytes);
    State state = State::more;
    if (phase_ == Phase::lead) state = lead(text);
    if (state == State::more) {
        switch (phase_) {
            case Phase::lead:
                break;
            case Phase::named:
                state = header(text);
                break;
            case Phase::json:
                state = json(text);
                break;
            case Phase::python:
                state = python(text);
                break;
            case Phase::marked:
                state = marked(text);
                break;
        }
    }
    // The arguments may begin in the same text as the header ends.
    if (state == State::more && phase_ == Phase::json && at_ < text.size()) state = json(text);
    return state == State::more && full ? refused(kMaxCallBytes) : state;
}

/// Tells from the first bytes how to go on.
CallBody::State CallBody::lead(std::string_view text) {
    switch (frame_.body) {
        case Body::function_tags:
        case Body::invoke_tags:
        case Body::argument_tags:
        case Body::braces:
        case Body::python_lines:
            return begin(Phase::marked, 0);
        case Body::named_json:
            return begin(Phase::named, 0);
        case Body::channel:
            return refused(0);  // read by ChannelHeader
        default:
            break;
    }
    while (at_ < text.size() && kSpaces.find(text[at_]) != std::string_view::npos) ++at_;
    if (at_ >= kMaxHeaderBytes) return refused(kMaxHeaderBytes);
    if (at_ == text.size()) return State::more;
    const std::string_view rest = text.substr(at_);
    if (frame_.body == Body::python) {
        if (rest.front() != '[') return refused(at_);
        const Match match = begins_as_python(rest, true);
        if (match == Match::part) return State::more;
        if (match == Match::no) return refused(at_ + 1);
        certain_ = true;
        return begin(Phase::python, at_);
    }
    if (rest.front() == '{' || rest.front() == '[') {
        if (frame_.only_first) {
            const Match match = begins_as_call(rest);
            if (match == Match::part) return State::more;
            if (match == Match::no) return refused(at_ + 1);
            certain_ = true;
        }
        return begin(Phase::json, at_);
    }
    if (frame_.body == Body::json_or_named) return begin(Phase::named, 0);
    if (frame_.body == Body::json_or_python) {
        const Match match = begins_as_python(rest, false);
        if (match == Match::part) return State::more;
        return match == Match::no ? refused(at_) : begin(Phase::python, at_);
    }
    const Match fence = fenced_ ? Match::no : starts_with(rest, kFence);
    if (fence == Match::part) return State::more;
    if (fence == Match::no) return refused(at_);
    fenced_ = true;
    at_ += kFence.size();
    return lead(text);
}

CallBody::State CallBody::header(std::string_view text) {
    const std::string_view allowed = text.substr(0, kMaxHeaderBytes);
    if (frame_.header == Header::line) {
        // Whom the message is for: everyone, or a function.
        constexpr std::string_view kEveryone = "all\n";
        const Match match = starts_with(text, kEveryone);
        if (match == Match::part) return State::more;
        if (match == Match::yes) {
            end_ = kEveryone.size();
            return State::said;
        }
        const std::size_t line = allowed.find('\n');
        if (line == std::string_view::npos) {
            return allowed.size() == kMaxHeaderBytes ? refused(kMaxHeaderBytes) : State::more;
        }
        if (!tools_.may_call(trimmed(allowed.substr(0, line)))) return refused(line);
    }
    const std::size_t brace = allowed.find('{', at_);
    if (brace == std::string_view::npos) {
        at_ = allowed.size();
        return allowed.size() == kMaxHeaderBytes ? refused(kMaxHeaderBytes) : State::more;
    }
    header_ = read_header(frame_.header, allowed.substr(0, brace));
    if (!header_ || !tools_.may_call(header_->name)) return refused(brace);
    certain_ = true;
    return begin(Phase::json, brace);
}

CallBody::State CallBody::json(std::string_view text) {
    while (at_ < text.size()) {
        const JsonEnd::State state = json_end_.feed(text[at_]);
        if (state == JsonEnd::State::bad) return refused(std::max<std::size_t>(at_, 1));
        ++at_;
        if (state == JsonEnd::State::more) continue;
        const std::string_view whole = text.substr(begin_, at_ - begin_);
        if (!header_) return ended(at_, json_calls(whole, single_member_));
        if (!is_json_object(whole)) return refused(at_);
        header_->arguments = whole;
        return ended(at_, std::vector<Call>{*header_});
    }
    return State::more;
}

CallBody::State CallBody::python(std::string_view text) {
    while (at_ < text.size()) {
        const PythonEnd::State state = python_end_.feed(text[at_]);
        if (state == PythonEnd::State::bad) return refused(std::max<std::size_t>(at_, 1));
        ++at_;
        if (state == PythonEnd::State::more) continue;
        return ended(at_, python_calls(text.substr(begin_, at_ - begin_)));
    }
    return State::more;
}

CallBody::State CallBody::marked(std::string_view text) {
    const std::size_t found = text.find(frame_.end, at_);
    if (found == std::string_view::npos) {
        at_ = text.size() - std::min(text.size(), frame_.end.size() - 1);
        return State::more;
    }
    const std::string_view body = text.substr(0, found);
    const std::size_t end = found + frame_.end.size();
    if (frame_.body == Body::python_lines) return ended(end, python_calls(body));
    std::optional<Call> call;
    if (frame_.body == Body::function_tags) call = function_tags_call(body, tools_);
    if (frame_.body == Body::invoke_tags) call = invoke_tags_call(body, frame_.quote, tools_);
    if (frame_.body == Body::argument_tags) call = argument_tags_call(body, tools_);
    if (frame_.body == Body::braces) call = braces_call(body, frame_.quote);
    if (!call) return refused(end);
    return ended(end, std::vector<Call>{std::move(*call)});
}

CallBody::State CallBody::ended(std::size_t end, std::optional<std::vector<Call>> calls) {
    const auto unknown = [this](const Call& call) {
        return !tools_.may_call(call.name) || !is_json_object(call.arguments, kMaxArgumentDepth);
    };
    if (!calls || calls->empty() || std::any_of(calls->begin(), calls->end(), unknown)) {
        return refused(end);
    }
    end_ = end;
    calls_ = std::move(*calls);
    return State::done;
}

CallBody::State CallBody::refused(std::size_t end) noexcept {
    end_ = end;
    return State::text;
}

CallBody::State CallBody::begin(Phase phase, std::size_t at) noexcept {
    phase_ = phase;
    begin_ = at_ = at;
    return State::more;
}

}  // namespace shoal::chat
