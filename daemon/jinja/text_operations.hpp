// What Python's str does, over texts that keep the origin of their bytes. Methods and filters are
// made of these. Positions in results and arguments are code points. Internal to this folder.
#pragma once

#include <cstdint>
#include <optional>

#include "daemon/jinja/run.hpp"

namespace shoal::jinja {

enum class Sides : std::uint8_t { both, left, right };

// All take and give string values; a markup stays one.

/// Without the blanks at its ends, or without characters of `which`.
Value stripped(Run& run, const Value& text, Sides sides, const Value* which = nullptr);
Value lowered(Run& run, const Value& text);
Value uppered(Run& run, const Value& text);
/// The first character in upper case, the others in lower.
Value capitalized(Run& run, const Value& text);
/// As str.title(): the first of each run of letters in upper case.
Value titled(Run& run, const Value& text);
Value case_swapped(Run& run, const Value& text);

/// At blanks when there is no separator; at most `most` times unless that is negative.
Ref<ListCell> split(Run& run, const Value& text, const Value* separator, std::int64_t most,
                    bool from_right);
Ref<ListCell> split_lines(Run& run, const Value& text, bool keep_ends);
Value replaced(Run& run, const Value& text, const Value& old, const Value& by, std::int64_t most);
/// Items as text with `separator` between them.
Value joined(Run& run, const Value& separator, const ListCell& items);

/// The bytes from code point `begin` up to `end`, as slices take bounds; none is the end.
Value part_of(Run& run, const Value& text, const Value& begin, const Value& end);
/// Where `what` is, -1 when it is not there.
std::int64_t position_in(Run& run, const Value& text, const Value& what, bool last);
std::int64_t count_in(Run& run, const Value& text, const Value& what);
/// Whether it has letters with case and all of them are upper, or lower.
bool has_case(Run& run, const Value& text, bool upper);
/// Padded to a width in code points.
Value padded(Run& run, const Value& text, std::int64_t width, const Value* fill, Sides sides);

}  // namespace shoal::jinja
