#include "daemon/jinja/operators.hpp"

#include "daemon/jinja/error.hpp"
#include "daemon/jinja/format.hpp"
#include "daemon/jinja/loop.hpp"
#include "daemon/jinja/names.hpp"
#include "daemon/jinja/numbers.hpp"
#include "daemon/jinja/print.hpp"
#include "daemon/jinja/utf8.hpp"

namespace shoal::jinja {
namespace {

const char* sign_of(Operator op) noexcept {
    switch (op) {
        case Operator::add:
            return "+";
        case Operator::subtract:
            return "-";
        case Operator::multiply:
            return "*";
        case Operator::divide:
            return "/";
        case Operator::floor_divide:
            return "//";
        case Operator::modulo:
            return "%";
        case Operator::power:
            return "** or pow()";
    }
    return "";
}

[[noreturn]] void fail_operands(Operator op, const Value& a, const Value& b) {
    require_defined(a);
    require_defined(b);
    if (op == Operator::add && (a.is_string() || a.is(Value::Kind::list))) {
        const std::string type = type_name(a);
        fail("can only concatenate " + type + " (not \"" + type_name(b) + "\") to " + type);
    }
    fail(std::string("unsupported operand type(s) for ") + sign_of(op) + ": '" + type_name(a) +
         "' and '" + type_name(b) + "'");
}

bool is_list_or_tuple(const Value& value) noexcept {
    return value.is(Value::Kind::list) && (value.list_cell().flavour == Flavour::list ||
                                           value.list_cell().flavour == Flavour::tuple);
}

Value added(Run& run, const Value& a, const Value& b) {
    if (a.is_number() && b.is_number()) return add_numbers(a, b);
    if (a.is_string() && b.is_string()) {
        const bool markup = a.is_markup() || b.is_markup();
        Builder out(run);
        out.append(markup ? html_escaped(run, a) : a);
        out.append(markup ? html_escaped(run, b) : b);
        return out.finish(markup);
    }
    if (is_list_or_tuple(a) && is_list_or_tuple(b) &&
        a.list_cell().flavour == b.list_cell().flavour) {
        const Ref<ListCell> out = run.list(a.list_cell().flavour);
        for (const Value* part : {&a, &b}) {
            run.step(part->list_cell().items.size());
            for (const Value& item : part->list_cell().items) out->push(item);
        }
        return Value(out);
    }
    fail_operands(Operator::add, a, b);
}

/// A string or list so many times.
Value repeated(Run& run, const Value& what, std::int64_t times) {
    if (what.is_string()) {
        Builder out(run);
        for (std::int64_t i = 0; i < times && !what.text().empty(); ++i) {
            run.step();
            out.append(what);
        }
        return out.finish(what.is_markup());
    }
    const Ref<ListCell> out = run.list(what.list_cell().flavour);
    // The list may be the one being repeated elsewhere, but `out` is new.
    for (std::int64_t i = 0; i < times && !what.list_cell().items.empty(); ++i) {
        run.step(what.list_cell().items.size());
        for (const Value& item : what.list_cell().items) out->push(item);
    }
    return Value(out);
}

Value multiplied(Run& run, const Value& a, const Value& b) {
    if (a.is_number() && b.is_number()) return multiply_numbers(a, b);
    const auto repeats = [](const Value& v) { return v.is_string() || is_list_or_tuple(v); };
    if (repeats(a) && b.is_integral()) return repeated(run, a, b.as_integer());
    if (a.is_integral() && repeats(b)) return repeated(run, b, a.as_integer());
    fail_operands(Operator::multiply, a, b);
}

bool same_sequence(Run& run, const ListCell& a, const ListCell& b, std::uint32_t depth);

bool same(Run& run, const Value& a, const Value& b, std::uint32_t depth) {
    check_value_depth(depth);
    run.step();
    if (a.is_number() && b.is_number()) {
        return !is_nan(a) && !is_nan(b) && order_of_numbers(a, b) == 0;
    }
    if (a.kind() != b.kind()) return false;
    switch (a.kind()) {
        case Value::Kind::undefined:
            return true;
        case Value::Kind::string:
            run.work(a.bytes().size());
            return a.bytes() == b.bytes();
        case Value::Kind::list:
            return same_sequence(run, a.list_cell(), b.list_cell(), depth);
        case Value::Kind::dict: {
            if (a.same_as(b)) return true;
            if (a.dict_cell().size() != b.dict_cell().size()) return false;
            for (const DictCell::Entry& entry : a.dict_cell().entries()) {
                const DictCell::Entry* other = b.dict_cell().find(entry.key);
                if (other == nullptr || !same(run, entry.value, other->value, depth + 1)) {
                    return false;
                }
            }
            return true;
        }
        default:
            return a.same_as(b);
    }
}

bool same_sequence(Run& run, const ListCell& a, const ListCell& b, std::uint32_t depth) {
    if (&a == &b) return true;
    if (a.flavour != b.flavour || a.flavour == Flavour::generator) return false;
    if (a.items.size() != b.items.size()) return false;
    for (std::size_t i = 0; i < a.items.size(); ++i) {
        if (!same(run, a.items[i], b.items[i], depth + 1)) return false;
    }
    return true;
}

/// -1, 0, 1; 2 when a NaN has no order.
int order(Run& run, const Value& a, const Value& b, const char* sign, std::uint32_t depth) {
    check_value_depth(depth);
    run.step();
    if (a.is_number() && b.is_number()) {
        return is_nan(a) || is_nan(b) ? 2 : order_of_numbers(a, b);
    }
    if (a.is_string() && b.is_string()) {
        run.work(a.bytes().size());
        const int by_bytes = a.bytes().compare(b.bytes());
        return by_bytes < 0 ? -1 : by_bytes > 0 ? 1 : 0;
    }
    if (is_list_or_tuple(a) && is_list_or_tuple(b) &&
        a.list_cell().flavour == b.list_cell().flavour) {
        const auto& x = a.list_cell().items;
        const auto& y = b.list_cell().items;
        for (std::size_t i = 0; i < x.size() && i < y.size(); ++i) {
            if (!same(run, x[i], y[i], depth + 1)) return order(run, x[i], y[i], sign, depth + 1);
        }
        return x.size() < y.size() ? -1 : x.size() > y.size() ? 1 : 0;
    }
    require_defined(a);
    require_defined(b);
    fail(std::string("'") + sign + "' not supported between instances of '" + type_name(a) +
         "' and '" + type_name(b) + "'");
}

}  // namespace

void require_defined(const Value& value) {
    if (!value.is_undefined()) return;
    const UndefinedCell* cell = value.undefined_cell();
    fail(cell != nullptr ? cell->what : "a value is undefined");
}

bool truth(const Value& value) noexcept {
    switch (value.kind()) {
        case Value::Kind::undefined:
        case Value::Kind::none:
            return false;
        case Value::Kind::boolean:
        case Value::Kind::integer:
            return value.as_integer() != 0;
        case Value::Kind::real:
            return value.as_real() != 0;
        case Value::Kind::string:
            return !value.text().empty();
        case Value::Kind::list:
            // A generator is true before anybody knows what it gives.
            return value.list_cell().flavour == Flavour::generator ||
                   !value.list_cell().items.empty();
        case Value::Kind::dict:
            return value.dict_cell().size() > 0;
        case Value::Kind::name_space:
        case Value::Kind::function:
        case Value::Kind::loop:
            return true;
    }
    return true;
}

bool equal(Run& run, const Value& a, const Value& b) {
    return same(run, a, b, 0);
}

bool less(Run& run, const Value& a, const Value& b) {
    return order(run, a, b, "<", 0) == -1;
}

bool related(Run& run, Relation relation, const Value& a, const Value& b) {
    switch (relation) {
        case Relation::equal:
            return equal(run, a, b);
        case Relation::unequal:
            return !equal(run, a, b);
        case Relation::less:
            return order(run, a, b, "<", 0) == -1;
        case Relation::greater:
            return order(run, a, b, ">", 0) == 1;
        case Relation::less_equal: {
            const int found = order(run, a, b, "<=", 0);
            return found == -1 || found == 0;
        }
        case Relation::greater_equal: {
            const int found = order(run, a, b, ">=", 0);
            return found == 1 || found == 0;
        }
        case Relation::in:
            return contains(run, b, a);
        case Relation::not_in:
            return !contains(run, b, a);
    }
    return false;
}

bool contains(Run& run, const Value& container, const Value& item) {
    switch (container.kind()) {
        case Value::Kind::undefined:
            return false;
        case Value::Kind::string:
            if (!item.is_string()) {
                require_defined(item);
                fail("'in <string>' requires string as left operand, not " + type_name(item));
            }
            run.work(container.bytes().size());
            return container.bytes().find(item.bytes()) != std::string::npos;
        case Value::Kind::dict:
            if (item.is(Value::Kind::dict) || is_list_or_tuple(item)) {
                fail("unhashable type: '" + type_name(item) + "'");
            }
            return container.dict_cell().find(item) != nullptr;
        case Value::Kind::list: {
            const Ref<ListCell> items = items_of(run, container);
            for (std::size_t i = 0; i < items->items.size(); ++i) {
                if (equal(run, items->items[i], item)) return true;
            }
            return false;
        }
        default:
            fail("argument of type '" + type_name(container) + "' is not iterable");
    }
}

Value applied(Run& run, Operator op, const Value& a, const Value& b) {
    if (op == Operator::add) return added(run, a, b);
    if (op == Operator::multiply) return multiplied(run, a, b);
    if (op == Operator::modulo && a.is_string()) return percent_formatted(run, a, b);
    if (!a.is_number() || !b.is_number()) fail_operands(op, a, b);
    switch (op) {
        case Operator::subtract:
            return subtract_numbers(a, b);
        case Operator::divide:
            return divide_numbers(a, b);
        case Operator::floor_divide:
            return floor_divide_numbers(a, b);
        case Operator::modulo:
            return modulo_numbers(a, b);
        default:
            return power_numbers(a, b);
    }
}

Value signed_value(const Value& operand, bool negative) {
    if (!operand.is_number()) {
        require_defined(operand);
        fail(std::string("bad operand type for unary ") + (negative ? "-" : "+") + ": '" +
             type_name(operand) + "'");
    }
    if (operand.is(Value::Kind::real)) {
        return Value::real(negative ? -operand.as_real() : operand.as_real());
    }
    const Value whole = Value::integer(operand.as_integer());
    return negative ? subtract_numbers(Value::integer(0), whole) : whole;
}

Value concatenated(Run& run, const std::vector<Value>& parts) {
    Builder out(run);
    for (const Value& part : parts) print(run, out, part);
    return out.finish();
}

std::size_t length_of(const Value& value) {
    switch (value.kind()) {
        case Value::Kind::undefined:
            return 0;
        case Value::Kind::string:
            return value.string_cell().code_points;
        case Value::Kind::dict:
            return value.dict_cell().size();
        case Value::Kind::loop:
            return value.loop_cell().length();
        case Value::Kind::list:
            if (value.list_cell().flavour != Flavour::generator) {
                return value.list_cell().items.size();
            }
            [[fallthrough]];
        default:
            fail("object of type '" + type_name(value) + "' has no len()");
    }
}

Ref<ListCell> items_of(Run& run, const Value& value) {
    switch (value.kind()) {
        case Value::Kind::undefined:
            return run.list();
        case Value::Kind::list: {
            const Ref<ListCell> cell(&value.list_cell());
            if (cell->flavour != Flavour::generator) return cell;
            if (!cell->failure.empty()) fail(cell->failure);
            if (std::exchange(cell->consumed, true)) return run.list();
            return cell;
        }
        case Value::Kind::dict: {
            const Ref<ListCell> out = run.list();
            run.step(value.dict_cell().size());
            for (const DictCell::Entry& entry : value.dict_cell().entries()) out->push(entry.key);
            return out;
        }
        case Value::Kind::string: {
            const Ref<ListCell> out = run.list();
            const Text& text = value.text();
            run.step(text.size());
            for (std::size_t i = 0; i < text.size();) {
                const std::size_t length = utf8::length_at(text.bytes(), i);
                out->push(run.string(text.slice(i, i + length), value.is_markup()));
                i += length;
            }
            return out;
        }
        default:
            fail("'" + type_name(value) + "' object is not iterable");
    }
}

Ref<ListCell> copied_items(Run& run, const Value& value, Flavour flavour) {
    const Ref<ListCell> items = items_of(run, value);
    const Ref<ListCell> out = run.list(flavour);
    run.step(items->items.size());
    for (const Value& item : items->items) out->push(item);
    return out;
}

Value html_escaped(Run& run, const Value& value) {
    if (value.is_markup()) return value;
    const Value text = printed(run, value);
    Builder out(run);
    out.append_replaced(text.text(), [](char32_t c, std::string& by) {
        switch (c) {
            case '&':
                by = "&amp;";
                return true;
            case '<':
                by = "&lt;";
                return true;
            case '>':
                by = "&gt;";
                return true;
            case '\'':
                by = "&#39;";
                return true;
            case '"':
                by = "&#34;";
                return true;
            default:
                return false;
        }
    });
    return out.finish(true);
}

}  // namespace shoal::jinja
