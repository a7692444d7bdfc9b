// A model's chat templates, parsed.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "daemon/jinja/template.hpp"

namespace shoal {

/// Each is parsed when it is first asked for, and kept: that takes a millisecond, and every
/// conversation wants it. Thread-safe.
class LazyTemplates {
  public:
    /// `source` is what the model's file has under `name`. Nothing: it is no template.
    std::optional<jinja::Template> of(const std::string& source, const std::string& name) const;

  private:
    mutable std::mutex mutex_;
    mutable std::map<std::string, jinja::Template> parsed_;  // by name
};

}  // namespace shoal
