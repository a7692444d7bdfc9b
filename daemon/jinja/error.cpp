#include "daemon/jinja/error.hpp"

#include <utility>

namespace shoal::jinja {
namespace {

std::string sentence(std::string_view name, std::uint32_t line, const std::string& message) {
    std::string out = "chat template ";
    out.append(name);
    if (line != 0) out.append(", line ").append(std::to_string(line));
    return out.append(": ").append(message);
}

}  // namespace

TemplateError::TemplateError(std::string_view template_name, std::uint32_t line,
                             std::string message, By by)
    : std::runtime_error(sentence(template_name, line, message)),
      line_(line),
      message_(std::move(message)),
      by_(by) {}

void fail(std::string message) {
    throw Failure{std::move(message)};
}

void fail_at(std::uint32_t line, std::string message) {
    throw Failure{std::move(message), TemplateError::By::engine, line};
}

void fail_limit(std::string message) {
    throw Failure{std::move(message), TemplateError::By::limit};
}

}  // namespace shoal::jinja
