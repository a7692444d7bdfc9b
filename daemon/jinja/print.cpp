#include "daemon/jinja/print.hpp"

#include <algorithm>
#include <cstdio>

#include "daemon/jinja/error.hpp"
#include "daemon/jinja/loop.hpp"
#include "daemon/jinja/numbers.hpp"
#include "daemon/jinja/unicode.hpp"

namespace shoal::jinja {
namespace {

class Printer {
  public:
    Printer(Run& run, Builder& out, Origin around) noexcept
        : run_(run), out_(out), around_(around) {}

    void repr(const Value& value, std::uint32_t depth);

  private:
    void put(std::string_view bytes) { out_.append(bytes, around_); }
    void string(const StringCell& cell);
    void list(const ListCell& cell, std::uint32_t depth);
    void range(const ListCell& cell);
    void items(const ListCell& cell, std::uint32_t depth);
    void dict(const DictCell& cell, std::uint32_t depth);

    Run& run_;
    Builder& out_;
    const Origin around_;
};

void Printer::repr(const Value& value, std::uint32_t depth) {
    check_value_depth(depth);
    run_.step();
    switch (value.kind()) {
        case Value::Kind::undefined:
            return put("Undefined");
        case Value::Kind::none:
            return put("None");
        case Value::Kind::boolean:
            return put(value.as_boolean() ? "True" : "False");
        case Value::Kind::integer:
            return put(std::to_string(value.as_integer()));
        case Value::Kind::real:
            return put(real_text(value.as_real()));
        case Value::Kind::string:
            return string(value.string_cell());
        case Value::Kind::list:
            return list(value.list_cell(), depth);
        case Value::Kind::dict:
            return dict(value.dict_cell(), depth);
        case Value::Kind::name_space:
            put("<Namespace ");
            dict(value.dict_cell(), depth);
            return put(">");
        case Value::Kind::function:
            return put("<function " + value.function_cell().name + ">");
        case Value::Kind::loop:
            return put(value.loop_cell().described());
    }
}

void Printer::string(const StringCell& cell) {
    const std::string& bytes = cell.text.bytes();
    const bool apostrophe = bytes.find('\'') != bytes.npos;
    const char quote = apostrophe && bytes.find('"') == bytes.npos ? '"' : '\'';
    put(cell.markup ? "Markup(" : "");
    put({&quote, 1});
    out_.append_replaced(cell.text, [quote](char32_t c, std::string& by) {
        if (c == static_cast<unsigned char>(quote) || c == '\\') {
            by.append("\\").push_back(static_cast<char>(c));
        } else if (c == '\n' || c == '\r' || c == '\t') {
            by = c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
        } else if (!unicode::is_printable(c)) {
            char code[16];
            const char* form = c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x";
            std::snprintf(code, sizeof code, form, static_cast<unsigned>(c));
            by = code;
        }
        return !by.empty();
    });
    put({&quote, 1});
    put(cell.markup ? ")" : "");
}

void Printer::items(const ListCell& cell, std::uint32_t depth) {
    for (std::size_t i = 0; i < cell.items.size(); ++i) {
        if (i > 0) put(", ");
        repr(cell.items[i], depth + 1);
    }
}

void Printer::list(const ListCell& cell, std::uint32_t depth) {
    switch (cell.flavour) {
        case Flavour::range:
            return range(cell);
        case Flavour::tuple:
            put("(");
            items(cell, depth);
            return put(cell.items.size() == 1 ? ",)" : ")");
        case Flavour::keys:
            put("dict_keys(");
            break;
        case Flavour::values:
            put("dict_values(");
            break;
        case Flavour::items:
            put("dict_items(");
            break;
        case Flavour::list:
        case Flavour::generator:
            break;
    }
    put("[");
    items(cell, depth);
    put("]");
    const bool plain = cell.flavour == Flavour::list || cell.flavour == Flavour::generator;
    if (!plain) put(")");
}

void Printer::range(const ListCell& cell) {
    if (cell.items.empty()) return put("range(0, 0)");
    const std::int64_t first = cell.items.front().as_integer();
    const std::int64_t step = cell.items.size() > 1 ? cell.items[1].as_integer() - first : 1;
    const std::int64_t end = cell.items.back().as_integer() + step;
    put("range(" + std::to_string(first) + ", " + std::to_string(end));
    put(step == 1 ? ")" : ", " + std::to_string(step) + ")");
}

void Printer::dict(const DictCell& cell, std::uint32_t depth) {
    put("{");
    bool first = true;
    for (const DictCell::Entry& entry : cell.entries()) {
        if (!first) put(", ");
        first = false;
        repr(entry.key, depth + 1);
        put(": ");
        repr(entry.value, depth + 1);
    }
    put("}");
}

bool find_input(Run& run, const Value& value, std::uint32_t depth) {
    check_value_depth(depth);
    run.step();
    switch (value.kind()) {
        case Value::Kind::string:
            return value.text().has_input();
        case Value::Kind::list: {
            const auto& items = value.list_cell().items;
            return std::any_of(items.begin(), items.end(),
                               [&](const Value& item) { return find_input(run, item, depth + 1); });
        }
        case Value::Kind::dict:
        case Value::Kind::name_space: {
            const auto& entries = value.dict_cell().entries();
            return std::any_of(entries.begin(), entries.end(), [&](const DictCell::Entry& entry) {
                return find_input(run, entry.key, depth + 1) ||
                       find_input(run, entry.value, depth + 1);
            });
        }
        default:
            return false;
    }
}

}  // namespace

void check_value_depth(std::uint32_t depth) {
    if (depth <= kMaxValueDepth) return;
    fail_limit("lists and dicts are nested deeper than " + std::to_string(kMaxValueDepth) +
               " levels");
}

bool contains_input(Run& run, const Value& value) {
    return find_input(run, value, 0);
}

void print_repr(Run& run, Builder& out, const Value& value) {
    Printer(run, out, origin_within(run, value)).repr(value, 0);
}

void print(Run& run, Builder& out, const Value& value) {
    if (value.is_string()) return out.append(value);
    if (value.is_undefined()) return;
    print_repr(run, out, value);
}

Value printed(Run& run, const Value& value) {
    if (value.is_string()) return value;
    Builder out(run);
    print(run, out, value);
    return out.finish();
}

}  // namespace shoal::jinja
