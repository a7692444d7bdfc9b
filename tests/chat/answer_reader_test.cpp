#include "daemon/chat/answer_reader.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <set>

#include "tests/chat/reading.hpp"
#include "tests/instrumented.hpp"

namespace shoal::chat::tests::answer_reader_test {
namespace {

using F = CallFormat;

const char* const kOneCall = "call:get_temperature {\"room\": \"kitchen\"}|";
const char* const kTwoCalls =
    "call:get_temperature {\"room\": \"kitchen\"}|"
    "call:set_light {\"on\": true, \"level\": 30, \"names\": [\"é\", \"b\"]}|";

struct Written {
    F format;
    const char* text;
};

/// The two calls of kTwoCalls, as each format has them.
const Written kTwoWritten[] = {
    {F::hermes,
     "<tool_call>\n{\"name\": \"get_temperature\", \"arguments\": {\"room\": "
     "\"kitchen\"}}\n</tool_call>\n"
     "<tool_call>\n{\"name\": \"set_light\", \"arguments\": {\"on\": true, \"level\": 30, "
     "\"names\": "
     "[\"é\", \"b\"]}}\n</tool_call>"},
    {F::function_tags,
     "<tool_call>\n<function=get_temperature>\n<parameter=room>\nkitchen\n</parameter>\n</"
     "function>\n"
     "</tool_call>\n<tool_call>\n<function=set_light>\n<parameter=on>\nTrue\n</parameter>\n"
     "<parameter=level>\n30\n</parameter>\n<parameter=names>\n[\"é\", \"b\"]\n</parameter>\n"
     "</function>\n</tool_call>"},
    {F::invoke_tags,
     "<minimax:tool_call>\n<invoke name=\"get_temperature\">\n<parameter name=\"room\">kitchen"
     "</parameter>\n</invoke>\n<invoke name=\"set_light\">\n<parameter "
     "name=\"on\">true</parameter>\n"
     "<parameter name=\"level\">30</parameter>\n<parameter name=\"names\">[\"é\", "
     "\"b\"]</parameter>\n"
     "</invoke>\n</minimax:tool_call>"},
    {F::llama,
     "{\"name\": \"get_temperature\", \"parameters\": {\"room\": \"kitchen\"}}; "
     "{\"name\": \"set_light\", \"parameters\": {\"on\": true, \"level\": 30, \"names\": [\"é\", "
     "\"b\"]}}"},
    {F::llama,
     "<|python_tag|>{\"type\": \"function\", \"name\": \"get_temperature\", \"parameters\": "
     "{\"room\": "
     "\"kitchen\"}}\n{\"type\": \"function\", \"function\": \"set_light\", \"parameters\": "
     "{\"on\": true, "
     "\"level\": 30, \"names\": [\"é\", \"b\"]}}<|eom_id|>"},
    {F::pythonic,
     "[get_temperature(room='kitchen'), set_light(on=True, level=30, names=[\"é\", 'b',])]"},
    {F::pythonic_marks,
     "<|tool_call_start|>[get_temperature(room=\"kitchen\"), set_light(on=True, level=30, "
     "names=[\"é\", \"b\"])]<|tool_call_end|>"},
    {F::pythonic_lines,
     "<function_calls>get_temperature(room=\"kitchen\")\nset_light(on=true, level=30, "
     "names=(\"é\", "
     "\"b\"))</function_calls>"},
    {F::mistral,
     "[TOOL_CALLS][{\"name\": \"get_temperature\", \"arguments\": {\"room\": \"kitchen\"}, \"id\": "
     "\"call00001\"}, {\"name\": \"set_light\", \"arguments\": {\"on\": true, \"level\": 30, "
     "\"names\": "
     "[\"é\", \"b\"]}, \"id\": \"call00002\"}]"},
    {F::mistral,
     "[TOOL_CALLS]get_temperature[CALL_ID]call00001[ARGS]{\"room\": \"kitchen\"}"
     "[TOOL_CALLS]set_light[ARGS]{\"on\": true, \"level\": 30, \"names\": [\"é\", \"b\"]}"},
    {F::glm,
     "<tool_call>get_temperature\n<arg_key>room</arg_key>\n<arg_value>kitchen</arg_value>\n</"
     "tool_call>\n"
     "<tool_call>set_light\n<arg_key>on</arg_key>\n<arg_value>true</arg_value>\n<arg_key>level</"
     "arg_key>"
     "\n<arg_value>30</arg_value>\n<arg_key>names</arg_key>\n<arg_value>[\"é\", "
     "\"b\"]</arg_value>\n"
     "</tool_call><|observation|>"},
    {F::deepseek,
     "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_temperature\n```json\n{"
     "\"room\": "
     "\"kitchen\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>set_light\n`"
     "``json\n"
     "{\"on\": true, \"level\": 30, \"names\": [\"é\", "
     "\"b\"]}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"},
    {F::deepseek,
     "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_temperature<｜tool▁sep｜>{\"room\": "
     "\"kitchen\"}"
     "<｜tool▁call▁end｜><｜tool▁call▁begin｜>set_light<｜tool▁sep｜>{\"on\": true, \"level\": 30, "
     "\"names\": "
     "[\"é\", \"b\"]}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"},
    {F::dsml,
     "\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"get_temperature\">\n<｜DSML｜parameter "
     "name=\"room\" "
     "string=\"true\">kitchen</｜DSML｜parameter>\n</｜DSML｜invoke>\n<｜DSML｜invoke "
     "name=\"set_light\">\n"
     "<｜DSML｜parameter name=\"on\" string=\"false\">true</｜DSML｜parameter>\n<｜DSML｜parameter "
     "name=\"level\" string=\"false\">30</｜DSML｜parameter>\n<｜DSML｜parameter name=\"names\" "
     "string=\"false\">[\"é\", "
     "\"b\"]</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>"},
    {F::kimi,
     "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_temperature:0"
     "<|tool_call_argument_begin|>{\"room\": \"kitchen\"}<|tool_call_end|><|tool_call_begin|>"
     "functions.set_light:1<|tool_call_argument_begin|>{\"on\": true, \"level\": 30, \"names\": "
     "[\"é\", "
     "\"b\"]}<|tool_call_end|><|tool_calls_section_end|>"},
    {F::harmony,
     "<|channel|>commentary to=functions.get_temperature <|constrain|>json<|message|>{\"room\": "
     "\"kitchen\"}<|end|><|start|>assistant<|channel|>commentary to=functions.set_light "
     "json<|message|>"
     "{\"on\": true, \"level\": 30, \"names\": [\"é\", \"b\"]}<|call|>"},
    {F::harmony,
     " to=functions.get_temperature<|channel|>commentary json<|message|>{\"room\": "
     "\"kitchen\"}<|end|>"
     "<|start|>assistant to=functions.set_light<|channel|>analysis<|message|>{\"on\": true, "
     "\"level\": "
     "30, \"names\": [\"é\", \"b\"]}<|call|>"},
    {F::functionary_tags,
     "<function=get_temperature>{\"room\": \"kitchen\"}</function><function=set_light>{\"on\": "
     "true, "
     "\"level\": 30, \"names\": [\"é\", \"b\"]}</function><|eom_id|>"},
    {F::functionary_recipients,
     ">>>get_temperature\n{\"room\": \"kitchen\"}>>>set_light\n{\"on\": true, \"level\": 30, "
     "\"names\": "
     "[\"é\", \"b\"]}"},
    {F::command_r,
     "<|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"get_temperature\", "
     "\"parameters\": "
     "{\"room\": \"kitchen\"}},\n    {\"tool_call_id\": \"1\", \"tool_name\": \"set_light\", "
     "\"parameters\": "
     "{\"on\": true, \"level\": 30, \"names\": [\"é\", \"b\"]}}\n]<|END_ACTION|>"},
    {F::command_r_plus,
     "Action: ```json\n[{\"tool_name\": \"get_temperature\", \"parameters\": {\"room\": "
     "\"kitchen\"}}, "
     "{\"tool_name\": \"set_light\", \"parameters\": {\"on\": true, \"level\": 30, \"names\": "
     "[\"é\", "
     "\"b\"]}}]\n```"},
    {F::tool_call_list,
     "<|tool_call|>[{\"name\": \"get_temperature\", \"arguments\": {\"room\": \"kitchen\"}}, "
     "{\"name\": "
     "\"set_light\", \"arguments\": {\"on\": true, \"level\": 30, \"names\": [\"é\", \"b\"]}}]"},
    {F::tool_calls_list,
     "\n<tool_calls>[{\"name\": \"get_temperature\", \"arguments\": {\"room\": \"kitchen\"}, "
     "\"id\": \"1\"}, "
     "{\"name\": \"set_light\", \"arguments\": {\"on\": true, \"level\": 30, \"names\": [\"é\", "
     "\"b\"]}}]"
     "</tool_calls>\n"},
    {F::nemotron_list,
     "<TOOLCALL>[{\"name\": \"get_temperature\", \"arguments\": {\"room\": \"kitchen\"}}, "
     "{\"name\": "
     "\"set_light\", \"arguments\": {\"on\": true, \"level\": 30, \"names\": [\"é\", "
     "\"b\"]}}]</TOOLCALL>\n"},
    {F::functools,
     "functools[{\"name\": \"get_temperature\", \"arguments\": {\"room\": \"kitchen\"}}, "
     "{\"name\": "
     "\"set_light\", \"arguments\": {\"on\": true, \"level\": 30, \"names\": [\"é\", \"b\"]}}]"},
    {F::apertus,
     "<|tools_prefix|>[{\"get_temperature\": {\"room\": \"kitchen\"}}, {\"set_light\": {\"on\": "
     "true, "
     "\"level\": 30, \"names\": [\"é\", \"b\"]}}]<|tools_suffix|>"},
    {F::mcp,
     "\n<use_mcp_tool>\n<server_name>default</server_name>\n<tool_name>get_temperature</"
     "tool_name>\n"
     "<arguments>\n{\"room\": "
     "\"kitchen\"}\n</arguments>\n<server_name>default</server_name>\n<tool_name>"
     "set_light</tool_name>\n<arguments>\n{\"on\": true, \"level\": 30, \"names\": [\"é\", "
     "\"b\"]}\n"
     "</arguments>\n</use_mcp_tool>"},
    {F::solar,
     "<|tool_calls|><|tool_call:begin|>abc<|tool_call:name|>get_temperature<|tool_call:args|>{"
     "\"room\": "
     "\"kitchen\"}<|tool_call:end|><|tool_call:begin|>abd<|tool_call:name|>set_light<|tool_call:"
     "args|>"
     "{\"on\": true, \"level\": 30, \"names\": [\"é\", \"b\"]}<|tool_call:end|><|calls|>"},
    {F::internlm,
     "<|action_start|><|plugin|>\n{\"name\": \"get_temperature\", \"parameters\": {\"room\": "
     "\"kitchen\"}}"
     "<|action_end|>\n<|action_start|><|plugin|>{\"name\": \"set_light\", \"parameters\": {\"on\": "
     "true, "
     "\"level\": 30, \"names\": [\"é\", \"b\"]}}<|action_end|>"},
    {F::gigachat_role,
     "<|message_sep|>\n\nfunction call<|role_sep|>\n{\"name\": \"get_temperature\", \"arguments\": "
     "{\"room\": \"kitchen\"}}<|message_sep|>\n\nfunction call<|role_sep|>\n{\"name\": "
     "\"set_light\", "
     "\"arguments\": {\"on\": true, \"level\": 30, \"names\": [\"é\", \"b\"]}}<|message_sep|>"},
    {F::generic,
     "[{\"name\": \"get_temperature\", \"arguments\": {\"room\": \"kitchen\"}}, {\"name\": "
     "\"set_light\", "
     "\"arguments\": {\"on\": true, \"level\": 30, \"names\": [\"é\", \"b\"]}}]"},
    {F::generic,
     "```json\n{\"tool_calls\": [{\"name\": \"get_temperature\", \"arguments\": {\"room\": "
     "\"kitchen\"}}, "
     "{\"function\": {\"name\": \"set_light\", \"arguments\": {\"on\": true, \"level\": 30, "
     "\"names\": "
     "[\"é\", \"b\"]}}}]}\n```"},
};

/// Of these one is enough, or their arguments come in an order of their own.
const Written kOneWritten[] = {
    {F::gemma,
     "<|tool_call>call:get_temperature{room:<|\"|>kitchen<|\"|>}<tool_call|><|tool_response>"},
    {F::function_gemma,
     "<start_function_call>call:get_temperature{room:<escape>kitchen<escape>}<end_function_call>"},
    {F::gigachat,
     "<|function_call|>{\"name\": \"get_temperature\", \"arguments\": {\"room\": \"kitchen\"}}"},
    {F::generic, "{\"name\": \"get_temperature\", \"arguments\": {\"room\": \"kitchen\"}}"},
    {F::generic,
     "```json\n{\"tool_call\": {\"name\": \"get_temperature\", \"arguments\": {\"room\": "
     "\"kitchen\"}}}\n```"},
    {F::llama, "<|python_tag|>get_temperature.call(room=\"kitchen\")<|eom_id|>"},
    {F::hermes,
     "<tool_call>{\"name\":\"get_temperature\",\"arguments\":\"{\\\"room\\\": "
     "\\\"kitchen\\\"}\"}</tool_call>"},
    {F::function_tags, "<function=get_temperature><parameter=room>kitchen</parameter></function>"},
};

TEST_CASE("two calls are read as each format writes them, however the text is cut") {
    for (const Written& each : kTwoWritten) {
        CAPTURE(name_of(each.format));
        CHECK(line(each.format, each.text) == kTwoCalls);
    }
}

TEST_CASE("a call is read in every form that a format has") {
    for (const Written& each : kOneWritten) {
        CAPTURE(name_of(each.format));
        CHECK(line(each.format, each.text) == kOneCall);
    }
}

struct WrittenArgument {
    std::string name, value;
    bool text;  ///< without its quotes where the format writes text so
};

std::string put_together(const CallPieces& pieces, const std::string& name,
                         const std::vector<WrittenArgument>& arguments) {
    const ArgumentPieces& each = pieces.arguments;
    const bool json = each.between.empty();
    const std::string separator = json ? ", " : std::string(each.separator);
    std::string body;
    for (const WrittenArgument& argument : arguments) {
        const bool plain = argument.text && !each.between_text.empty();
        body += body.empty() ? "" : separator;
        body += json ? "\"" + argument.name + "\": "
                     : std::string(each.before) + argument.name +
                           std::string(plain ? each.between_text : each.between);
        body += plain || !argument.text ? argument.value : "\"" + argument.value + "\"";
        body += each.after;
    }
    if (json) body = "{" + body + "}";
    return std::string(pieces.before) + name + std::string(pieces.between) + body +
           std::string(pieces.after);
}

TEST_CASE("the literal pieces of a format put together are calls in it") {
    for (const CallSyntax& syntax : call_syntaxes()) {
        const CallPieces& pieces = call_pieces(syntax.format);
        CAPTURE(syntax.name);
        const std::string one =
            put_together(pieces, "get_temperature", {{"room", "kitchen", true}});
        const std::string open(pieces.open);
        const std::string close(pieces.close);
        CHECK(line(syntax.format, open + one + close) == kOneCall);
        // These end the turn with each call.
        if (syntax.format == F::harmony || syntax.format == F::gigachat) continue;
        const std::string two = put_together(
            pieces, "set_light",
            {{"on", "true", false}, {"level", "30", false}, {"names", "[\"é\", \"b\"]", false}});
        CHECK(line(syntax.format, open + one + std::string(pieces.separator) + two + close) ==
              kTwoCalls);
    }
}

TEST_CASE("python's strings may have the escapes of JSON's") {
    CHECK(line(F::pythonic, "[get_temperature(room=\"\\u00e9\\ud83d\\ude00\")]") ==
          "call:get_temperature {\"room\": \"é😀\"}|");
    const std::string half = "[get_temperature(room=\"\\ud83d\")]";
    CHECK(line(F::pythonic, half) == "content:" + half + "|");
}

TEST_CASE("text before, between and after calls is content, without the spaces around calls") {
    const std::string call =
        "<tool_call>{\"name\":\"get_temperature\",\"arguments\":{}}</tool_call>";
    CHECK(line(F::hermes, "I look.\n\n" + call + "\n and \n" + call + "\n\nDone. \n") ==
          "content:I look.|call:get_temperature {}|content:and|call:get_temperature "
          "{}|content:Done. \n|");
    CHECK(line(F::kimi,
               "So.<|tool_calls_section_begin|><|tool_call_begin|>functions.set_light:4"
               "<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>") ==
          "content:So.|call:set_light {}|");
}

TEST_CASE("an answer without marks is content to the byte") {
    for (const CallSyntax& syntax : call_syntaxes()) {
        CAPTURE(syntax.name);
        const std::string text =
            " a < b, [1] {x}; \"é\" 日本 >> c\n\n```cpp\nif (a[0] < 1) {}\n```\n ";
        CHECK(line(syntax.format, text) == "content:" + text + "|");
    }
}

TEST_CASE("what is malformed or names no tool stays text as the model wrote it") {
    const std::pair<F, std::string> texts[] = {
        {F::hermes,
         "<tool_call>\n{\"name\": \"get_temperature\", \"arguments\": {\"room\": }}\n</tool_call>"},
        {F::hermes, "<tool_call>\n{\"name\": \"unknown\", \"arguments\": {}}\n</tool_call>"},
        {F::hermes,
         "<tool_call>\n{\"name\": \"get_temperature\", \"arguments\": [1]}\n</tool_call> x"},
        {F::hermes, "<tool_call>\n{\"name\": 5, \"arguments\": {}}\n</tool_call>"},
        {F::hermes, "say <tool_call> and </tool_call>"},
        {F::function_tags, "<tool_call>\n<function=unknown>\n</function>\n</tool_call>"},
        {F::function_tags, "<tool_call>\nwhat\n</tool_call>"},
        {F::function_tags, "<function=set_light>\n<parameter=on>\ntrue\n</function>"},
        {F::llama, "{\"name\": \"Ann\", \"age\": 5}"},
        {F::llama, "{\"answer\": 5}"},
        {F::llama, "[1, 2]"},
        {F::pythonic, "[get_temperature(\"kitchen\")]"},
        {F::pythonic, "[unknown(a=1)]"},
        {F::pythonic, "[1, 2, 3]"},
        {F::mistral, "[TOOL_CALLS]unknown[ARGS]{}"},
        {F::mistral, "[TOOL_CALLS] what? {\"a\": 1}"},
        {F::glm,
         "<tool_call>unknown\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n</tool_call>"},
        {F::glm, "<tool_call>set_light<arg_key>on</arg_key></tool_call>"},
        {F::deepseek,
         "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>nothing<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
         "{"},
        {F::dsml,
         "<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"set_light\">\n<｜DSML｜parameter "
         "name=\"on\" "
         "string=\"false\">tru</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>"},
        {F::kimi,
         "<|tool_calls_section_begin|><|tool_call_begin|>functions.unknown:0"
         "<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>"},
        {F::harmony, "<|channel|>commentary to=functions.unknown<|message|>{}"},
        {F::gemma, "<|tool_call>call:set_light{on:}<tool_call|>"},
        {F::gemma, "<|tool_call>call:unknown{}<tool_call|>"},
        {F::functionary_recipients, ">>> 1 + 1\n2"},
        {F::command_r, "<|START_ACTION|>[]<|END_ACTION|>"},
        {F::apertus, "<|tools_prefix|>[{\"unknown\": {}}]"},
    };
    for (const auto& [format, each_text] : texts) {
        const auto& text = each_text;
        CAPTURE(text);
        CHECK(line(format, text) == "content:" + text + "|");
    }
}

TEST_CASE("a call after a malformed one is read") {
    const std::string call =
        "<tool_call>{\"name\":\"get_temperature\",\"arguments\":{}}</tool_call>";
    CHECK(line(F::hermes, "<tool_call>oops " + call) ==
          "content:<tool_call>oops|call:get_temperature {}|");
    CHECK(line(F::hermes, "<tool_call>" + call) == "content:<tool_call>|call:get_temperature {}|");
}

TEST_CASE("a call that ends half-way is never shown and counts as unfinished") {
    for (const Written& each : kTwoWritten) {
        const std::string text = each.text;
        const AnswerFormat format = format_of(each.format);
        const std::string begin(syntax_of(each.format).frames.front().begin);
        if (begin.empty() || begin == "functools" || begin == "Action:") continue;
        const std::size_t at = text.find(begin);
        if (at == std::string::npos) continue;
        CAPTURE(text);
        // One byte into the arguments of the first call, whatever the format.
        const std::size_t cut = text.find("kitchen");
        if (begin == ">>>" || each.format == F::harmony) continue;
        const Reading reading = read(format, house(), text.substr(0, cut), {}, Ending::by_model);
        CHECK(reading.line == "");
        CHECK(reading.unfinished);
    }
    const Reading harmony = read(format_of(F::harmony), house(),
                                 "<|channel|>commentary to=functions.set_light<|message|>{\"on\"");
    CHECK(harmony.line == "");
    CHECK(harmony.unfinished);
}

TEST_CASE(
    "half a mark at the end is text when the model ended, and is dropped when it was cut off") {
    CHECK(line(F::hermes, "a <tool_c", Ending::by_model) == "content:a <tool_c|");
    CHECK(line(F::hermes, "a <tool_c", Ending::cut_off) == "content:a |");
    CHECK(line(F::hermes, "x <", Ending::by_model) == "content:x <|");
}

TEST_CASE("with parallel_calls off the first call counts and the others vanish") {
    ReaderOptions options = house();
    options.parallel_calls = false;
    for (const Written& each : kTwoWritten) {
        CAPTURE(each.text);
        CHECK(read(format_of(each.format), options, each.text).line == kOneCall);
    }
}

TEST_CASE("without tools a call is text") {
    ReaderOptions options;
    options.calls = false;
    const std::string text = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
    CHECK(read(format_of(F::hermes), options, text).line == "content:" + text + "|");
}

TEST_CASE("with tools of unknown names every name will do") {
    CHECK(read(format_of(F::hermes), {}, "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>")
              .line == "call:f {}|");
}

TEST_CASE("reasoning is told apart wherever it was opened") {
    const AnswerFormat format = detect("<think>");
    const auto said = [&format](std::string_view prompt_end, std::string_view text) {
        check_cuts(format, house(std::string(prompt_end)), text, 2);
        return read(format, house(std::string(prompt_end)), text).line;
    };
    CHECK(said("", "<think>\nhm\n</think>\n\n51") == "reasoning:hm|content:51|");
    CHECK(said("", "\n<think>hm</think>51") == "reasoning:hm|content:51|");
    CHECK(said("<think>\n", "\nhm\n\nso\n</think>\n\n51") == "reasoning:hm\n\nso|content:51|");
    CHECK(said("<think>\n\n</think>\n\n", "51") == "content:51|");
    CHECK(said("", "<think>\n\n</think>\n\n51") == "content:51|");
    CHECK(said("<think>", "never closed </thi") == "reasoning:never closed </thi|");
    CHECK(said("", "The tag <think> opens </think>.") ==
          "content:The tag <think> opens </think>.|");
}

TEST_CASE("reasoning and calls follow one another") {
    const AnswerFormat format = detect("<think> <tool_call>");
    const std::string text =
        "<think>\nI need it.\n</think>\n\nMoment.\n<tool_call>\n{\"name\": \"get_temperature\", "
        "\"arguments\": {\"room\": \"kitchen\"}}\n</tool_call>";
    check_cuts(format, house(), text, 3);
    CHECK(read(format, house(), text).line ==
          std::string("reasoning:I need it.|content:Moment.|") + kOneCall);
}

TEST_CASE("a call written within reasoning is reasoning") {
    const AnswerFormat format = detect("<think> <tool_call>");
    const std::string call =
        "<tool_call>{\"name\":\"get_temperature\",\"arguments\":{}}</tool_call>";
    CHECK(read(format, house(), "<think>" + call + "</think>x").line ==
          "reasoning:" + call + "|content:x|");
}

TEST_CASE("every pair of marks around reasoning is known") {
    const std::pair<const char*, const char*> answers[] = {
        {"[THINK] [TOOL_CALLS]", "[THINK]hm[/THINK]51"},
        {"<|START_THINKING|><|START_RESPONSE|><|END_RESPONSE|><|START_ACTION|>",
         "<|START_THINKING|>hm<|END_THINKING|><|START_RESPONSE|>51<|END_RESPONSE|>"},
        {"<|inner_prefix|>", "<|inner_prefix|>hm<|inner_suffix|>51"},
        {"<|channel>thought <|tool_call>", "<|channel>thought\nhm\n<channel|>51"},
        {"<seed:think>", "<seed:think>hm</seed:think>51"},
        {"[BEGIN FINAL RESPONSE]", "Here are my reasoning steps:\nhm\n[BEGIN FINAL RESPONSE]\n51"},
        {"<thinking>", "<thinking>hm</thinking>51"},
        {"nothing at all", "<think>hm</think>51"},
        {"<|channel|>",
         "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>51"},
        {"<|channel|>",
         "<|channel|>analysis<|message|>hm<|start|>assistant<|channel|>final<|message|>51<|return|"
         ">"},
        {"<|tool_call:begin|>", "<|think|>hm<|end|><|begin|>assistant<|content|>51<|end|>"},
    };
    for (const auto& [source, each_text] : answers) {
        const auto& text = each_text;
        CAPTURE(text);
        const AnswerFormat format = detect(source);
        check_cuts(format, house(), text, 4);
        CHECK(read(format, house(), text).line == "reasoning:hm|content:51|");
    }
}

TEST_CASE("harmony: a preamble is content, and an answer without marks, too") {
    CHECK(line(F::harmony,
               "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant<|channel|>final"
               "<|message|>Done.") == "content:I look.\n\nDone.|");
    CHECK(line(F::harmony, "to whom?") == "content:to whom?|");
    CHECK(line(F::harmony, "<|channel|>ana", Ending::cut_off) == "");
}

TEST_CASE("functionary: the prompt has written the first recipient's mark") {
    const AnswerFormat format = format_of(F::functionary_recipients);
    const auto said = [&format](std::string_view text) {
        check_cuts(format, house("assistant\n\n>>>"), text, 5);
        return read(format, house("assistant\n\n>>>"), text).line;
    };
    CHECK(said("all\nHello!") == "content:Hello!|");
    CHECK(said("all\nI look.\n>>>get_temperature\n{\"room\": \"kitchen\"}") ==
          std::string("content:I look.|") + kOneCall);
    CHECK(said("get_temperature\n{\"room\": \"kitchen\"}") == kOneCall);
    CHECK(said("Hello there.") == "content:Hello there.|");
    CHECK(said("Hello\nthere {}") == "content:Hello\nthere {}|");
    CHECK(said("{}") == "content:{}|");
    CHECK(said("{ >>>all\n;[") == "content:{ >>>all\n;[|");
}

TEST_CASE("what comes behind a mark that ends the turn does not count") {
    const Reading reading = read(format_of(F::glm), house(),
                                 "<tool_call>set_light</tool_call><|observation|>\n21", {40});
    CHECK(reading.line == "call:set_light {}|");
    CHECK(reading.stopped);
}

TEST_CASE("values without quotes become JSON by the tool's schema") {
    const auto value = [](std::string_view parameter, std::string_view text) {
        return ToolTable({{"f", "", R"({"properties":{"s":{"type":"string"},"i":{"type":"integer"},
            "n":{"type":["string","null"]},"e":{"enum":["a","b"]},"m":{"type":["string","number"]},
            "o":{"anyOf":[{"type":"string"},{"type":"null"}]},"l":{"type":"array"}}})"}})
            .value("f", parameter, text);
    };
    CHECK(value("s", "30") == "\"30\"");
    CHECK(value("s", " true ") == "\" true \"");
    CHECK(value("i", " 30\n") == "30");
    CHECK(value("i", "thirty") == "\"thirty\"");
    CHECK(value("n", "null") == "null");
    CHECK(value("n", "30") == "\"30\"");
    CHECK(value("o", "null") == "null");
    CHECK(value("e", "1") == "\"1\"");
    CHECK(value("m", "1.50") == "1.50");
    CHECK(value("m", "x") == "\"x\"");
    CHECK(value("l", "['a', True]") == "[\"a\", true]");
    CHECK(value("unknown", "{\"a\": 1}") == "{\"a\": 1}");
    CHECK(value("unknown", "plain \"text\"") == "\"plain \\\"text\\\"\"");
}

TEST_CASE("strings keep what a parameter's value has, but for one line's end at both sides") {
    CHECK(line(F::function_tags,
               "<function=get_temperature>\n<parameter=room>\n\n a\n</b>\n\n</parameter>\n"
               "</function>") == "call:get_temperature {\"room\": \"\\n a\\n</b>\\n\"}|");
}

TEST_CASE("an end mark within a string of JSON does not end the call") {
    CHECK(line(F::hermes,
               "<tool_call>{\"name\":\"get_temperature\",\"arguments\":{\"room\":\"</tool_call>\"}}"
               "</tool_call>") == "call:get_temperature {\"room\":\"</tool_call>\"}|");
}

TEST_CASE("braces: strings between marks, words, lists and objects") {
    const AnswerFormat format = format_of(F::gemma);
    CHECK(read(format, {},
               "<|tool_call>call:f{a:<|\"|>x, {y}<|\"|>,b:[1,<|\"|>z<|\"|>],c:{d:true,e:null},"
               "g:plain word,\"h\":\"q\\\"\"}<tool_call|>")
              .line ==
          "call:f {\"a\": \"x, {y}\", \"b\": [1, \"z\"], \"c\": {\"d\": true, \"e\": null}, "
          "\"g\": \"plain word\", \"h\": \"q\\\"\"}|");
}

TEST_CASE("ids are the format's own where it has them") {
    const auto ids = [](F format, std::string_view text) {
        ReaderOptions options = house();
        std::uint64_t next = 0;
        options.random = [next]() mutable { return next++; };
        return read(format_of(format), options, text).ids;
    };
    CHECK(ids(F::mistral, kTwoWritten[9].text) ==
          std::vector<std::string>{"call00001", "012345678"});
    CHECK(ids(F::kimi,
              "<|tool_call_begin|>functions.set_light:7<|tool_call_argument_begin|>{}"
              "<|tool_call_end|><|tool_call_begin|>set_light<|tool_call_argument_begin|>{}") ==
          std::vector<std::string>{"functions.set_light:7", "functions.set_light:1"});
    CHECK(ids(F::hermes, "<tool_call>{\"name\":\"set_light\",\"id\":\"x\"}</tool_call>") ==
          std::vector<std::string>{"call_0123456789abcdef01234567"});
}

TEST_CASE("hostile text takes time and memory by its length alone") {
    // Enough of each to see what grows with the square, and a MiB where most is held back.
    constexpr std::size_t kShort = 1 << 16;
    constexpr std::size_t kLong = shoal::tests::by_speed<std::size_t>(1 << 20, 1 << 17);
    const std::set<F> longer = {F::generic, F::llama, F::mistral, F::function_tags, F::harmony};
    const char* const units[] = {"<",
                                 "[",
                                 "{",
                                 "<tool_call>",
                                 "<tool_call>{",
                                 "<tool_call>{\"a\":",
                                 "{\"name\":",
                                 "[TOOL_CALLS]",
                                 "[TOOL_CALLS]a[ARGS]{",
                                 "<|tool_call>call:a{",
                                 "<function=",
                                 "<function=a><parameter=b>",
                                 "```json",
                                 ">>>",
                                 "<think>",
                                 "<|channel|>",
                                 "<｜tool▁calls▁begin｜>",
                                 " ",
                                 "\n",
                                 ",",
                                 "[f(a=",
                                 "<|python_tag|>a(",
                                 "\"",
                                 "Action:```json",
                                 "<|start|>assistant to=functions.a<|message|>{"};
    for (const CallSyntax& syntax : call_syntaxes()) {
        const AnswerFormat format = format_of(syntax.format);
        for (const std::string_view unit : units) {
            std::string text;
            while (text.size() < (longer.count(syntax.format) > 0 ? kLong : kShort)) text += unit;
            AnswerReader reader(format, {});
            const auto began = std::chrono::steady_clock::now();
            std::size_t bytes = 0;
            for (std::size_t at = 0; at < text.size(); at += 61) {
                for (const AnswerEvent& event :
                     reader.feed(std::string_view(text).substr(at, 61))) {
                    bytes += event.text.size();
                }
            }
            CHECK(bytes <= text.size());
            const auto took = std::chrono::steady_clock::now() - began;
            CAPTURE(syntax.name);
            CAPTURE(unit);
            CHECK(took < std::chrono::seconds(shoal::tests::by_speed(5, 20)));
        }
    }
}

TEST_CASE("a call longer than the limit becomes text at the limit") {
    const std::string begin =
        "<tool_call>{\"name\": \"get_temperature\", \"arguments\": {\"room\": \"";
    for (const std::size_t bytes : {kMaxCallBytes, kMaxCallBytes + 1}) {
        const std::string end = "\"}}";
        std::string text = begin;
        text.append(bytes + std::string_view("<tool_call>").size() - begin.size() - end.size(),
                    'x');
        text += end;
        const Reading reading = read(format_of(F::hermes), house(), text + "</tool_call>");
        CHECK(reading.line.substr(0, 5) == (bytes == kMaxCallBytes ? "call:" : "conte"));
        CHECK_FALSE(reading.unfinished);
    }
}

}  // namespace
}  // namespace shoal::chat::tests::answer_reader_test
