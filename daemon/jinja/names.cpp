#include "daemon/jinja/names.hpp"

#include "daemon/jinja/cells.hpp"

namespace shoal::jinja {
namespace {

const char* flavour_name(Flavour flavour) noexcept {
    switch (flavour) {
        case Flavour::list:
            return "list";
        case Flavour::tuple:
            return "tuple";
        case Flavour::range:
            return "range";
        case Flavour::keys:
            return "dict_keys";
        case Flavour::values:
            return "dict_values";
        case Flavour::items:
            return "dict_items";
        case Flavour::generator:
            return "generator";
    }
    return "list";
}

}  // namespace

std::string type_name(const Value& value) {
    switch (value.kind()) {
        case Value::Kind::undefined:
            return "Undefined";
        case Value::Kind::none:
            return "NoneType";
        case Value::Kind::boolean:
            return "bool";
        case Value::Kind::integer:
            return "int";
        case Value::Kind::real:
            return "float";
        case Value::Kind::string:
            return value.string_cell().markup ? "Markup" : "str";
        case Value::Kind::list:
            return flavour_name(value.list_cell().flavour);
        case Value::Kind::dict:
            return "dict";
        case Value::Kind::name_space:
            return "Namespace";
        case Value::Kind::function:
            return "function";
        case Value::Kind::loop:
            return "LoopContext";
    }
    return "object";
}

std::string object_name(const Value& value) {
    if (value.is_none()) return "None";
    std::string out("'");
    return out.append(type_name(value)).append(" object'");
}

}  // namespace shoal::jinja
