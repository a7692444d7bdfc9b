#include "daemon/chat/call_syntax.hpp"

#include <algorithm>

namespace shoal::chat {
namespace {

using F = CallFormat;

constexpr std::string_view kToolCall = "<tool_call>";
constexpr std::string_view kToolCallEnd = "</tool_call>";
constexpr ArgumentPieces kKeywords = {.between = "=", .separator = ", "};
constexpr CallPieces kHermesPieces = {.before = "<tool_call>\n{\"name\": \"",
                                      .between = "\", \"arguments\": ",
                                      .after = "}\n</tool_call>",
                                      .separator = "\n"};

/// A list of objects with name and arguments between two marks.
CallSyntax list_between(F format, std::string_view name, std::string_view begin,
                        std::string_view end, CallPieces pieces) {
    pieces.before = "{\"name\": \"";
    pieces.between = "\", \"arguments\": ";
    pieces.after = "}";
    pieces.separator = ", ";
    CallSyntax syntax{.format = format, .name = name, .shown_by = {begin}};
    syntax.frames = {{.begin = begin, .body = Body::json}};
    syntax.after = {end};
    syntax.pieces = pieces;
    return syntax;
}

/// One family's template says <tool_call> beside <tool_calls>.
CallSyntax tool_calls_list() {
    CallSyntax syntax =
        list_between(F::tool_calls_list, "tool_calls_list", "<tool_calls>", "</tool_calls>",
                     {.open = "<tool_calls>[", .close = "]</tool_calls>"});
    syntax.frames.push_back({.begin = kToolCall});
    syntax.after.push_back(kToolCallEnd);
    return syntax;
}

/// Sections of calls, each a name and arguments between marks.
std::vector<CallSyntax> sections() {
    return {
        {.format = F::dsml,
         .name = "dsml",
         .shown_by = {"｜DSML｜"},
         .frames = {{.begin = "<｜DSML｜invoke name=\"",
                     .body = Body::invoke_tags,
                     .end = "</｜DSML｜invoke>",
                     .quote = "｜DSML｜"}},
         .before = {"<｜DSML｜tool_calls>", "<｜DSML｜function_calls>"},
         .after = {"</｜DSML｜tool_calls>", "</｜DSML｜function_calls>"},
         .pieces = {.open = "<｜DSML｜tool_calls>\n",
                    .before = "<｜DSML｜invoke name=\"",
                    .between = "\">\n",
                    .after = "\n</｜DSML｜invoke>\n",
                    .close = "</｜DSML｜tool_calls>",
                    .arguments = {.before = "<｜DSML｜parameter name=\"",
                                  .between = "\" string=\"false\">",
                                  .after = "</｜DSML｜parameter>",
                                  .separator = "\n",
                                  .between_text = "\" string=\"true\">"}}},
        {.format = F::deepseek,
         .name = "deepseek",
         .shown_by = {"<｜tool▁call▁begin｜>", "<｜tool▁calls▁begin｜>"},
         .frames = {{.begin = "<｜tool▁call▁begin｜>",
                     .body = Body::named_json,
                     .header = Header::deepseek}},
         .before = {"<｜tool▁calls▁begin｜>"},
         .after = {"```<｜tool▁call▁end｜>", "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"},
         .inner = {"<｜tool▁sep｜>"},
         .pieces = {.open = "<｜tool▁calls▁begin｜>",
                    .before = "<｜tool▁call▁begin｜>",
                    .between = "<｜tool▁sep｜>",
                    .after = "<｜tool▁call▁end｜>",
                    .close = "<｜tool▁calls▁end｜>"}},
        {.format = F::kimi,
         .name = "kimi",
         .shown_by = {"<|tool_call_argument_begin|>"},
         .frames = {{.begin = "<|tool_call_begin|>",
                     .body = Body::named_json,
                     .header = Header::kimi}},
         .before = {"<|tool_calls_section_begin|>"},
         .after = {"<|tool_call_end|>", "<|tool_calls_section_end|>"},
         .inner = {"<|tool_call_argument_begin|>"},
         .pieces = {.open = "<|tool_calls_section_begin|>",
                    .before = "<|tool_call_begin|>functions.",
                    .between = ":0<|tool_call_argument_begin|>",
                    .after = "<|tool_call_end|>",
                    .close = "<|tool_calls_section_end|>"}},
        {.format = F::solar,
         .name = "solar",
         .shown_by = {"<|tool_call:begin|>"},
         .frames = {{.begin = "<|tool_call:begin|>",
                     .body = Body::named_json,
                     .header = Header::solar}},
         .before = {"<|tool_calls|>"},
         .after = {"<|tool_call:end|>"},
         .inner = {"<|tool_call:name|>", "<|tool_call:args|>"},
         .stops = {"<|calls|>"},
         .pieces = {.open = "<|tool_calls|>",
                    .before = "<|tool_call:begin|>0<|tool_call:name|>",
                    .between = "<|tool_call:args|>",
                    .after = "<|tool_call:end|>"}},
        {.format = F::mcp,
         .name = "mcp",
         .shown_by = {"<use_mcp_tool>"},
         .frames = {{.begin = "<server_name>", .body = Body::named_json, .header = Header::server},
                    {.begin = kToolCall}},
         .before = {"<use_mcp_tool>"},
         .after = {"</arguments>", "</use_mcp_tool>", kToolCallEnd},
         .pieces = {.open = "<use_mcp_tool>",
                    .before = "\n<server_name>default</server_name>\n<tool_name>",
                    .between = "</tool_name>\n<arguments>\n",
                    .after = "\n</arguments>",
                    .close = "\n</use_mcp_tool>"}},
    };
}

/// Ways whose first mark is a special token, and those of Mistral.
std::vector<CallSyntax> tokens() {
    return {
        {.format = F::mistral,
         .name = "mistral",
         .shown_by = {"[TOOL_CALLS]"},
         .frames = {{.begin = "[TOOL_CALLS]",
                     .body = Body::json_or_named,
                     .header = Header::mistral}},
         .inner = {"[CALL_ID]", "[ARGS]"},
         .pieces = {.before = "[TOOL_CALLS]", .between = "[ARGS]"}},
        {.format = F::command_r,
         .name = "command_r",
         .shown_by = {"<|START_ACTION|>"},
         .frames = {{.begin = "<|START_ACTION|>"}},
         .after = {"<|END_ACTION|>"},
         .pieces = {.open = "<|START_ACTION|>[\n    ",
                    .before = "{\"tool_call_id\": \"0\", \"tool_name\": \"",
                    .between = "\", \"parameters\": ",
                    .after = "}",
                    .separator = ",\n    ",
                    .close = "\n]<|END_ACTION|>"}},
        {.format = F::harmony,
         .name = "harmony",
         .shown_by = {"<|channel|>"},
         .frames = {{.begin = "<|channel|>", .body = Body::channel},
                    {.begin = "<|start|>", .body = Body::channel}},
         .inner = {"<|message|>", "<|constrain|>"},
         .stops = {"<|call|>", "<|return|>"},
         .pieces = {.before = "<|channel|>commentary to=functions.",
                    .between = " <|constrain|>json<|message|>",
                    .after = "<|call|>"}},
        {.format = F::gemma,
         .name = "gemma",
         .shown_by = {"<|tool_call>"},
         .frames = {{.begin = "<|tool_call>call:",
                     .body = Body::braces,
                     .end = "<tool_call|>",
                     .quote = "<|\"|>"}},
         .stops = {"<|tool_response>"},
         .pieces = {.before = "<|tool_call>call:", .after = "<tool_call|>"}},
        {.format = F::function_gemma,
         .name = "function_gemma",
         .shown_by = {"<start_function_call>"},
         .frames = {{.begin = "<start_function_call>call:",
                     .body = Body::braces,
                     .end = "<end_function_call>",
                     .quote = "<escape>"}},
         .stops = {"<start_function_response>"},
         .pieces = {.before = "<start_function_call>call:", .after = "<end_function_call>"}},
        {.format = F::apertus,
         .name = "apertus",
         .shown_by = {"<|tools_prefix|>"},
         .frames = {{.begin = "<|tools_prefix|>"}},
         .stops = {"<|tools_suffix|>"},
         .pieces = {.open = "<|tools_prefix|>[",
                    .before = "{\"",
                    .between = "\": ",
                    .after = "}",
                    .separator = ", ",
                    .close = "]<|tools_suffix|>"}},
        list_between(F::tool_call_list, "tool_call_list", "<|tool_call|>", "<|/tool_call|>",
                     {.open = "<|tool_call|>[", .close = "]"}),
        {.format = F::internlm,
         .name = "internlm",
         .shown_by = {"<|action_start|>"},
         .frames = {{.begin = "<|plugin|>"}},
         .before = {"<|action_start|>"},
         .after = {"<|action_end|>"},
         .pieces = {.before = "<|action_start|><|plugin|>\n{\"name\": \"",
                    .between = "\", \"parameters\": ",
                    .after = "}<|action_end|>",
                    .separator = "\n"}},
        {.format = F::gigachat,
         .name = "gigachat",
         .shown_by = {"<|function_call|>"},
         .frames = {{.begin = "<|function_call|>"}},
         .stops = {"<|message_sep|>"},
         .pieces = {.before = "<|function_call|>{\"name\": \"",
                    .between = "\", \"arguments\": ",
                    .after = "}"}},
        {.format = F::gigachat_role,
         .name = "gigachat_role",
         .shown_by = {"'function call'"},
         .frames = {{.begin = "function call<|role_sep|>\n"}},
         .before = {"<|message_sep|>\n\n"},
         .after = {"<|message_sep|>"},
         .pieces = {.before = "<|message_sep|>\n\nfunction call<|role_sep|>\n{\"name\": \"",
                    .between = "\", \"arguments\": ",
                    .after = "}"}},
        {.format = F::pythonic_marks,
         .name = "pythonic_marks",
         .shown_by = {"<|tool_call_start|>", "<|tool_list_start|>"},
         .frames = {{.begin = "<|tool_call_start|>", .body = Body::python}},
         .after = {"<|tool_call_end|>"},
         .pieces = {.open = "<|tool_call_start|>[",
                    .between = "(",
                    .after = ")",
                    .separator = ", ",
                    .close = "]<|tool_call_end|>",
                    .arguments = kKeywords}},
    };
}

/// Ways of tags and lists that are text.
std::vector<CallSyntax> tags() {
    return {
        {.format = F::functionary_recipients,
         .name = "functionary_recipients",
         .shown_by = {">>>all", ">>>${recipient}"},
         .frames = {{.begin = ">>>", .body = Body::named_json, .header = Header::line}},
         .pieces = {.before = ">>>", .between = "\n"}},
        {.format = F::glm,
         .name = "glm",
         .shown_by = {"<arg_key>"},
         .frames = {{.begin = kToolCall, .body = Body::argument_tags, .end = kToolCallEnd}},
         .inner = {"<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"},
         .stops = {"<|observation|>"},
         .pieces = {.before = "<tool_call>",
                    .after = "</tool_call>",
                    .separator = "\n",
                    .arguments = {.before = "<arg_key>",
                                  .between = "</arg_key><arg_value>",
                                  .after = "</arg_value>",
                                  .between_text = "</arg_key><arg_value>"}}},
        {.format = F::function_tags,
         .name = "function_tags",
         .shown_by = {"<parameter="},
         .frames = {{.begin = "<function=", .body = Body::function_tags, .end = "</function>"}},
         .before = {kToolCall, "<seed:tool_call>"},
         .after = {kToolCallEnd, "</seed:tool_call>"},
         .pieces = {.before = "<tool_call>\n<function=",
                    .between = ">\n",
                    .after = "\n</function>\n</tool_call>",
                    .separator = "\n",
                    .arguments = {.before = "<parameter=",
                                  .between = ">\n",
                                  .after = "</parameter>",
                                  .separator = "\n",
                                  .between_text = ">\n"}}},
        {.format = F::invoke_tags,
         .name = "invoke_tags",
         .shown_by = {"<invoke name="},
         .frames = {{.begin = "<invoke name=\"", .body = Body::invoke_tags, .end = "</invoke>"}},
         .before = {"<minimax:tool_call>", "<function_calls>"},
         .after = {"</minimax:tool_call>", "</function_calls>"},
         .pieces = {.open = "<minimax:tool_call>\n",
                    .before = "<invoke name=\"",
                    .between = "\">\n",
                    .after = "\n</invoke>\n",
                    .close = "</minimax:tool_call>",
                    .arguments = {.before = "<parameter name=\"",
                                  .between = "\">",
                                  .after = "</parameter>",
                                  .separator = "\n",
                                  .between_text = "\">"}}},
        {.format = F::pythonic_lines,
         .name = "pythonic_lines",
         .shown_by = {"<function_calls>"},
         .frames = {{.begin = "<function_calls>",
                     .body = Body::python_lines,
                     .end = "</function_calls>"}},
         .pieces = {.open = "<function_calls>",
                    .between = "(",
                    .after = ")",
                    .separator = "\n",
                    .close = "</function_calls>",
                    .arguments = kKeywords}},
        {.format = F::functionary_tags,
         .name = "functionary_tags",
         .shown_by = {"<function="},
         .frames = {{.begin = "<function=", .body = Body::named_json, .header = Header::angle}},
         .after = {"</function>"},
         .stops = {"<|eom_id|>"},
         .pieces = {.before = "<function=", .between = ">", .after = "</function>"}},
        list_between(F::nemotron_list, "nemotron_list", "<TOOLCALL>", "</TOOLCALL>",
                     {.open = "<TOOLCALL>[", .close = "]</TOOLCALL>"}),
        tool_calls_list(),
        {.format = F::hermes,
         .name = "hermes",
         .shown_by = {kToolCall},
         .frames = {{.begin = kToolCall}},
         .after = {kToolCallEnd},
         .pieces = kHermesPieces},
    };
}

/// Ways without marks, or with words as marks.
std::vector<CallSyntax> bare() {
    return {
        {.format = F::functools,
         .name = "functools",
         .shown_by = {"functools["},
         .frames = {{.begin = "functools"}},
         .pieces = {.open = "functools[",
                    .before = "{\"name\": \"",
                    .between = "\", \"arguments\": ",
                    .after = "}",
                    .separator = ", ",
                    .close = "]"}},
        {.format = F::command_r_plus,
         .name = "command_r_plus",
         .shown_by = {"Write 'Action:'"},
         .frames = {{.begin = "Action:"}},
         .after = {"```"},
         .pieces = {.open = "Action: ```json\n[",
                    .before = "{\"tool_name\": \"",
                    .between = "\", \"parameters\": ",
                    .after = "}",
                    .separator = ", ",
                    .close = "]\n```"}},
        {.format = F::pythonic,
         .name = "pythonic",
         .shown_by = {"[func_name1(", "<|python_start|>"},
         .frames = {{.begin = "<|python_start|>", .body = Body::python},
                    {.body = Body::python, .only_first = true}},
         .after = {"<|python_end|>"},
         .stops = {"<|eom|>"},
         .pieces = {.open = "[",
                    .between = "(",
                    .after = ")",
                    .separator = ", ",
                    .close = "]",
                    .arguments = kKeywords}},
        {.format = F::llama,
         .name = "llama",
         .shown_by = {"<|python_tag|>", "{\"name\": function name", "\"parameters\": dictionary"},
         .frames = {{.begin = "<|python_tag|>", .body = Body::json_or_python},
                    {.only_first = true}},
         .after = {";", ","},
         .stops = {"<|eom_id|>"},
         .pieces = {.before = "{\"name\": \"",
                    .between = "\", \"parameters\": ",
                    .after = "}",
                    .separator = "; "}},
        {.format = F::generic,
         .name = "generic",
         .frames = {{.begin = kToolCall},
                    {.begin = "```json", .only_first = true},
                    {.only_first = true}},
         .after = {kToolCallEnd, "```", ","},
         .pieces = kHermesPieces},
    };
}

std::vector<CallSyntax> all() {
    std::vector<CallSyntax> rows;
    for (const auto& part : {sections(), tokens(), tags(), bare()}) {
        rows.insert(rows.end(), part.begin(), part.end());
    }
    return rows;
}

}  // namespace

const std::vector<CallSyntax>& call_syntaxes() {
    static const std::vector<CallSyntax> kRows = all();
    return kRows;
}

const CallSyntax& syntax_of(CallFormat format) {
    const auto& rows = call_syntaxes();
    return *std::find_if(rows.begin(), rows.end(),
                         [format](const CallSyntax& row) { return row.format == format; });
}

}  // namespace shoal::chat
