#include "daemon/http/dialects/openai/response_output.hpp"

#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/http/json_output.hpp"
#include "daemon/http/random_ids.hpp"
#include "daemon/http/sse.hpp"

namespace shoal::http::openai {
struct ResponseOutput::State {
    /// How a kind of item is told: its part, and the events of that.
    struct Form {
        const char* part;        ///< the part's type
        const char* index;       ///< what the part's place is called
        const char* member;      ///< where the parts are in the item
        const char* part_event;  ///< + ".added" and ".done"
        const char* text_event;  ///< + ".delta" and ".done"
    };
    static constexpr Form kText{"output_text", "content_index", "content", "response.content_part",
                                "response.output_text"};
    static constexpr Form kReasoning{"reasoning_text", "content_index", "content",
                                     "response.content_part", "response.reasoning_text"};
    static constexpr Form kSummary{"summary_text", "summary_index", "summary",
                                   "response.reasoning_summary_part",
                                   "response.reasoning_summary_text"};

    const bool summary;
    std::uint64_t sequence = 0;
    Json items = Json::array();
    const Form* open = nullptr;  ///< of the item that is open
    Json item;                   ///< the open one, without its part
    std::string text;
    Json logprobs = Json::array();

    std::string tell(const std::string& type, Json members) {
        Json out = {{"type", type}, {"sequence_number", sequence++}};
        out.update(members);
        return sse_event(type, dump(out));
    }
    Json at_part() const {
        return {{"item_id", item["id"]}, {"output_index", items.size()}, {open->index, 0}};
    }
    std::string tell_part(const std::string& type, Json members) {
        Json all = at_part();
        all.update(members);
        return tell(type, std::move(all));
    }
    Json part() const {
        Json out = {{"type", open->part}, {"text", text}};
        if (open == &kText) out["annotations"] = Json::array(), out["logprobs"] = logprobs;
        return out;
    }

    std::string begin(const Form& form) {
        open = &form;
        text.clear();
        logprobs = Json::array();
        if (open == &kText) {
            item = {{"id", random_id("msg_")},
                    {"type", "message"},
                    {"status", "in_progress"},
                    {"role", "assistant"},
                    {"content", Json::array()}};
        } else {
            item = {{"id", random_id("rs_")},
                    {"type", "reasoning"},
                    {"status", "in_progress"},
                    {"summary", Json::array()}};
            if (!summary) item["content"] = Json::array();
        }
        std::string out =
            tell("response.output_item.added", {{"output_index", items.size()}, {"item", item}});
        return out + tell_part(std::string(open->part_event) + ".added", {{"part", part()}});
    }

    std::string close(const char* status) {
        if (open == nullptr) return {};
        Json whole = {{"text", text}};
        if (open == &kText) whole["logprobs"] = logprobs;
        std::string out = tell_part(std::string(open->text_event) + ".done", std::move(whole));
        out += tell_part(std::string(open->part_event) + ".done", {{"part", part()}});
        item[open->member].push_back(part());
        item["status"] = status;
        open = nullptr;
        return out + done();
    }
    /// The item's end, whatever it is.
    std::string done() {
        std::string out =
            tell("response.output_item.done", {{"output_index", items.size()}, {"item", item}});
        items.push_back(std::move(item));
        return out;
    }

    std::string add(const Form& form, const std::string& more, Json members) {
        std::string out;
        if (open != &form) {
            out = close("completed");
            out += begin(form);
        }
        text += more;
        members["delta"] = more;
        return out + tell_part(std::string(form.text_event) + ".delta", std::move(members));
    }
};

ResponseOutput::ResponseOutput(bool summary) : state_(new State{.summary = summary}) {}

ResponseOutput::~ResponseOutput() = default;

std::string ResponseOutput::tell(const std::string& type, const Json& response) {
    return state_->tell(type, {{"response", response}});
}

std::string ResponseOutput::add_reasoning(const std::string& text) {
    return state_->add(state_->summary ? State::kSummary : State::kReasoning, text, Json::object());
}

std::string ResponseOutput::add_text(const std::string& text, const Json& logprobs) {
    std::string out = state_->add(State::kText, text, {{"logprobs", logprobs}});
    for (const Json& one : logprobs) state_->logprobs.push_back(one);
    return out;
}

std::string ResponseOutput::add_call(const mesh::messages::ToolCall& call) {
    State& s = *state_;
    std::string out = s.close("completed");
    s.item = {{"id", random_id("fc_")}, {"type", "function_call"}, {"status", "in_progress"},
              {"call_id", call.id},     {"name", call.name},       {"arguments", ""}};
    const Json at = {{"item_id", s.item["id"]}, {"output_index", s.items.size()}};
    const auto tell = [&](const char* type, Json members) {
        Json all = at;
        all.update(members);
        out += s.tell(type, std::move(all));
    };
    out +=
        s.tell("response.output_item.added", {{"output_index", s.items.size()}, {"item", s.item}});
    tell("response.function_call_arguments.delta", {{"delta", call.arguments}});
    tell("response.function_call_arguments.done",
         {{"name", call.name}, {"arguments", call.arguments}});
    s.item["arguments"] = call.arguments;
    s.item["status"] = "completed";
    return out + s.done();
}

std::string ResponseOutput::close(const char* status) {
    return state_->close(status);
}

const Json& ResponseOutput::items() const noexcept {
    return state_->items;
}

}  // namespace shoal::http::openai
