#include "daemon/jinja/filters.hpp"

#include "daemon/jinja/error.hpp"

namespace shoal::jinja {

const NamedFunction& filter_named(std::string_view name) {
    for (const auto part : {text_filters(), number_filters(), sequence_filters(),
                            selection_filters(), json_filters()}) {
        if (const NamedFunction* filter = find_function(part, name)) return *filter;
    }
    fail("there is no filter '" + std::string(name.substr(0, 40)) + "'");
}

}  // namespace shoal::jinja
