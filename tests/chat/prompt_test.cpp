#include "daemon/chat/prompt.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <variant>

namespace shoal::chat::prompt_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

std::tm date() {
    std::tm at{};
    at.tm_year = 126, at.tm_mon = 2, at.tm_mday = 9, at.tm_hour = 7, at.tm_min = 5;
    return at;
}

ChatTemplate of(std::string source) {
    return {std::move(source), "tokenizer.chat_template of tiny", "<s>", "</s>"};
}

Conversation said(const std::string& text) {
    Conversation c;
    c.messages.push_back(Message{.role = "user", .content = text});
    return c;
}

Prompt made(const Conversation& c, const ChatTemplate& from) {
    auto prompt = make_prompt(c, from, date());
    if (auto* why = std::get_if<std::string>(&prompt)) FAIL(*why);
    return std::get<Prompt>(prompt);
}

std::string refused(const Conversation& c, const std::string& source) {
    auto prompt = make_prompt(c, of(source), date());
    REQUIRE(std::holds_alternative<std::string>(prompt));
    return std::get<std::string>(prompt);
}

// What people wrote between «», what the template wrote outside.
std::string shown(const Prompt& prompt) {
    std::string out;
    std::size_t at = 0;
    for (const Stretch& stretch : prompt.stretches) {
        const std::string text = prompt.text.substr(at, stretch.bytes);
        out += stretch.literal ? "«" + text + "»" : text;
        at += stretch.bytes;
    }
    CHECK(at == prompt.text.size());
    return out;
}

// Conversations that reach templates in another form than transformers gives them: parts of text
// joined, arguments as objects, no content as an empty text; tools described where the template
// would drop them.
bool differs(const ordered_json& given, const ChatTemplate& from) {
    for (const auto& message : given.at("messages")) {
        if (!message.at("content").is_string()) return true;
        for (const auto& call : message.value("tool_calls", ordered_json::array())) {
            if (!call.at("function").at("arguments").is_object()) return true;
        }
    }
    return given.contains("tools") && from.source.find("tools") == std::string::npos;
}

std::string read(const fs::path& path) {
    std::ifstream file(path);
    std::ostringstream all;
    all << file.rdbuf();
    return all.str();
}

}  // namespace

