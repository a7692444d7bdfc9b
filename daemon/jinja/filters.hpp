// Filters, by their names. Internal to this folder.
#pragma once

#include <span>
#include <string_view>

#include "daemon/jinja/error.hpp"
#include "daemon/jinja/methods.hpp"

namespace shoal::jinja {

/// Throws Failure when there is none of this name.
const NamedFunction& filter_named(std::string_view name);

/// A filter that jinja2 makes a generator of: what is wrong is told when the items are wanted,
/// which templates rely on when nobody does.
template <Function filter>
Value lazy(Run& run, const Value& self, const Arguments& arguments) {
    try {
        return filter(run, self, arguments);
    } catch (Failure& failure) {
        if (failure.by != TemplateError::By::engine) throw;
        const Ref<ListCell> out = run.list(Flavour::generator);
        out->grow(failure.message.size());
        out->failure = std::move(failure.message);
        return Value(out);
    }
}

// The parts of the table, each sorted by name.
std::span<const NamedFunction> text_filters() noexcept;
std::span<const NamedFunction> number_filters() noexcept;
std::span<const NamedFunction> sequence_filters() noexcept;
std::span<const NamedFunction> selection_filters() noexcept;
std::span<const NamedFunction> json_filters() noexcept;

}  // namespace shoal::jinja
