#include "daemon/jinja/value.hpp"

#include "daemon/jinja/cells.hpp"
#include "daemon/jinja/loop.hpp"
#include "daemon/jinja/utf8.hpp"

namespace shoal::jinja {

Value Value::none() noexcept {
    Value out;
    out.kind_ = Kind::none;
    return out;
}

Value Value::boolean(bool value) noexcept {
    Value out;
    out.kind_ = Kind::boolean;
    out.held_.integer = value ? 1 : 0;
    return out;
}

Value Value::integer(std::int64_t value) noexcept {
    Value out;
    out.kind_ = Kind::integer;
    out.held_.integer = value;
    return out;
}

Value Value::real(double value) noexcept {
    Value out;
    out.kind_ = Kind::real;
    out.held_.real = value;
    return out;
}

Value Value::string(std::string bytes, Origin origin) {
    return Value(Ref(new StringCell(Text(utf8::repaired(std::move(bytes)), origin), false)));
}

Value Value::list(std::vector<Value> items) {
    const Ref cell(new ListCell(Flavour::list));
    cell->items = std::move(items);
    return Value(cell);
}

Value Value::dict(std::vector<std::pair<Value, Value>> entries) {
    const Ref cell(new DictCell);
    for (auto& [key, value] : entries) cell->set(std::move(key), std::move(value));
    return Value(cell);
}

Value::Value(Kind kind, Cell* cell) noexcept : kind_(kind) {
    held_.cell = cell;
    if (cell != nullptr) cell->retain();
}

Value::Value(const Value& other) noexcept : kind_(other.kind_), held_(other.held_) {
    if (has_cell()) held_.cell->retain();
}

Value::Value(Value&& other) noexcept : kind_(other.kind_), held_(other.held_) {
    other.kind_ = Kind::none;
}

Value& Value::operator=(Value other) noexcept {
    std::swap(kind_, other.kind_);
    std::swap(held_, other.held_);
    return *this;
}

Value::~Value() {
    if (has_cell()) held_.cell->release();
}

Value::Value(const Ref<StringCell>& cell) noexcept : Value(Kind::string, cell.get()) {}
Value::Value(const Ref<ListCell>& cell) noexcept : Value(Kind::list, cell.get()) {}
Value::Value(const Ref<DictCell>& cell, Kind kind) noexcept : Value(kind, cell.get()) {}
Value::Value(const Ref<UndefinedCell>& cell) noexcept : Value(Kind::undefined, cell.get()) {}
Value::Value(const Ref<FunctionCell>& cell) noexcept : Value(Kind::function, cell.get()) {}
Value::Value(const Ref<LoopCell>& cell) noexcept : Value(Kind::loop, cell.get()) {}

double Value::as_number() const noexcept {
    return is_integral() ? static_cast<double>(held_.integer) : held_.real;
}

const Text& Value::text() const noexcept {
    return string_cell().text;
}

StringCell& Value::string_cell() const noexcept {
    return static_cast<StringCell&>(*held_.cell);
}
ListCell& Value::list_cell() const noexcept {
    return static_cast<ListCell&>(*held_.cell);
}
DictCell& Value::dict_cell() const noexcept {
    return static_cast<DictCell&>(*held_.cell);
}
FunctionCell& Value::function_cell() const noexcept {
    return static_cast<FunctionCell&>(*held_.cell);
}
LoopCell& Value::loop_cell() const noexcept {
    return static_cast<LoopCell&>(*held_.cell);
}
bool Value::is_markup() const noexcept {
    return is_string() && string_cell().markup;
}

const UndefinedCell* Value::undefined_cell() const noexcept {
    return static_cast<const UndefinedCell*>(held_.cell);
}

bool Value::same_as(const Value& other) const noexcept {
    if (kind_ != other.kind_) return false;
    switch (kind_) {
        case Kind::none:
            return true;
        case Kind::real:
            return held_.real == other.held_.real;
        case Kind::string:
            return held_.cell == other.held_.cell || bytes() == other.bytes();
        default:
            return held_.integer == other.held_.integer;
    }
}

}  // namespace shoal::jinja
