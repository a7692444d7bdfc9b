#include "tests/chat/reading.hpp"

#include <doctest/doctest.h>

#include <numeric>
#include <random>

namespace shoal::chat::tests {
namespace {

/// Whether a character begins at the offset: what callers feed is whole characters.
bool is_boundary(std::string_view text, std::size_t at) {
    return (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80;
}

void note(Reading& reading, const AnswerEvent& event, EventKind& last) {
    switch (event.kind) {
        case EventKind::content:
        case EventKind::reasoning:
            if (event.kind == last && !reading.line.empty()) {
                reading.line.pop_back();
            } else {
                reading.line += event.kind == EventKind::content ? "content:" : "reasoning:";
            }
            reading.line += event.text + "|";
            break;
        case EventKind::call_begin:
            CHECK(event.call == reading.ids.size());
            reading.ids.push_back(event.id);
            reading.line += "call:" + event.name;
            break;
        case EventKind::call_arguments:
            reading.line += " " + event.text;
            break;
        case EventKind::call_end:
            reading.line += "|";
            break;
    }
    last = event.kind;
}

}  // namespace

const std::vector<Tool>& house_tools() {
    static const std::vector<Tool> kTools = {
        {"get_temperature", "The temperature of a room",
         R"({"type":"object","properties":{"room":{"type":"string"},"unit":{"type":"string"}}})"},
        {"set_light", "Switch a light",
         R"({"type":"object","properties":{"on":{"type":"boolean"},"level":{"type":"integer"},
             "names":{"type":"array","items":{"type":"string"}}}})"}};
    return kTools;
}

ReaderOptions house(std::string prompt_end) {
    ReaderOptions options;
    options.tools = house_tools();
    options.prompt_end = std::move(prompt_end);
    return options;
}

AnswerFormat format_of(CallFormat calls) {
    const auto& shown = syntax_of(calls).shown_by;
    AnswerFormat format = detect(shown.empty() ? std::string_view() : shown.front());
    REQUIRE(format.calls == calls);
    return format;
}

Reading read(const AnswerFormat& format, const ReaderOptions& options, std::string_view text,
             const std::vector<std::size_t>& cuts, Ending ending) {
    AnswerReader reader(format, options);
    Reading reading;
    EventKind last = EventKind::call_end;
    std::size_t begin = 0;
    const auto take = [&](const std::vector<AnswerEvent>& events) {
        for (const AnswerEvent& event : events) note(reading, event, last);
    };
    for (const std::size_t cut : cuts) {
        take(reader.feed(text.substr(begin, cut - begin)));
        begin = cut;
    }
    take(reader.feed(text.substr(begin)));
    reading.stopped = reader.stopped();
    take(reader.finish(ending));
    reading.unfinished = reader.unfinished_call();
    return reading;
}

std::string line(CallFormat calls, std::string_view text, Ending ending) {
    const AnswerFormat format = format_of(calls);
    check_cuts(format, house(), text, 1);
    return read(format, house(), text, {}, ending).line;
}

void check_cuts(const AnswerFormat& format, const ReaderOptions& options, std::string_view text,
                std::uint32_t seed, int rounds) {
    std::vector<std::size_t> boundaries;
    for (std::size_t at = 1; at < text.size(); ++at) {
        if (is_boundary(text, at)) boundaries.push_back(at);
    }
    std::mt19937 random(seed);
    for (const Ending ending : {Ending::by_model, Ending::cut_off}) {
        const Reading whole = read(format, options, text, {}, ending);
        const auto same = [&](const std::vector<std::size_t>& cuts) {
            const Reading other = read(format, options, text, cuts, ending);
            if (other == whole) return;
            INFO("text: ", text);
            INFO("first cut: ", cuts.empty() ? 0 : cuts.front(), " of ", cuts.size());
            CHECK(other.line == whole.line);
            CHECK(other.unfinished == whole.unfinished);
            CHECK(other.stopped == whole.stopped);
            CHECK(other.ids == whole.ids);
        };
        for (const std::size_t cut : boundaries) same({cut});
        same(boundaries);
        for (int round = 0; round < rounds; ++round) {
            std::vector<std::size_t> cuts;
            for (const std::size_t at : boundaries) {
                if (random() % 4 == 0) cuts.push_back(at);
            }
            same(cuts);
        }
    }
}

}  // namespace shoal::chat::tests
