#include "daemon/jinja/tests.hpp"

#include <algorithm>

#include "daemon/jinja/error.hpp"
#include "daemon/jinja/filters.hpp"
#include "daemon/jinja/numbers.hpp"
#include "daemon/jinja/operators.hpp"
#include "daemon/jinja/print.hpp"
#include "daemon/jinja/text_operations.hpp"

namespace shoal::jinja {
namespace {

struct NamedTest {
    std::string_view name;
    Test test;
};

/// A test of the subject alone.
template <bool (*holds)(const Value&)>
bool alone(Run&, const Value& subject, const Arguments& arguments) {
    ArgumentReader("this test", arguments).done();
    return holds(subject);
}

template <Relation relation>
bool relates(Run& run, const Value& subject, const Arguments& arguments) {
    ArgumentReader reader("this test", arguments);
    const Value other = reader.need("other");
    reader.done();
    return related(run, relation, subject, other);
}

bool is_boolean(const Value& v) {
    return v.is(Value::Kind::boolean);
}
bool is_callable(const Value& v) {
    // Undefined as well, which Python's callable() takes for one.
    return v.is(Value::Kind::function) || v.is(Value::Kind::loop) || v.is_undefined();
}
bool is_defined(const Value& v) {
    return !v.is_undefined();
}
bool is_escaped(const Value& v) {
    return v.is_string() && v.string_cell().markup;
}
bool is_false(const Value& v) {
    return is_boolean(v) && !v.as_boolean();
}
bool is_float(const Value& v) {
    return v.is(Value::Kind::real);
}
bool is_integer(const Value& v) {
    return v.is(Value::Kind::integer);
}
bool is_iterable(const Value& v) {
    return v.is_undefined() || v.is_string() || v.is(Value::Kind::list) ||
           v.is(Value::Kind::dict) || v.is(Value::Kind::loop);
}
bool is_mapping(const Value& v) {
    return v.is(Value::Kind::dict);
}
bool is_none(const Value& v) {
    return v.is_none();
}
bool is_number(const Value& v) {
    return v.is_number();
}
bool is_sequence(const Value& v) {
    if (!v.is(Value::Kind::list)) {
        return v.is_undefined() || v.is_string() || v.is(Value::Kind::dict);
    }
    const Flavour flavour = v.list_cell().flavour;
    return flavour == Flavour::list || flavour == Flavour::tuple || flavour == Flavour::range;
}
bool is_string(const Value& v) {
    return v.is_string();
}
bool is_true(const Value& v) {
    return is_boolean(v) && v.as_boolean();
}
bool is_undefined(const Value& v) {
    return v.is_undefined();
}

template <int rest>
bool parity(Run& run, const Value& subject, const Arguments& arguments) {
    ArgumentReader("this test", arguments).done();
    const Value two = Value::integer(2);
    return equal(run, applied(run, Operator::modulo, subject, two), Value::integer(rest));
}

bool divisible_by(Run& run, const Value& subject, const Arguments& arguments) {
    ArgumentReader reader("divisibleby", arguments);
    const Value by = reader.need("num");
    reader.done();
    return equal(run, applied(run, Operator::modulo, subject, by), Value::integer(0));
}

template <bool upper>
bool in_case(Run& run, const Value& subject, const Arguments& arguments) {
    ArgumentReader("this test", arguments).done();
    return has_case(run, printed(run, subject), upper);
}

bool same_as(Run&, const Value& subject, const Arguments& arguments) {
    ArgumentReader reader("sameas", arguments);
    const Value other = reader.need("other");
    reader.done();
    return subject.same_as(other);
}

template <bool filters>
bool exists(Run&, const Value& subject, const Arguments& arguments) {
    ArgumentReader("this test", arguments).done();
    const std::string& name = need_string(subject, "a name").bytes();
    try {
        filters ? static_cast<void>(filter_named(name)) : static_cast<void>(test_named(name));
    } catch (const Failure&) {
        return false;
    }
    return true;
}

constexpr NamedTest kTests[] = {
    {"!=", relates<Relation::unequal>},
    {"<", relates<Relation::less>},
    {"<=", relates<Relation::less_equal>},
    {"==", relates<Relation::equal>},
    {">", relates<Relation::greater>},
    {">=", relates<Relation::greater_equal>},
    {"boolean", alone<is_boolean>},
    {"callable", alone<is_callable>},
    {"defined", alone<is_defined>},
    {"divisibleby", divisible_by},
    {"eq", relates<Relation::equal>},
    {"equalto", relates<Relation::equal>},
    {"escaped", alone<is_escaped>},
    {"even", parity<0>},
    {"false", alone<is_false>},
    {"filter", exists<true>},
    {"float", alone<is_float>},
    {"ge", relates<Relation::greater_equal>},
    {"greaterthan", relates<Relation::greater>},
    {"gt", relates<Relation::greater>},
    {"in", relates<Relation::in>},
    {"integer", alone<is_integer>},
    {"iterable", alone<is_iterable>},
    {"le", relates<Relation::less_equal>},
    {"lessthan", relates<Relation::less>},
    {"lower", in_case<false>},
    {"lt", relates<Relation::less>},
    {"mapping", alone<is_mapping>},
    {"ne", relates<Relation::unequal>},
    {"none", alone<is_none>},
    {"number", alone<is_number>},
    {"odd", parity<1>},
    {"sameas", same_as},
    {"sequence", alone<is_sequence>},
    {"string", alone<is_string>},
    {"test", exists<false>},
    {"true", alone<is_true>},
    {"undefined", alone<is_undefined>},
    {"upper", in_case<true>},
};

}  // namespace

Test test_named(std::string_view name) {
    const auto at = std::lower_bound(
        std::begin(kTests), std::end(kTests), name,
        [](const NamedTest& test, std::string_view wanted) { return test.name < wanted; });
    if (at == std::end(kTests) || at->name != name) {
        fail("there is no test '" + std::string(name.substr(0, 40)) + "'");
    }
    return at->test;
}

}  // namespace shoal::jinja
