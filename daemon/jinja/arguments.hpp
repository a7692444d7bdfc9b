// What a filter, test or method is called with. Internal to this folder.
#pragma once

#include <optional>
#include <string_view>

#include "daemon/jinja/cells.hpp"
#include "daemon/jinja/run.hpp"

namespace shoal::jinja {

/// Takes the parameters in their order, each by its place or by its name. done() throws Failure
/// for arguments that nobody took.
class ArgumentReader {
  public:
    ArgumentReader(std::string_view function, const Arguments& arguments)
        : function_(function), arguments_(arguments), taken_(arguments.named.size(), false) {}

    /// Nothing when it was not given.
    std::optional<Value> take(std::string_view name);
    /// Throws Failure when it was not given.
    Value need(std::string_view name);
    bool flag(std::string_view name, bool preset);
    std::int64_t integer(std::string_view name, std::int64_t preset);
    void done() const;

  private:
    std::string_view function_;
    const Arguments& arguments_;
    std::size_t next_ = 0;
    std::vector<bool> taken_;
};

/// For parameters that must be strings or integers. `what` is named by the message.
const Value& need_string(const Value& value, std::string_view what);
std::int64_t need_integer(const Value& value, std::string_view what);

}  // namespace shoal::jinja
