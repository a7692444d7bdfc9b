#include "daemon/chat/prompt.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "daemon/chat/answer_format.hpp"
#include "daemon/chat/json_text.hpp"
#include "daemon/jinja/template.hpp"

namespace shoal::chat {
namespace {

using jinja::Origin;
using jinja::Value;
using Entries = std::vector<std::pair<Value, Value>>;

constexpr std::string_view kChatMl =
    "{%- if tools %}{{ '<|im_start|>system\n' }}"
    "{%- if messages and messages[0].role == 'system' %}{{ messages[0].content + '\n\n' }}"
    "{%- endif %}"
    "{{ '# Tools\n\nYou may call these functions:\n<tools>' }}"
    "{%- for tool in tools %}{{ '\n' }}{{ tool | tojson }}{% endfor %}"
    "{{ '\n</tools>\n\nFor each call, return a JSON object within tags:\n"
    "<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>"
    "<|im_end|>\n' }}{% endif %}"
    "{%- for message in messages %}"
    "{%- if message.role == 'tool' %}"
    "{{ '<|im_start|>user\n<tool_response>\n' + message.content + "
    "'\n</tool_response><|im_end|>\n' }}"
    "{%- elif not (tools and loop.first and message.role == 'system') %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content }}"
    "{%- for call in message.tool_calls or [] %}"
    "{{ '\n<tool_call>\n' }}{{ call.function | tojson }}{{ '\n</tool_call>' }}"
    "{%- endfor %}"
    "{{ '<|im_end|>\n' }}"
    "{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

// What a model is told of tools by us, where its template does not.
constexpr std::string_view kToolsBefore =
    "You may call functions. To call one, answer with a JSON object and nothing else:\n"
    "{\"name\": \"the function's name\", \"arguments\": {...}}\nThe functions:";

constexpr std::array<std::string_view, 9> kRoles{"system",    "developer", "user",
                                                 "assistant", "tool",      "function",
                                                 "ipython",   "model",     "tool_response"};

Value key(std::string_view name) {
    return Value::trusted(std::string(name));
}

Value role(const std::string& name) {
    const bool known = std::find(kRoles.begin(), kRoles.end(), name) != kRoles.end();
    return known ? Value::trusted(name) : Value::input(name);
}

Value object(std::string_view json) {
    return Value::from_json(json.empty() ? "{}" : json, Origin::input);
}

Value call_value(const Call& call) {
    Entries out;
    if (!call.id.empty()) out.emplace_back(key("id"), Value::input(call.id));
    out.emplace_back(key("type"), Value::trusted("function"));
    out.emplace_back(key("function"), Value::dict({{key("name"), Value::input(call.name)},
                                                   {key("arguments"), object(call.arguments)}}));
    return Value::dict(std::move(out));
}

Value message_value(const Message& message) {
    Entries out{{key("role"), role(message.role)}, {key("content"), Value::input(message.content)}};
    const auto add = [&](const char* name, const std::string& text) {
        if (!text.empty()) out.emplace_back(key(name), Value::input(text));
    };
    add("reasoning_content", message.reasoning);
    add("tool_call_id", message.tool_call_id);
    add("name", message.name);
    if (!message.tool_calls.empty()) {
        std::vector<Value> calls;
        for (const Call& call : message.tool_calls) calls.push_back(call_value(call));
        out.emplace_back(key("tool_calls"), Value::list(std::move(calls)));
    }
    return Value::dict(std::move(out));
}

std::string described(const std::vector<Tool>& tools) {
    std::string text(kToolsBefore);
    for (const Tool& tool : tools) text += '\n' + tool_json(tool);
    return text;
}

using Given = std::vector<JsonMember>;

const JsonMember* find(const Given& given, std::string_view name) noexcept {
    const auto found = std::find_if(given.begin(), given.end(),
                                    [name](const JsonMember& each) { return each.name == name; });
    return found == given.end() ? nullptr : &*found;
}

/// Whether the answer goes on with the last message. An empty one is a new one.
bool continues(const Conversation& conversation, const Given& given) {
    const JsonMember* asked = find(given, "continue_final_message");
    if (asked != nullptr && asked->value != "true") return false;
    const Message* last = conversation.messages.empty() ? nullptr : &conversation.messages.back();
    const bool can = last != nullptr && last->role == "assistant" && last->tool_calls.empty();
    if (asked != nullptr && !can) {
        throw jinja::JsonError(
            "continue_final_message wants a last message of the assistant, without calls");
    }
    return can && !last->content.empty() &&
           (asked != nullptr || find(given, "add_generation_prompt") == nullptr);
}

/// The template's variables that a request gives, but for those that are made.
void add_given(const Given& given, bool continued, Entries& out) {
    const auto add = [&out](std::string_view name, std::string_view json) {
        out.emplace_back(key(name), Value::from_json(json, Origin::input));
    };
    for (const JsonMember& each : given) {
        if (each.name == "messages" || each.name == "tools") continue;
        if (continued && each.name == "add_generation_prompt") continue;
        add(each.name, each.value);
    }
    constexpr std::string_view kOneThing[] = {"enable_thinking", "thinking"};
    for (const std::size_t i : {0, 1}) {
        const JsonMember* here = find(given, kOneThing[i]);
        if (here != nullptr && find(given, kOneThing[1 - i]) == nullptr) {
            add(kOneThing[1 - i], here->value);
        }
    }
}

Value variables(const Conversation& conversation, const ChatTemplate& from, const Given& given,
                bool continued) {
    const bool tools =
        !conversation.tools.empty() && conversation.tool_choice.kind != ToolChoice::Kind::none;
    const bool knows_tools = from.source.find("tools") != std::string::npos;
    std::vector<Message> messages = conversation.messages;
    if (continued) messages.pop_back();
    if (tools && !knows_tools) {
        if (messages.empty() || messages.front().role != "system") {
            messages.insert(messages.begin(), Message{.role = "system"});
        }
        std::string& content = messages.front().content;
        content += (content.empty() ? "" : "\n\n") + described(conversation.tools);
    }
    std::vector<Value> all, kinds;
    for (const Message& message : messages) all.push_back(message_value(message));
    for (const Tool& tool : conversation.tools) kinds.push_back(object(tool_json(tool)));
    Entries out{
        {key("messages"), Value::list(std::move(all))},
        {key("tools"), tools && knows_tools ? Value::list(std::move(kinds)) : Value::none()},
        {key("bos_token"), Value::trusted(from.bos)},
        {key("eos_token"), Value::trusted(from.eos)},
        {key("add_generation_prompt"), Value::boolean(true)}};
    add_given(given, continued, out);
    return Value::dict(std::move(out));
}

/// The beginning of the answer behind what the template has written for one. Reasoning that it
/// has opened is over: what is gone on with is said.
void append_beginning(Prompt& prompt, const Message& message, const ChatTemplate& from) {
    const AnswerFormat format = detect(from.source);
    if (format.calls == CallFormat::harmony) {
        prompt.append("<|channel|>final<|message|>", false);
    } else if (const std::string end = format.end_of_reasoning(prompt.open_end()); !end.empty()) {
        prompt.append(message.reasoning, true);
        prompt.append(end, false);
    }
    prompt.append(message.content, true);
}

}  // namespace

std::string_view Prompt::open_end() const noexcept {
    std::size_t bytes = 0;
    for (auto stretch = stretches.rbegin(); stretch != stretches.rend(); ++stretch) {
        if (stretch->literal) break;
        bytes += stretch->bytes;
    }
    return std::string_view(text).substr(text.size() - bytes);
}

void Prompt::append(std::string_view more, bool literal) {
    if (more.empty()) return;
    text += more;
    stretches.push_back({more.size(), literal});
}

std::string_view built_in_template() noexcept {
    return kChatMl;
}

std::variant<Prompt, std::string> make_prompt(const Conversation& conversation,
                                              const ChatTemplate& from, const std::tm& now) {
    try {
        const auto parsed =
            from.parsed ? *from.parsed : jinja::Template::parse(from.source, from.name);
        const Given given = members(conversation.template_kwargs).value_or(Given());
        const bool continued = continues(conversation, given);
        const Value values = variables(conversation, from, given, continued);
        Prompt prompt;
        for (const jinja::Span& span : parsed.render(values, now).spans) {
            prompt.append(span.text, span.from_input);
        }
        if (continued) append_beginning(prompt, conversation.messages.back(), from);
        return prompt;
    } catch (const jinja::TemplateError& e) {
        return e.raised_by_template()
                   ? "the model's chat template refuses the conversation: " + e.message()
                   : std::string(e.what());
    } catch (const jinja::JsonError& e) {
        return std::string("the conversation: ") + e.what();
    }
}

}  // namespace shoal::chat
