#include "daemon/jinja/template.hpp"

#include <utility>

#include "daemon/jinja/interpreter.hpp"
#include "daemon/jinja/parser.hpp"

namespace shoal::jinja {

std::string Rendered::text() const {
    std::string out;
    for (const Span& span : spans) out += span.text;
    return out;
}

Template Template::parse(std::string_view source, std::string name) {
    try {
        return {std::make_shared<const ParsedTemplate>(jinja::parse(source)), std::move(name)};
    } catch (const Failure& failure) {
        throw TemplateError(name, failure.line, failure.message, failure.by);
    }
}

Rendered Template::render(const Value& variables, const std::tm& now, const Limits& limits) const {
    if (!variables.is(Value::Kind::dict)) {
        throw TemplateError(name_, 0, "its variables are no dict", TemplateError::By::engine);
    }
    Run run(limits, now);
    try {
        const Text text = Interpreter(run, *parsed_, variables).render();
        Rendered out;
        text.for_each_run([&](std::string_view bytes, Origin origin) {
            out.spans.push_back({std::string(bytes), origin == Origin::input});
        });
        return out;
    } catch (const Failure& failure) {
        const std::uint32_t line = failure.line != 0 ? failure.line : run.line;
        throw TemplateError(name_, line, failure.message, failure.by);
    }
}

}  // namespace shoal::jinja
