// Chat templates: text with Jinja tags, as GGUF files carry them, rendered over messages.
#pragma once

#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/jinja/error.hpp"
#include "daemon/jinja/limits.hpp"
#include "daemon/jinja/value.hpp"

namespace shoal::jinja {

struct ParsedTemplate;

struct Span {
    std::string text;
    /// Bytes of the input: whatever they look like, they are no marker of the model.
    bool from_input;

    bool operator==(const Span&) const = default;
};

/// Text with the origin of its bytes. Neighbours differ in from_input, none is empty.
struct Rendered {
    std::vector<Span> spans;

    std::string text() const;
};

/// A parsed template. Copies share it; several threads may render it at a time.
class Template {
  public:
    /// `name` is how errors call it. Throws TemplateError when the source is no template, is not
    /// UTF-8 or exceeds kMaxSourceBytes or kMaxParseDepth.
    static Template parse(std::string_view source, std::string name);

    /// `variables` is a dict: messages, tools, add_generation_prompt, bos_token and so on, as the
    /// transformers library passes them. `now` is what strftime_now() tells. Throws TemplateError
    /// when the template refuses, fails or exceeds a limit.
    Rendered render(const Value& variables, const std::tm& now, const Limits& limits = {}) const;

    const std::string& name() const noexcept { return name_; }

  private:
    Template(std::shared_ptr<const ParsedTemplate> parsed, std::string name) noexcept
        : parsed_(std::move(parsed)), name_(std::move(name)) {}

    std::shared_ptr<const ParsedTemplate> parsed_;
    std::string name_;
};

}  // namespace shoal::jinja
