#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>

#include "daemon/jinja/error.hpp"
#include "daemon/jinja/json_text.hpp"
#include "daemon/jinja/names.hpp"
#include "daemon/jinja/numbers.hpp"
#include "daemon/jinja/operators.hpp"
#include "daemon/jinja/print.hpp"

namespace shoal::jinja {
namespace {

void append_code_unit(std::string& out, unsigned unit) {
    char code[8];
    std::snprintf(code, sizeof code, "\\u%04x", unit & 0xFFFFU);
    out.append(code);
}

/// What a character becomes between JSON's quotes; false when it stays.
bool json_escape(char32_t c, std::string& by, bool ascii) {
    switch (c) {
        case '"':
            by = "\\\"";
            return true;
        case '\\':
            by = "\\\\";
            return true;
        case '\n':
            by = "\\n";
            return true;
        case '\r':
            by = "\\r";
            return true;
        case '\t':
            by = "\\t";
            return true;
        case '\f':
            by = "\\f";
            return true;
        case '\b':
            by = "\\b";
            return true;
        default:
            break;
    }
    if (c >= 0x20 && (c < 0x7F || !ascii)) return false;
    if (c == 0x7F) return false;
    if (c < 0x10000) {
        append_code_unit(by, static_cast<unsigned>(c));
    } else {
        append_code_unit(by, 0xD800U + static_cast<unsigned>((c - 0x10000) >> 10U));
        append_code_unit(by, 0xDC00U + static_cast<unsigned>((c - 0x10000) & 0x3FFU));
    }
    return true;
}

std::string real_json(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return real_text(value);
}

class Writer {
  public:
    Writer(Run& run, Builder& out, const JsonStyle& style, Origin around) noexcept
        : run_(run), out_(out), style_(style), around_(around) {}

    void value(const Value& value, std::uint32_t depth);

  private:
    void put(std::string_view bytes) { out_.append(bytes, around_); }
    void string(const Text& text);
    void name(const Value& key);
    void list(const ListCell& cell, std::uint32_t depth);
    void dict(const DictCell& cell, std::uint32_t depth);
    void line(std::uint32_t depth);
    void separate();
    std::vector<DictCell::Entry> ordered(const DictCell& cell);

    Run& run_;
    Builder& out_;
    const JsonStyle& style_;
    const Origin around_;
};

void Writer::value(const Value& value, std::uint32_t depth) {
    check_value_depth(depth);
    run_.step();
    switch (value.kind()) {
        case Value::Kind::none:
            return put("null");
        case Value::Kind::boolean:
            return put(value.as_boolean() ? "true" : "false");
        case Value::Kind::integer:
            return put(std::to_string(value.as_integer()));
        case Value::Kind::real:
            return put(real_json(value.as_real()));
        case Value::Kind::string:
            return string(value.text());
        case Value::Kind::dict:
            return dict(value.dict_cell(), depth);
        case Value::Kind::list: {
            const Flavour flavour = value.list_cell().flavour;
            if (flavour == Flavour::list || flavour == Flavour::tuple) {
                return list(value.list_cell(), depth);
            }
            break;
        }
        default:
            break;
    }
    require_defined(value);
    fail("Object of type " + type_name(value) + " is not JSON serializable");
}

void Writer::string(const Text& text) {
    put("\"");
    out_.append_replaced(
        text, [this](char32_t c, std::string& by) { return json_escape(c, by, style_.ascii); });
    put("\"");
}

// JSON's names are strings, so others are written as such.
void Writer::name(const Value& key) {
    if (key.is_string()) return string(key.text());
    put("\"");
    value(key, 0);
    put("\"");
}

void Writer::line(std::uint32_t depth) {
    if (!style_.indent) return;
    put("\n");
    for (std::uint32_t i = 0; i < depth; ++i) out_.append(*style_.indent);
}

void Writer::separate() {
    if (style_.between_items) {
        out_.append(*style_.between_items);
    } else {
        put(style_.indent ? "," : ", ");
    }
}

void Writer::list(const ListCell& cell, std::uint32_t depth) {
    if (cell.items.empty()) return put("[]");
    put("[");
    for (std::size_t i = 0; i < cell.items.size(); ++i) {
        if (i > 0) separate();
        line(depth + 1);
        value(cell.items[i], depth + 1);
    }
    line(depth);
    put("]");
}

std::vector<DictCell::Entry> Writer::ordered(const DictCell& cell) {
    run_.step(cell.size());
    std::vector<DictCell::Entry> out = cell.entries();
    if (style_.sorted) {
        std::stable_sort(out.begin(), out.end(),
                         [this](const DictCell::Entry& a, const DictCell::Entry& b) {
                             return less(run_, a.key, b.key);
                         });
    }
    return out;
}

void Writer::dict(const DictCell& cell, std::uint32_t depth) {
    if (cell.size() == 0) return put("{}");
    put("{");
    bool first = true;
    for (const DictCell::Entry& entry : ordered(cell)) {
        if (!first) separate();
        first = false;
        line(depth + 1);
        name(entry.key);
        if (style_.behind_name) {
            out_.append(*style_.behind_name);
        } else {
            put(": ");
        }
        value(entry.value, depth + 1);
    }
    line(depth);
    put("}");
}

}  // namespace

Value json_of(Run& run, const Value& value, const JsonStyle& style) {
    Builder out(run);
    Writer(run, out, style, origin_within(run, value)).value(value, 0);
    return out.finish();
}

}  // namespace shoal::jinja
