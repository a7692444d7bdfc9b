// What a template computes with: Python's values, as far as templates meet them.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/jinja/cell.hpp"
#include "daemon/jinja/text.hpp"

namespace shoal::jinja {

class StringCell;
class ListCell;
class DictCell;
class UndefinedCell;
class FunctionCell;
class LoopCell;

/// The text handed to Value::from_json() is not what it takes; what() says where and why.
class JsonError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// Copies share what they hold. What is made by the functions here is constant and may be read by
/// several threads; the values of a rendering belong to its thread and never leave it.
class Value {
  public:
    enum class Kind : std::uint8_t {
        undefined,
        none,
        boolean,
        integer,
        real,
        string,
        list,  ///< also tuples, ranges, generators and views: see Flavour
        dict,
        name_space,
        function,
        loop
    };

    /// Undefined.
    Value() noexcept = default;
    static Value none() noexcept;
    static Value boolean(bool value) noexcept;
    static Value integer(std::int64_t value) noexcept;
    static Value real(double value) noexcept;
    /// Bytes that are not UTF-8 become U+FFFD.
    static Value string(std::string bytes, Origin origin);
    /// Text of people, tools, models: its bytes will be told apart in what is rendered.
    static Value input(std::string bytes) { return string(std::move(bytes), Origin::input); }
    /// Text that the caller vouches for, as names of roles that it has compared with its list.
    static Value trusted(std::string bytes) { return string(std::move(bytes), Origin::written); }
    static Value list(std::vector<Value> items);
    /// A later one of two equal keys wins. Keys are strings, numbers, booleans or none.
    static Value dict(std::vector<std::pair<Value, Value>> entries);
    /// A JSON text whose strings and names have `origin`. Keeps the order of names and tells 1
    /// from 1.0. Throws JsonError when it is no JSON, is nested deeper than kMaxJsonDepth, or has
    /// an integer beyond 64 bits.
    static Value from_json(std::string_view json, Origin origin);

    Value(const Value& other) noexcept;
    Value(Value&& other) noexcept;
    Value& operator=(Value other) noexcept;
    ~Value();

    Kind kind() const noexcept { return kind_; }
    bool is(Kind kind) const noexcept { return kind_ == kind; }
    bool is_undefined() const noexcept { return kind_ == Kind::undefined; }
    bool is_none() const noexcept { return kind_ == Kind::none; }
    bool is_string() const noexcept { return kind_ == Kind::string; }
    /// A string whose characters are safe in HTML, as `| safe` and `| escape` make them.
    bool is_markup() const noexcept;
    /// An integer, or a boolean, which Python takes for one.
    bool is_integral() const noexcept { return kind_ == Kind::integer || kind_ == Kind::boolean; }
    bool is_number() const noexcept { return is_integral() || kind_ == Kind::real; }

    // Each for its kind alone.
    bool as_boolean() const noexcept { return held_.integer != 0; }
    std::int64_t as_integer() const noexcept { return held_.integer; }  ///< or of a boolean
    double as_real() const noexcept { return held_.real; }
    double as_number() const noexcept;  ///< of an integer, boolean or real
    const Text& text() const noexcept;
    const std::string& bytes() const noexcept { return text().bytes(); }

    // For this folder.
    explicit Value(const Ref<StringCell>& cell) noexcept;
    explicit Value(const Ref<ListCell>& cell) noexcept;
    explicit Value(const Ref<DictCell>& cell, Kind kind = Kind::dict) noexcept;
    explicit Value(const Ref<UndefinedCell>& cell) noexcept;
    explicit Value(const Ref<FunctionCell>& cell) noexcept;
    explicit Value(const Ref<LoopCell>& cell) noexcept;
    StringCell& string_cell() const noexcept;
    ListCell& list_cell() const noexcept;
    DictCell& dict_cell() const noexcept;  ///< of a dict or name space
    FunctionCell& function_cell() const noexcept;
    LoopCell& loop_cell() const noexcept;
    const UndefinedCell* undefined_cell() const noexcept;
    /// Whether both are the same object, as Python's `is` says.
    bool same_as(const Value& other) const noexcept;

  private:
    Value(Kind kind, Cell* cell) noexcept;
    bool has_cell() const noexcept {
        return (kind_ >= Kind::string || kind_ == Kind::undefined) && held_.cell != nullptr;
    }

    union Held {
        std::int64_t integer;
        double real;
        Cell* cell;
    };
    Kind kind_ = Kind::undefined;
    Held held_ = {0};
};

}  // namespace shoal::jinja
