#include <cmath>
#include <cstdlib>

#include "daemon/jinja/error.hpp"
#include "daemon/jinja/filters.hpp"
#include "daemon/jinja/names.hpp"
#include "daemon/jinja/numbers.hpp"
#include "daemon/jinja/operators.hpp"

namespace shoal::jinja {
namespace {

const Value& need_number(const Value& value, std::string_view filter) {
    require_defined(value);
    if (!value.is_number()) {
        fail(std::string(filter) + " takes a number, not " + type_name(value));
    }
    return value;
}

Value absolute(Run&, const Value& self, const Arguments& arguments) {
    ArgumentReader("abs", arguments).done();
    const bool negative = need_number(self, "abs").as_number() < 0 ||
                          (self.is(Value::Kind::real) && std::signbit(self.as_real()));
    return signed_value(self, negative);
}

Value to_float(Run&, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("float", arguments);
    const Value preset = reader.take("default").value_or(Value::real(0));
    reader.done();
    require_defined(self);
    if (self.is_number()) return Value::real(self.as_number());
    if (!self.is_string()) return preset;
    const auto number = real_in(self.bytes());
    return number ? Value::real(*number) : preset;
}

Value to_int(Run&, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("int", arguments);
    const Value preset = reader.take("default").value_or(Value::integer(0));
    const std::int64_t base = reader.integer("base", 10);
    reader.done();
    require_defined(self);
    if (self.is_integral()) return Value::integer(self.as_integer());
    double real = 0;
    if (self.is_string()) {
        const bool named = base == 0 || (base >= 2 && base <= 36);
        if (const auto whole = integer_in(self.bytes(), named ? static_cast<int>(base) : 10)) {
            return Value::integer(*whole);
        }
        const auto number = real_in(self.bytes());
        if (!number) return preset;
        real = *number;
    } else if (self.is(Value::Kind::real)) {
        real = self.as_real();
    } else {
        return preset;
    }
    return std::isfinite(real) ? Value::integer(truncated(real)) : preset;
}

/// To so many decimal places, halves to even, as Python rounds: exactly.
double rounded(double value, std::int64_t places) {
    if (!std::isfinite(value) || places > 400) return value;
    if (places < -400) return std::copysign(0.0, value);
    if (places >= 0) {
        return std::strtod(fixed_text(value, static_cast<int>(places)).c_str(), nullptr);
    }
    const double unit = std::pow(10.0, static_cast<double>(-places));
    return std::nearbyint(value / unit) * unit;
}

Value round(Run&, const Value& self, const Arguments& arguments) {
    ArgumentReader reader("round", arguments);
    const std::int64_t places = reader.integer("precision", 0);
    const Value method = reader.take("method").value_or(Value::trusted("common"));
    reader.done();
    const std::string& name = need_string(method, "round's method").bytes();
    need_number(self, "round");
    if (name == "common") {
        if (self.is_integral()) {
            if (places >= 0) return Value::integer(self.as_integer());
            return Value::integer(truncated(rounded(self.as_number(), places)));
        }
        return Value::real(rounded(self.as_real(), places));
    }
    if (name != "ceil" && name != "floor") fail("round's method is common, ceil or floor");
    const double unit = std::pow(10.0, static_cast<double>(places));
    const double scaled = self.as_number() * unit;
    return Value::real((name == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit);
}

constexpr NamedFunction kNumberFilters[] = {
    {"abs", absolute}, {"float", to_float}, {"int", to_int}, {"round", round}};

}  // namespace

std::span<const NamedFunction> number_filters() noexcept {
    return kNumberFilters;
}

}  // namespace shoal::jinja
