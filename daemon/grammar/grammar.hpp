// A compiled grammar: what an answer's text must look like.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace shoal::grammar {

struct Program;

/// Immutable and thread-safe; one is shared by all requests that use it.
class Grammar {
  public:
    explicit Grammar(Program program);
    ~Grammar();
    Grammar(const Grammar&) = delete;
    Grammar& operator=(const Grammar&) = delete;

    const Program& program() const noexcept { return *program_; }

  private:
    std::unique_ptr<const Program> program_;
};

/// What is wrong with a grammar or a schema, and where: "line 3, column 7: ..." or
/// "#/properties/a: ...". For the user.
struct GrammarError {
    std::string message;
};

using GrammarOrError = std::variant<std::shared_ptr<const Grammar>, GrammarError>;

/// From GBNF; the text is matched from the rule `root`. GRAMMAR.md says what is understood.
[[nodiscard]] GrammarOrError compile_gbnf(std::string_view text);

/// From a JSON Schema, as JSON text. GRAMMAR.md says which keywords are honoured.
[[nodiscard]] GrammarOrError compile_json_schema(std::string_view schema);

/// A function that may be called.
struct Callable {
    std::string name;
    std::string parameters;  ///< a JSON schema of an object
    /// The parameters whose values are plain text, where arguments are written one by one.
    std::vector<std::string> texts = {};
};

/// Literal text around arguments that are written one by one, in the order of the schema:
///   before NAME between VALUE after separator before NAME ...
/// A value is JSON; plain text goes up to `after`.
struct ArgumentFrame {
    std::string before, between, after, separator;
    std::string between_text;  ///< instead of `between`, before plain text

    /// Otherwise the arguments are a JSON object.
    bool one_by_one() const noexcept { return !between.empty(); }
};

/// Literal text around calls:
///   open (before NAME between ARGUMENTS after) separator (...) close
struct CallFrame {
    std::string open, before, between, after, separator, close;
    ArgumentFrame arguments = {};
};

/// At least a call, of any of these; several up to kMaxCalls if allowed. A schema that is refused
/// is named by its function.
[[nodiscard]] GrammarOrError compile_calls(const CallFrame& frame,
                                           std::span<const Callable> functions, bool several);
inline constexpr std::uint32_t kMaxCalls = 32;

/// Any JSON object.
[[nodiscard]] GrammarOrError compile_json_object();

}  // namespace shoal::grammar
