#include "daemon/jinja/text_operations.hpp"

#include <algorithm>
#include <vector>

#include "daemon/jinja/attributes.hpp"
#include "daemon/jinja/error.hpp"
#include "daemon/jinja/operators.hpp"
#include "daemon/jinja/print.hpp"
#include "daemon/jinja/unicode.hpp"
#include "daemon/jinja/utf8.hpp"

namespace shoal::jinja {
namespace {

Value cut(Run& run, const Value& text, std::size_t begin, std::size_t end) {
    run.work(end - begin);
    if (begin == 0 && end == text.text().size()) return text;
    run.meter().check(end - begin);
    return run.string(text.text().slice(begin, end), text.is_markup());
}

Ref<ListCell> reversed(const Ref<ListCell>& list) {
    std::reverse(list->items.begin(), list->items.end());
    return list;
}

Ref<ListCell> split_at_blanks(Run& run, const Value& text, std::int64_t most) {
    const std::string& bytes = text.bytes();
    const Ref<ListCell> out = run.list();
    const auto blank = [&](std::size_t at) { return unicode::is_space(utf8::at(bytes, at)); };
    for (std::size_t at = 0;;) {
        while (at < bytes.size() && blank(at)) at += utf8::length_at(bytes, at);
        if (at == bytes.size()) return out;
        std::size_t end = at;
        if (most >= 0 && static_cast<std::int64_t>(out->items.size()) == most) {
            end = bytes.size();
        } else {
            while (end < bytes.size() && !blank(end)) end += utf8::length_at(bytes, end);
        }
        run.step();
        out->push(cut(run, text, at, end));
        at = end;
    }
}

Ref<ListCell> split_at_blanks_from_right(Run& run, const Value& text, std::int64_t most) {
    const std::string& bytes = text.bytes();
    const Ref<ListCell> out = run.list();
    const auto blank_before = [&](std::size_t at) {
        return unicode::is_space(utf8::at(bytes, utf8::before(bytes, at)));
    };
    for (std::size_t at = bytes.size();;) {
        while (at > 0 && blank_before(at)) at = utf8::before(bytes, at);
        if (at == 0) return reversed(out);
        std::size_t begin = at;
        if (most >= 0 && static_cast<std::int64_t>(out->items.size()) == most) {
            begin = 0;
        } else {
            while (begin > 0 && !blank_before(begin)) begin = utf8::before(bytes, begin);
        }
        run.step();
        out->push(cut(run, text, begin, at));
        at = begin;
    }
}

Ref<ListCell> split_at(Run& run, const Value& text, const std::string& separator,
                       std::int64_t most) {
    const Ref<ListCell> out = run.list();
    const std::string& bytes = text.bytes();
    for (std::size_t at = 0;;) {
        const bool enough = most >= 0 && static_cast<std::int64_t>(out->items.size()) == most;
        const std::size_t found = enough ? bytes.npos : bytes.find(separator, at);
        run.step();
        out->push(cut(run, text, at, std::min(found, bytes.size())));
        if (found == bytes.npos) return out;
        at = found + separator.size();
    }
}

Ref<ListCell> split_at_from_right(Run& run, const Value& text, const std::string& separator,
                                  std::int64_t most) {
    const Ref<ListCell> out = run.list();
    const std::string_view bytes = text.bytes();
    for (std::size_t end = bytes.size();;) {
        const bool enough = most >= 0 && static_cast<std::int64_t>(out->items.size()) == most;
        const std::size_t found = enough ? bytes.npos : bytes.substr(0, end).rfind(separator);
        run.step();
        const std::size_t begin = found == bytes.npos ? 0 : found + separator.size();
        out->push(cut(run, text, begin, end));
        if (found == bytes.npos) return reversed(out);
        end = found;
    }
}

/// Code points in upper or lower case; `by` gets what stands for one.
bool upper_of(char32_t c, std::string& by, bool title = false) {
    if (c == 0xDF) {
        by = title ? "Ss" : "SS";
        return true;
    }
    const char32_t upper = unicode::upper(c);
    if (upper != c) utf8::append(by, upper);
    return upper != c;
}

bool lower_of(char32_t c, std::string& by) {
    if (c == 0x130) {  // a capital I with a dot becomes an i and the dot
        by = "i\xCC\x87";
        return true;
    }
    const char32_t lower = unicode::lower(c);
    if (lower != c) utf8::append(by, lower);
    return lower != c;
}

constexpr char32_t kCapitalSigma = 0x3A3;

/// A capital sigma's lower case, which is another at the end of a word.
bool lower_sigma(const std::string& bytes, std::size_t here, std::string& by) {
    const std::size_t after = here + utf8::length_at(bytes, here);
    const bool follows = here > 0 && unicode::is_cased(utf8::at(bytes, utf8::before(bytes, here)));
    const bool goes_on = after < bytes.size() && unicode::is_cased(utf8::at(bytes, after));
    utf8::append(by, follows && !goes_on ? 0x3C2 : 0x3C3);
    return true;
}

/// Lower case, with the Greek final sigma where a word ends; the first `kept` bytes as they are.
Value lowered_from(Run& run, const Value& text, std::size_t kept, Builder& out) {
    const Text rest = text.text().slice(kept, text.text().size());
    run.work(4 * rest.size());
    std::size_t at = kept;
    const std::string& bytes = text.bytes();
    out.append_replaced(rest, [&](char32_t c, std::string& by) {
        const std::size_t here = std::exchange(at, at + utf8::length_at(bytes, at));
        return c == kCapitalSigma ? lower_sigma(bytes, here, by) : lower_of(c, by);
    });
    return out.finish(text.is_markup());
}

/// Where a replacement without a text to be found goes: before every character and at the end.
Value spread(Run& run, const Value& text, const Value& by, std::int64_t most) {
    Builder out(run);
    const std::string& bytes = text.bytes();
    std::size_t at = 0;
    for (std::int64_t count = 0; most < 0 || count < most; ++count) {
        run.step();
        out.append(by);
        if (at == bytes.size()) return out.finish(text.is_markup());
        const std::size_t end = at + utf8::length_at(bytes, at);
        out.append(text.text(), at, end);
        at = end;
    }
    out.append(text.text(), at, bytes.size());
    return out.finish(text.is_markup());
}

}  // namespace

Value stripped(Run& run, const Value& text, Sides sides, const Value* which) {
    const std::string& bytes = text.bytes();
    const auto goes = [&](std::size_t at) {
        if (which == nullptr) return unicode::is_space(utf8::at(bytes, at));
        run.work(which->bytes().size());
        const auto character = std::string_view(bytes).substr(at, utf8::length_at(bytes, at));
        return which->bytes().find(character) != std::string::npos;
    };
    std::size_t begin = 0, end = bytes.size();
    if (sides != Sides::right) {
        while (begin < end && goes(begin)) begin += utf8::length_at(bytes, begin);
    }
    if (sides != Sides::left) {
        while (end > begin && goes(utf8::before(bytes, end))) end = utf8::before(bytes, end);
    }
    run.work(begin + bytes.size() - end);
    return cut(run, text, begin, end);
}

Value lowered(Run& run, const Value& text) {
    Builder out(run);
    return lowered_from(run, text, 0, out);
}

Value uppered(Run& run, const Value& text) {
    Builder out(run);
    run.work(4 * text.text().size());
    out.append_replaced(text.text(), [](char32_t c, std::string& by) { return upper_of(c, by); });
    return out.finish(text.is_markup());
}

Value capitalized(Run& run, const Value& text) {
    if (text.text().empty()) return text;
    Builder out(run);
    const std::size_t first = utf8::length_at(text.bytes(), 0);
    out.append_replaced(text.text().slice(0, first),
                        [](char32_t c, std::string& by) { return upper_of(c, by, true); });
    return lowered_from(run, text, first, out);
}

Value titled(Run& run, const Value& text) {
    Builder out(run);
    run.work(4 * text.text().size());
    bool within = false;
    std::size_t at = 0;
    const std::string& bytes = text.bytes();
    out.append_replaced(text.text(), [&](char32_t c, std::string& by) {
        const std::size_t here = std::exchange(at, at + utf8::length_at(bytes, at));
        const bool first = !std::exchange(within, unicode::is_cased(c));
        if (!first && c == kCapitalSigma) return lower_sigma(bytes, here, by);
        return first ? upper_of(c, by, true) : lower_of(c, by);
    });
    return out.finish(text.is_markup());
}

Value case_swapped(Run& run, const Value& text) {
    Builder out(run);
    run.work(4 * text.text().size());
    out.append_replaced(text.text(), [](char32_t c, std::string& by) {
        return unicode::is_lower(c) ? upper_of(c, by) : lower_of(c, by);
    });
    return out.finish(text.is_markup());
}

Ref<ListCell> split(Run& run, const Value& text, const Value* separator, std::int64_t most,
                    bool from_right) {
    run.work(text.text().size());
    if (separator == nullptr) {
        return from_right ? split_at_blanks_from_right(run, text, most)
                          : split_at_blanks(run, text, most);
    }
    if (separator->bytes().empty()) fail("empty separator");
    return from_right ? split_at_from_right(run, text, separator->bytes(), most)
                      : split_at(run, text, separator->bytes(), most);
}

Ref<ListCell> split_lines(Run& run, const Value& text, bool keep_ends) {
    const std::string& bytes = text.bytes();
    const Ref<ListCell> out = run.list();
    run.work(text.text().size());
    for (std::size_t at = 0; at < bytes.size();) {
        std::size_t end = at;
        while (end < bytes.size() && !unicode::is_line_end(utf8::at(bytes, end))) {
            end += utf8::length_at(bytes, end);
        }
        std::size_t next = end;
        if (end < bytes.size()) {
            const bool pair = bytes.compare(end, 2, "\r\n") == 0;
            next += pair ? 2 : utf8::length_at(bytes, end);
        }
        run.step();
        out->push(cut(run, text, at, keep_ends ? next : end));
        at = next;
    }
    return out;
}

Value replaced(Run& run, const Value& text, const Value& old, const Value& by, std::int64_t most) {
    if (old.text().empty()) return spread(run, text, by, most);
    Builder out(run);
    const std::string& bytes = text.bytes();
    run.work(bytes.size());
    std::size_t at = 0;
    for (std::int64_t count = 0; most < 0 || count < most; ++count) {
        const std::size_t found = bytes.find(old.bytes(), at);
        if (found == bytes.npos) break;
        run.step();
        out.append(text.text(), at, found);
        out.append(by);
        at = found + old.bytes().size();
    }
    if (at == 0) return text;
    out.append(text.text(), at, bytes.size());
    return out.finish(text.is_markup());
}

Value joined(Run& run, const Value& separator, const ListCell& items) {
    Builder out(run);
    for (std::size_t i = 0; i < items.items.size(); ++i) {
        run.step();
        if (i > 0) out.append(separator);
        print(run, out, items.items[i]);
    }
    return out.finish(separator.is_markup());
}

Value part_of(Run& run, const Value& text, const Value& begin, const Value& end) {
    return slice_of(run, text, begin, end, Value::none());
}

std::int64_t position_in(Run& run, const Value& text, const Value& what, bool last) {
    run.work(text.text().size());
    const std::string& bytes = text.bytes();
    const std::size_t found = last ? bytes.rfind(what.bytes()) : bytes.find(what.bytes());
    if (found == bytes.npos) return -1;
    return static_cast<std::int64_t>(utf8::count(std::string_view(bytes).substr(0, found)));
}

std::int64_t count_in(Run& run, const Value& text, const Value& what) {
    run.work(text.text().size());
    if (what.text().empty()) return static_cast<std::int64_t>(text.string_cell().code_points) + 1;
    std::int64_t count = 0;
    const std::string& bytes = text.bytes();
    for (std::size_t at = bytes.find(what.bytes()); at != bytes.npos;
         at = bytes.find(what.bytes(), at + what.bytes().size())) {
        ++count;
    }
    return count;
}

bool has_case(Run& run, const Value& text, bool upper) {
    const std::string& bytes = text.bytes();
    run.work(bytes.size());
    bool any = false;
    for (std::size_t at = 0; at < bytes.size(); at += utf8::length_at(bytes, at)) {
        const char32_t c = utf8::at(bytes, at);
        if (upper ? unicode::is_lower(c) : unicode::is_upper(c)) return false;
        any = any || unicode::is_cased(c);
    }
    return any;
}

Value padded(Run& run, const Value& text, std::int64_t width, const Value* fill, Sides sides) {
    if (fill != nullptr && fill->string_cell().code_points != 1) {
        fail("The fill character must be exactly one character long");
    }
    const auto size = static_cast<std::int64_t>(text.string_cell().code_points);
    if (width <= size) return text;
    const std::size_t padding = static_cast<std::size_t>(width - size);
    // Python puts the odd one to the left when the width is odd.
    const std::size_t left = sides == Sides::right ? 0
                             : sides == Sides::left
                                 ? padding
                                 : padding / 2 + (padding & static_cast<std::size_t>(width) & 1U);
    const std::string_view character = fill == nullptr ? std::string_view(" ") : fill->bytes();
    const Origin origin =
        fill != nullptr && fill->text().has_input() ? Origin::input : Origin::written;
    Builder out(run);
    out.fill(left, character, origin);
    out.append(text);
    out.fill(padding - left, character, origin);
    return out.finish(text.is_markup());
}

}  // namespace shoal::jinja
