#include "daemon/chat/answer_format.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/chat/reading.hpp"

namespace shoal::chat::tests::answer_format_test {
namespace {

using F = CallFormat;
using nlohmann::ordered_json;

/// A folder with templates of published models and what they give, named by SHOAL_CHAT.
std::filesystem::path chat_folder() {
    const char* folder = std::getenv("SHOAL_CHAT");
    if (folder == nullptr) {
        MESSAGE("SHOAL_CHAT names no folder: skipped");
        return {};
    }
    return folder;
}

std::string contents(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    REQUIRE(file.good());
    return {std::istreambuf_iterator<char>(file), {}};
}

const std::map<std::string, F> kExpected = {
    {"Apertus-8B-Instruct", F::apertus},
    {"Bielik-11B-v3.0-Instruct", F::hermes},
    {"Cohere2MoE", F::command_r},
    {"CohereForAI-c4ai-command-r7b-12-2024-tool_use", F::command_r},
    {"GLM-4.6", F::glm},
    {"GLM-5.2", F::glm},
    {"GigaChat3-10B-A1.8B", F::gigachat_role},
    {"GigaChat3.1-10B-A1.8B", F::gigachat},
    {"HuggingFaceTB-SmolLM3-3B", F::generic},
    {"Kimi-K2-Instruct", F::kimi},
    {"LFM2-8B-A1B", F::pythonic_marks},
    {"MiMo-VL", F::hermes},
    {"MiroThinker", F::mcp},
    {"Mistral-Small-3.2-24B-Instruct-2506", F::mistral},
    {"NVIDIA-Nemotron-Nano-v2", F::nemotron_list},
    {"NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", F::hermes},
    {"NousResearch-Hermes-3-Llama-3.1-8B-tool_use", F::hermes},
    {"Qwen-Qwen2.5-7B-Instruct", F::hermes},
    {"Qwen-Qwen3-0.6B", F::hermes},
    {"Qwen3-Coder", F::function_tags},
    {"Reka-Edge", F::hermes},
    {"deepseek-ai-DeepSeek-R1-Distill-Llama-8B", F::deepseek},
    {"deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", F::deepseek},
    {"deepseek-ai-DeepSeek-V3.1", F::deepseek},
    {"deepseek-ai-DeepSeek-V4", F::dsml},
    {"google-gemma-2-2b-it", F::generic},
    {"google-gemma-4-31B-it", F::gemma},
    {"ibm-granite-granite-3.3-2B-Instruct", F::tool_call_list},
    {"llama-cpp-deepseek-r1", F::deepseek},
    {"llama-cpp-rwkv-world", F::generic},
    {"meetkai-functionary-medium-v3.1", F::functionary_tags},
    {"meetkai-functionary-medium-v3.2", F::functionary_recipients},
    {"meta-llama-Llama-3.1-8B-Instruct", F::llama},
    {"meta-llama-Llama-3.2-3B-Instruct", F::llama},
    {"microsoft-Phi-3.5-mini-instruct", F::generic},
    {"mistralai-Mistral-Nemo-Instruct-2407", F::mistral},
    {"moonshotai-Kimi-K2", F::kimi},
    {"stepfun-ai-Step-3.5-Flash", F::function_tags},
    {"unsloth-Apriel-1.5", F::tool_calls_list},
    {"unsloth-mistral-Devstral-Small-2507", F::mistral},
};

TEST_CASE("the format of published templates is told by their marks") {
    const auto folder = chat_folder();
    if (folder.empty()) return;
    for (const auto& entry : std::filesystem::directory_iterator(folder / "templates")) {
        const auto expected = kExpected.find(entry.path().stem().string());
        if (expected == kExpected.end()) continue;
        CAPTURE(expected->first);
        CHECK(name_of(detect(contents(entry.path())).calls) == name_of(expected->second));
    }
}

/// The calls of the first assistant's message that has some.
std::string calls_of(const ordered_json& conversation, std::size_t most) {
    std::string line;
    for (const auto& message : conversation.at("messages")) {
        if (!message.contains("tool_calls")) continue;
        for (const auto& call : message["tool_calls"]) {
            if (most-- == 0) return line;
            const auto& arguments = call["function"]["arguments"];
            const auto object = arguments.is_string()
                                    ? ordered_json::parse(arguments.get<std::string>())
                                    : arguments;
            line +=
                call["function"]["name"].get<std::string>() + nlohmann::json(object).dump() + ";";
        }
        break;
    }
    return line;
}

/// The same of what the reader says, so that orders and spaces do not count.
std::string calls_of(const AnswerFormat& format, const ReaderOptions& options,
                     std::string_view text) {
    AnswerReader reader(format, options);
    std::string line;
    auto events = reader.feed(text);
    const auto rest = reader.finish(Ending::by_model);
    events.insert(events.end(), rest.begin(), rest.end());
    for (const AnswerEvent& event : events) {
        if (event.kind == EventKind::call_begin) line += event.name;
        if (event.kind == EventKind::call_arguments)
            line += nlohmann::json::parse(event.text).dump() + ";";
    }
    return line;
}

/// What stands between the question and the tool's answer.
std::string turn(const std::string& text, const std::string& question, std::string_view result) {
    std::size_t begin = text.rfind(question);
    if (begin == std::string::npos) return {};
    begin += question.size();
    return text.substr(begin, text.find(result, begin) - begin);
}

TEST_CASE("a call that a template has written is read back as the same call") {
    const auto folder = chat_folder();
    if (folder.empty()) return;
    const auto cases = ordered_json::parse(contents(folder / "cases.json"));
    const auto expected = ordered_json::parse(contents(folder / "expected.json"));
    // Where each template's rendering has no call, or not as its model writes it.
    const std::vector<std::string> without = {"HuggingFaceTB-SmolLM3-3B",
                                              "LFM2-8B-A1B",
                                              "microsoft-Phi-3.5-mini-instruct",
                                              "llama-cpp-rwkv-world",
                                              "ibm-granite-granite-3.3-2B-Instruct",
                                              "google-gemma-2-2b-it"};
    std::size_t read_back = 0;
    for (const auto& [each_name, renderings] : expected.items()) {
        const auto& name = each_name;
        if (kExpected.count(name) == 0) continue;
        if (std::find(without.begin(), without.end(), name) != without.end()) continue;
        AnswerFormat format = detect(contents(folder / "templates" / (name + ".jinja")));
        // The rendering of a conversation goes on where an answer ends.
        format.stops.clear();
        for (const char* which : {"tools_used", "tools_two_calls", "tools_string_arguments"}) {
            const auto& rendering = renderings.at(which);
            if (!rendering.contains("text")) continue;
            const auto& conversation = cases.at(which);
            const std::string question = conversation.at("messages")[0].at("content");
            const std::string_view result =
                conversation.at("messages")[2].at("content").get_ref<const std::string&>();
            std::string text = turn(rendering["text"], question, result);
            if (text.find("get_temperature") == std::string::npos) continue;
            // Without a mark before it a call is one at the start alone, behind the role's header.
            if (format.calls == F::llama) text = text.substr(text.find("\n\n{") + 2);
            // One call a turn is what this one's template takes.
            const std::size_t most =
                format.calls == F::gigachat || format.calls == F::gigachat_role ? 1 : 99;
            CAPTURE(name);
            CAPTURE(which);
            CAPTURE(text);
            // A string of arguments is rendered as a string by some templates, or not at all.
            const bool strings = std::string_view(which) == "tools_string_arguments";
            const std::string found = calls_of(format, house(), text);
            if (strings && found.empty()) continue;
            CHECK(found == calls_of(conversation, most));
            ++read_back;
        }
    }
    CHECK(read_back >= 50);
}

TEST_CASE("reasoning that a template opens in the prompt is reasoning of the answer") {
    const auto folder = chat_folder();
    if (folder.empty()) return;
    const auto expected = ordered_json::parse(contents(folder / "expected.json"));
    std::size_t opened = 0;
    for (const auto& [each_name, renderings] : expected.items()) {
        const auto& name = each_name;
        for (const char* which : {"thinking_on", "thinking_off"}) {
            const auto& rendering = renderings.at(which);
            if (!rendering.contains("text")) continue;
            const AnswerFormat format = detect(contents(folder / "templates" / (name + ".jinja")));
            REQUIRE(!format.reasoning.empty());
            const ReasoningMarks& marks = format.reasoning.front();
            std::string prompt = rendering["text"];
            const std::size_t begin = prompt.rfind(marks.begin);
            const bool opens = begin != std::string::npos &&
                               prompt.find(marks.end, begin) == std::string::npos &&
                               prompt.size() - begin < marks.begin.size() + 2;
            CAPTURE(name);
            CAPTURE(which);
            const std::string line =
                read(format, house(prompt), "hm\n" + marks.end + "\n\nall").line;
            CHECK((line.substr(0, 23) == "reasoning:hm|content:al") == opens);
            opened += opens ? 1 : 0;
        }
    }
    CHECK(opened >= 10);
}

TEST_CASE("a template without marks gets the generic form") {
    const AnswerFormat format = detect("{% for m in messages %}{{ m.content }}{% endfor %}");
    CHECK(format.calls == F::generic);
    CHECK(format.reasoning == std::vector<ReasoningMarks>{{"<think>", "</think>", false}});
    CHECK(format.stops.empty());
    CHECK(detect("").calls == F::generic);
}

TEST_CASE("every way of writing calls is told by each of its own marks") {
    for (const CallSyntax& syntax : call_syntaxes()) {
        for (const std::string_view mark : syntax.shown_by) {
            CAPTURE(mark);
            CHECK(name_of(detect(mark).calls) == syntax.name);
        }
    }
}

TEST_CASE("special tokens that are marks or parts of them are rendered, others are not") {
    const AnswerFormat gemma = detect("<|tool_call> <|channel>");
    CHECK(gemma.renders("<|tool_call>"));
    CHECK(gemma.renders("<|channel>"));
    CHECK(gemma.renders("<|\"|>"));
    CHECK_FALSE(gemma.renders("<turn|>"));
    CHECK_FALSE(gemma.renders(""));
    CHECK(detect("<|channel|>").renders("<|message|>"));
    CHECK(detect("[TOOL_CALLS]").renders("[ARGS]"));
    CHECK(detect("<|python_tag|>").renders("<|eom_id|>"));
    CHECK_FALSE(detect("<|python_tag|>").renders("<|eot_id|>"));
}

}  // namespace
}  // namespace shoal::chat::tests::answer_format_test
