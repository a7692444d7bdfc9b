// Values as Python prints them. Internal to this folder.
#pragma once

#include "daemon/jinja/run.hpp"

namespace shoal::jinja {

/// Appends str(value); nothing for an undefined one.
void print(Run& run, Builder& out, const Value& value);
/// Appends repr(value).
void print_repr(Run& run, Builder& out, const Value& value);
/// str(value) as a string value; of a string, itself.
Value printed(Run& run, const Value& value);

/// Whether a string of people is in it. What is printed around such strings, as brackets and
/// quotes, counts as input too: it can then never be part of a marker.
bool contains_input(Run& run, const Value& value);
inline Origin origin_within(Run& run, const Value& value) {
    return contains_input(run, value) ? Origin::input : Origin::written;
}

/// Guards recursion into values: throws Failure at kMaxValueDepth.
void check_value_depth(std::uint32_t depth);

}  // namespace shoal::jinja
