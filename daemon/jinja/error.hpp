// What can be wrong with a template, or happen to it while it renders.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace shoal::jinja {

/// The one exception that leaves this folder. what() is whole: template, line and cause.
class TemplateError : public std::runtime_error {
  public:
    enum class By : std::uint8_t {
        engine,          ///< the source is wrong, or an operation failed
        limit,           ///< a limit of Limits or of the parser was exceeded
        raise_exception  ///< the template itself refuses, with words meant for the user
    };

    TemplateError(std::string_view template_name, std::uint32_t line, std::string message, By by);

    /// From 1; 0 when no line is to blame.
    std::uint32_t line() const noexcept { return line_; }
    /// The cause alone. For raise_exception, exactly what the template passed.
    const std::string& message() const noexcept { return message_; }
    By by() const noexcept { return by_; }
    bool raised_by_template() const noexcept { return by_ == By::raise_exception; }

  private:
    std::uint32_t line_;
    std::string message_;
    By by_;
};

/// What is thrown inside this folder, where the template is not known and mostly not the line.
/// Template catches it and adds both.
struct Failure {
    std::string message;
    TemplateError::By by = TemplateError::By::engine;
    std::uint32_t line = 0;
};

[[noreturn]] void fail(std::string message);
[[noreturn]] void fail_at(std::uint32_t line, std::string message);
[[noreturn]] void fail_limit(std::string message);

}  // namespace shoal::jinja
