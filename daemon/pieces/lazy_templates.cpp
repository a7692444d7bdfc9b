#include "daemon/pieces/lazy_templates.hpp"

namespace shoal {

std::optional<jinja::Template> LazyTemplates::of(const std::string& source,
                                                 const std::string& name) const {
    const std::lock_guard lock(mutex_);
    const auto it = parsed_.find(name);
    if (it != parsed_.end()) return it->second;
    try {
        return parsed_.emplace(name, jinja::Template::parse(source, name)).first->second;
    } catch (const jinja::TemplateError&) {
        return std::nullopt;
    }
}

}  // namespace shoal