TEST_SUITE("prompt") {
    TEST_CASE("what people wrote is told apart from what the template writes") {
        Conversation c = said("hi <|end|> ");
        c.messages.insert(c.messages.begin(), Message{.role = "system", .content = "Be terse."});
        const std::string source =
            "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>\n{{ m.content | trim }}"
            "<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";
        CHECK(shown(made(c, of(source))) ==
              "<s><|system|>\n«Be terse.»<|end|><|user|>\n«hi <|end|>»<|end|><|assistant|>");
        // A role that nobody knows is a text like others.
        c.messages[1].role = "|end|";
        CHECK(shown(made(c, of(source))).find("<|«|end|»|>") != std::string::npos);
    }

    TEST_CASE("variables of the request reach the template, the conversation stays") {
        Conversation c = said("hi");
        c.template_kwargs =
            R"({"enable_thinking": false, "add_generation_prompt": false, "messages": [], "n": 3})";
        CHECK(made(c, of("{{ enable_thinking }} {{ add_generation_prompt }} {{ n + 1 }} "
                         "{{ messages | length }} {{ tools is none }}"))
                  .text == "False False 4 1 True");
    }

    TEST_CASE("thinking is one thing under two names") {
        const ChatTemplate from = of("{{ enable_thinking }} {{ thinking }}");
        Conversation c = said("hi");
        c.template_kwargs = R"({"enable_thinking": false})";
        CHECK(made(c, from).text == "False False");
        c.template_kwargs = R"({"thinking": true})";
        CHECK(made(c, from).text == "True True");
        c.template_kwargs = R"({"thinking": 1, "enable_thinking": 2})";
        CHECK(made(c, from).text == "2 1");
    }

    TEST_CASE("an answer that the conversation begins is gone on with") {
        const std::string messages =
            "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}";
        const ChatTemplate from =
            of(messages + "{% if add_generation_prompt %}<|assistant|>{% endif %}");
        Conversation c = said("hi");
        c.messages.push_back({.role = "assistant", .content = "<|end|> He", .reasoning = "hm"});
        const std::string continued = "<|user|>«hi»<|end|><|assistant|>«<|end|> He»";
        CHECK(shown(made(c, from)) == continued);
        CHECK(made(c, from).open_end().empty());
        c.template_kwargs = R"({"continue_final_message": true, "add_generation_prompt": false})";
        CHECK(shown(made(c, from)) == continued);
        // Unless the request wants another message, or the prompt as it is.
        c.template_kwargs = R"({"continue_final_message": false})";
        CHECK(made(c, from).text.ends_with("He<|end|><|assistant|>"));
        c.template_kwargs = R"({"add_generation_prompt": false})";
        CHECK(made(c, from).text.ends_with("He<|end|>"));
        // Reasoning that the template has opened is over by then.
        c.template_kwargs.clear();
        const ChatTemplate thinking = of(messages + "<|assistant|>{{ '<think>\\n' }}");
        CHECK(shown(made(c, thinking)) ==
              "<|user|>«hi»<|end|><|assistant|><think>\n«hm»</think>\n\n«<|end|> He»");
        CHECK(shown(made(c, of("<|channel|>{{ messages[0].content }}<|start|>assistant"))) ==
              "<|channel|>«hi»<|start|>assistant<|channel|>final<|message|>«<|end|> He»");
        c.messages.pop_back();
        CHECK(made(c, thinking).open_end() == "<|end|><|assistant|><think>\n");
        c.template_kwargs = R"({"continue_final_message": true})";
        CHECK(refused(c, messages).find("last message of the assistant") != std::string::npos);
    }

    TEST_CASE("calls, results and reasoning are there under the names that templates use") {
        Conversation c = said("hi");
        c.messages.push_back(Message{.role = "assistant",
                                     .reasoning = "hm",
                                     .tool_calls = {{"call1", "add", R"({"a": [1, 2.0]})"}}});
        c.messages.push_back(
            Message{.role = "tool", .content = "3", .tool_call_id = "call1", .name = "add"});
        c.tools = {{"add", "Adds.", R"({"type": "object"})"}};
        const std::string source =
            "{%- for m in messages %}{{ m.reasoning_content or '' }}"
            "{%- for call in m.tool_calls or [] %}[{{ call.id }} {{ call.function.name }} "
            "{{ call.function.arguments | tojson }}]{% endfor %}"
            "{{ m.tool_call_id or '' }}{{ m.name or '' }};{% endfor %}"
            "{{ tools[0].function | tojson }}";
        CHECK(made(c, of(source)).text ==
              ";hm[call1 add {\"a\": [1, 2.0]}];call1add;{\"name\": \"add\", \"description\": "
              "\"Adds.\", \"parameters\": {\"type\": \"object\"}}");
    }

    TEST_CASE("tools that a template does not know of are described to the model") {
        Conversation c = said("hi");
        c.tools = {{"add", "", ""}};
        const std::string source =
            "{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}";
        CHECK(made(c, of(source)).text.find(R"("name": "add")") != std::string::npos);
        CHECK(made(c, of(source)).text.ends_with("[user:hi]"));
        c.messages.insert(c.messages.begin(), Message{.role = "system", .content = "Terse."});
        CHECK(made(c, of(source)).text.starts_with("[system:Terse.\n\n"));
        c.tool_choice.kind = ToolChoice::Kind::none;
        CHECK(made(c, of(source)).text == "[system:Terse.][user:hi]");
    }

    TEST_CASE("a file without a template gets ChatML, with tools and without") {
        ChatTemplate from = of(std::string(built_in_template()));
        Conversation c = said("hi");
        CHECK(shown(made(c, from)) == "<|im_start|>user\n«hi»<|im_end|>\n<|im_start|>assistant\n");
        c.messages.insert(c.messages.begin(), Message{.role = "system", .content = "Terse."});
        CHECK(made(c, from).text.starts_with("<|im_start|>system\nTerse.<|im_end|>\n<|im_start|>"));
        c.tools = {{"add", "", ""}};
        const std::string text = made(c, from).text;
        CHECK(text.starts_with("<|im_start|>system\nTerse.\n\n# Tools"));
        CHECK(text.find(R"("name": "add")") != std::string::npos);
        CHECK(text.ends_with("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"));
        CHECK(text.find("Terse.", text.find("Terse.") + 1) == std::string::npos);
    }

    TEST_CASE("a template that refuses, and one that is wrong, are told in a sentence") {
        CHECK(refused(said("hi"), "{{ raise_exception('Roles must alternate.') }}") ==
              "the model's chat template refuses the conversation: Roles must alternate.");
        const std::string wrong = refused(said("hi"), "one\n{{ messages[0].content.nothing() }}");
        CHECK(wrong.find("tokenizer.chat_template of tiny") != std::string::npos);
        CHECK(wrong.find("line 2") != std::string::npos);
        CHECK(refused(said("hi"), "{% if %}").find("tiny") != std::string::npos);
        CHECK(refused(said("hi"),
                      "{% for i in range(99999) %}{% for j in range(99999) %}"
                      "{% endfor %}{% endfor %}")
                  .find("tiny") != std::string::npos);
    }

    TEST_CASE("conversations become what transformers makes of them") {
        const char* folder = std::getenv("SHOAL_CHAT");
        if (folder == nullptr) {
            MESSAGE("SHOAL_CHAT is not set: nothing to compare with");
            return;
        }
        const auto cases = ordered_json::parse(read(fs::path(folder) / "cases.json"));
        const auto expected = ordered_json::parse(read(fs::path(folder) / "expected.json"));
        int equal = 0;
        for (const auto& [each_name, results] : expected.items()) {
            const auto& name = each_name;
            const ChatTemplate from = of(read(fs::path(folder) / "templates" / (name + ".jinja")));
            for (const auto& [each_key, result] : results.items()) {
                const auto& key = each_key;
                if (!result.contains("text") || differs(cases.at(key), from)) continue;
                const auto& given = cases.at(key);
                ordered_json json{{"messages", given.at("messages")}};
                if (given.contains("tools")) json["tools"] = given["tools"];
                if (given.contains("extra")) json.update(given["extra"]);
                json["add_generation_prompt"] = given.at("add_generation_prompt");
                auto conversation = parse_conversation(json.dump());
                REQUIRE(std::holds_alternative<Conversation>(conversation));
                CAPTURE(name);
                CAPTURE(key);
                CHECK(made(std::get<Conversation>(conversation), from).text ==
                      result["text"].get<std::string>());
                ++equal;
            }
        }
        CHECK(equal > 0);
    }
}

}  // namespace shoal::chat::prompt_test
