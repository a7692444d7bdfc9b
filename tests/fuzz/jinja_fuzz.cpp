// A template from a model file: whatever it is, it renders or ends with a TemplateError, within
// small limits.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "daemon/jinja/template.hpp"

using namespace shoal::jinja;

namespace {

constexpr std::string_view kVariables = R"({
    "messages": [{"role": "user", "content": "H\u00e9 <|x|>\n"}, {"role": "assistant",
                  "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"a": [1, 2.5, true]}}}]}],
    "tools": [{"type": "function"}], "add_generation_prompt": true, "x": 3, "s": "a,b c"})";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const Value variables = Value::from_json(kVariables, Origin::input);
    Limits limits;
    limits.steps = 50'000;
    limits.memory_bytes = 1 << 20;
    limits.output_bytes = 1 << 16;
    limits.depth = 200;
    try {
        const Template parsed =
            Template::parse({reinterpret_cast<const char*>(data), size}, "fuzz");
        const Rendered rendered = parsed.render(variables, std::tm{}, limits);
        for (std::size_t i = 0; i < rendered.spans.size(); ++i) {
            const Span& span = rendered.spans[i];
            const bool merged = i > 0 && span.from_input == rendered.spans[i - 1].from_input;
            if (span.text.empty() || merged) std::abort();
        }
    } catch (const TemplateError& error) {
        if (error.message().empty() && !error.raised_by_template()) std::abort();
    }
    return 0;
}
