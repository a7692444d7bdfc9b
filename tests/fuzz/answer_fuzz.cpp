// Whatever a model writes: reading never crashes, says the same however the text is cut, and what
// it calls arguments is a JSON object. Also conversations from clients.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/chat/answer_reader.hpp"
#include "daemon/chat/conversation.hpp"
#include "daemon/chat/json_text.hpp"

using namespace shoal::chat;

namespace {

void must(bool fine) {
    if (!fine) std::abort();
}

std::size_t boundary(std::string_view text, std::size_t at) {
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
    return at;
}

/// Everything that a reader says about the text fed in steps of `step` bytes.
std::string said(const AnswerFormat& format, const ReaderOptions& options, std::string_view text,
                 std::size_t step, Ending ending) {
    AnswerReader reader(format, options);
    std::string line;
    EventKind last = EventKind::call_end;
    std::size_t shown = 0;
    const auto take = [&](const std::vector<AnswerEvent>& events) {
        for (const AnswerEvent& event : events) {
            if (event.kind != last || event.kind > EventKind::reasoning) {
                line += '\0';
                line += static_cast<char>('0' + static_cast<int>(event.kind));
            }
            last = event.kind;
            line += event.text + event.id + event.name;
            if (event.kind <= EventKind::reasoning) shown += event.text.size();
            if (event.kind == EventKind::call_begin) must(!event.name.empty() && !event.id.empty());
            if (event.kind == EventKind::call_arguments) must(is_json_object(event.text));
        }
    };
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = boundary(text, std::min(begin + step, text.size()));
        take(reader.feed(text.substr(begin, end - begin)));
        begin = end;
    }
    take(reader.finish(ending));
    // Harmony's messages are put apart by two line ends that the model did not write.
    must(shown <= text.size() + (format.calls == CallFormat::harmony ? text.size() : 0));
    return line + (reader.unfinished_call() ? "u" : "") + (reader.stopped() ? "s" : "");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 3) return 0;
    const auto& syntaxes = call_syntaxes();
    const CallSyntax& syntax = syntaxes[data[0] % syntaxes.size()];
    constexpr std::string_view kReasoning[] = {"", "<think>", "[THINK]", "<|channel>",
                                               "<|inner_prefix|>"};
    std::string source(kReasoning[data[1] % std::size(kReasoning)]);
    if (!syntax.shown_by.empty()) source += syntax.shown_by.front();
    ReaderOptions options;
    if ((data[2] & 1) != 0)
        options.tools = {{"f", "", R"({"properties":{"s":{"type":"string"}}})"}, {"g", "", ""}};
    options.parallel_calls = (data[2] & 2) == 0;
    options.calls = (data[2] & 12) != 12;
    if ((data[2] & 16) != 0) options.prompt_end = "<think>\n";
    if ((data[2] & 32) != 0) options.prompt_end = ">>>";
    const Ending ending = (data[2] & 64) != 0 ? Ending::cut_off : Ending::by_model;
    const std::string_view text(reinterpret_cast<const char*>(data) + 3, size - 3);
    const AnswerFormat format = detect(source);
    const std::string whole = said(format, options, text, text.size() + 1, ending);
    must(said(format, options, text, 1, ending) == whole);
    must(said(format, options, text, 1 + data[1] % 13, ending) == whole);

    auto conversation = parse_conversation(text);
    if (auto* read = std::get_if<Conversation>(&conversation)) {
        must(!problem_in(*read));
        const std::string json = to_json(*read);
        must(is_json_object(json));
        // What it writes it reads as the same, but for what is at the limits.
        auto again = parse_conversation(json);
        if (auto* same = std::get_if<Conversation>(&again)) must(to_json(*same) == json);
    }
    return 0;
}
