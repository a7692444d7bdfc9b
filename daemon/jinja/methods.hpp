// The methods of strings, lists and dicts. Internal to this folder.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "daemon/jinja/arguments.hpp"
#include "daemon/jinja/run.hpp"

namespace shoal::jinja {

/// A method, filter or global function: `self` is what it is called on.
using Function = Value (*)(Run& run, const Value& self, const Arguments& arguments);
struct NamedFunction {
    std::string_view name;
    Function function;
};

/// The method bound to the object; nothing when there is none of this name.
std::optional<Value> method_of(Run& run, const Value& object, std::string_view name);
/// A function as a value.
Value bound(Run& run, const NamedFunction& function, const Value& self);

/// As dict(other) and update(other): a dict, or pairs.
void merge_into(Run& run, DictCell& dict, const Value& other);

/// Sorted by name.
std::span<const NamedFunction> string_methods() noexcept;
std::span<const NamedFunction> list_methods() noexcept;
std::span<const NamedFunction> tuple_methods() noexcept;
std::span<const NamedFunction> dict_methods() noexcept;
const NamedFunction* find_function(std::span<const NamedFunction> functions,
                                   std::string_view name) noexcept;

}  // namespace shoal::jinja
