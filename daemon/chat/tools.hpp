// The tools of a request, as far as reading their calls needs them.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::chat {

/// A function that the model may call.
struct Tool {
    std::string name;
    std::string description;
    std::string parameters;  ///< a JSON schema as text; empty: takes none, or not told
};

/// A call that the model has written.
struct Call {
    std::string id;  ///< as the model wrote it; empty when its format has none
    std::string name;
    std::string arguments;  ///< a JSON object as text
};

/// Which names there are, and what kind of values their parameters take.
class ToolTable {
  public:
    /// A schema that cannot be read counts as one that says nothing.
    explicit ToolTable(const std::vector<Tool>& tools);

    /// Whether a call of the name may be one: any name that could be a function's, when there are
    /// no tools.
    bool may_call(std::string_view name) const;
    /// A value that a format writes without quotes, as JSON by the parameter's schema: the text
    /// itself for a "string", else JSON or a Python literal, and a string when it is neither.
    std::string value(std::string_view tool, std::string_view parameter,
                      std::string_view text) const;
    /// The parameters of a tool whose values are the text itself.
    std::vector<std::string> texts_of(std::string_view tool) const;

  private:
    enum class Kind { unknown, string, string_or_null, other };
    static Kind kind_of(std::string_view schema);

    std::map<std::string, std::map<std::string, Kind, std::less<>>, std::less<>> kinds_;
};

}  // namespace shoal::chat
