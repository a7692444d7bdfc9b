// object.name, object[key] and object[a:b:c]. Internal to this folder.
#pragma once

#include <optional>

#include "daemon/jinja/run.hpp"

namespace shoal::jinja {

/// `object.name`: a method, or else the item of that name; undefined when there is neither. Throws
/// Failure when the object is undefined.
Value attribute_of(Run& run, const Value& object, const Value& name);
/// `object[key]`: the item, or else the method of that name.
Value item_of(Run& run, const Value& object, const Value& key);
/// Each of the bounds may be none.
Value slice_of(Run& run, const Value& object, const Value& from, const Value& to,
               const Value& step);

/// Attributes of attributes: "a.b.0", or one integer. What map(attribute=...) and so on take.
Value path_of(Run& run, const Value& object, const Value& path,
              const std::optional<Value>& preset = std::nullopt);

}  // namespace shoal::jinja
