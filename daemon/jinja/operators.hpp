// Python's operators over values. Each throws Failure for operands that it does not take. Internal
// to this folder.
#pragma once

#include "daemon/jinja/ast.hpp"
#include "daemon/jinja/run.hpp"

namespace shoal::jinja {

bool truth(const Value& value) noexcept;
bool equal(Run& run, const Value& a, const Value& b);
/// a < b, as lists are sorted by.
bool less(Run& run, const Value& a, const Value& b);
bool related(Run& run, Relation relation, const Value& a, const Value& b);
bool contains(Run& run, const Value& container, const Value& item);

Value applied(Run& run, Operator op, const Value& a, const Value& b);
Value signed_value(const Value& operand, bool negative);
/// a ~ b ~ ...: all as text.
Value concatenated(Run& run, const std::vector<Value>& parts);

/// len(value).
std::size_t length_of(const Value& value);
/// The items of what can be iterated: of a string its characters, of a dict its keys. A list is
/// itself, so hold it still; a generator gives its items once.
Ref<ListCell> items_of(Run& run, const Value& value);
/// A copy of the items, as list().
Ref<ListCell> copied_items(Run& run, const Value& value, Flavour flavour = Flavour::list);

/// Throws Failure with its reason when the value is undefined.
void require_defined(const Value& value);

/// For HTML; markup as it is.
Value html_escaped(Run& run, const Value& value);

}  // namespace shoal::jinja
