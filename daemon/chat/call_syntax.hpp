// How models write tool calls: one row for each way, with the marks around and between calls.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::chat {

/// The ways, by the family that brought each up. ANSWERS.md shows them.
enum class CallFormat : std::uint8_t {
    generic,  ///< what a template without a way of its own is asked for
    hermes,
    function_tags,
    invoke_tags,
    llama,
    pythonic,
    pythonic_marks,
    pythonic_lines,
    mistral,
    glm,
    deepseek,
    dsml,
    kimi,
    harmony,
    functionary_tags,
    functionary_recipients,
    command_r,
    command_r_plus,
    tool_call_list,
    tool_calls_list,
    nemotron_list,
    functools,
    gigachat,
    gigachat_role,
    apertus,
    mcp,
    gemma,
    function_gemma,
    solar,
    internlm,
};

/// What stands between a call's first mark and its end.
enum class Body : std::uint8_t {
    json,            ///< an object or a list of objects with a name and arguments
    json_or_python,  ///< that, or name.call(a=1)
    named_json,      ///< a name as `Header` says, then the arguments as an object
    json_or_named,   ///< a list as in json, or named_json
    python,          ///< [f(a=1), g()]
    python_lines,    ///< f(a=1), one a line, up to the end mark
    function_tags,   ///< NAME><parameter=NAME>value</parameter>, up to the end mark
    invoke_tags,     ///< NAME"><parameter name="NAME">value</parameter>, up to the end mark
    argument_tags,   ///< NAME<arg_key>k</arg_key><arg_value>v</arg_value>, up to the end mark
    braces,          ///< NAME{key:value}, strings between marks, up to the end mark
    channel,         ///< harmony's header of a message
};

/// What stands between a mark and the arguments' brace.
enum class Header : std::uint8_t {
    none,
    mistral,   ///< NAME[CALL_ID]ID[ARGS]; ID and [ARGS] may be missing
    deepseek,  ///< function<｜tool▁sep｜>NAME ```json, or NAME<｜tool▁sep｜>
    kimi,      ///< functions.NAME:INDEX<|tool_call_argument_begin|>
    angle,     ///< NAME>
    line,      ///< NAME and a line's end
    server,    ///< <server_name>..</server_name><tool_name>NAME</tool_name><arguments>
    solar,     ///< ID<|tool_call:name|>NAME<|tool_call:args|>
};

/// Where a call may begin, and how it is read from there.
struct CallFrame {
    std::string_view begin = {};  ///< empty: with the bracket that the text starts with
    Body body = Body::json;
    Header header = Header::none;
    std::string_view end = {};  ///< the mark that ends it, for bodies that do not end by themselves
    std::string_view quote = {};  ///< Body::braces: around strings; Body::invoke_tags: before names
    bool only_first = false;  ///< only where nothing but spaces, reasoning and calls came before
};

/// The literal text around arguments that are written one by one:
///   before NAME between VALUE after separator before NAME ...
struct ArgumentPieces {
    std::string_view before = {};
    std::string_view between = {};
    std::string_view after = {};
    std::string_view separator = {};
    /// Instead of `between`, before text that stands without quotes; empty: all text has quotes.
    std::string_view between_text = {};
};

/// The literal text around calls:
///   open (before NAME between ARGUMENTS after) separator (...) close
/// For grammars that force a call.
struct CallPieces {
    std::string_view open = {};
    std::string_view before = {};
    std::string_view between = {};
    std::string_view after = {};
    std::string_view separator = {};
    std::string_view close = {};
    ArgumentPieces arguments = {};  ///< `between` empty: they are a JSON object
};

struct CallSyntax {
    CallFormat format = CallFormat::generic;
    std::string_view name = {};
    /// A template that contains one of these writes calls so.
    std::vector<std::string_view> shown_by = {};
    std::vector<CallFrame> frames = {};
    /// Marks before the first call of several: dropped when a call follows, text otherwise.
    std::vector<std::string_view> before = {};
    /// Marks that may follow a call: dropped right after one, text otherwise.
    std::vector<std::string_view> after = {};
    /// Marks within a call that may be special tokens.
    std::vector<std::string_view> inner = {};
    /// Marks that end a turn with calls, beyond the end of text that the model's file names.
    std::vector<std::string_view> stops = {};
    CallPieces pieces = {};
};

/// Every way, in the order in which a template is asked for their marks.
const std::vector<CallSyntax>& call_syntaxes();
const CallSyntax& syntax_of(CallFormat format);

}  // namespace shoal::chat
