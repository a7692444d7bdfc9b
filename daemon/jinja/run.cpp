#include "daemon/jinja/run.hpp"

#include <cstdint>

#include "daemon/jinja/error.hpp"

namespace shoal::jinja {

Value Run::string(Text text, bool markup) {
    const std::size_t bytes = text.memory_bytes();
    meter_.check(bytes);
    const Ref cell = adopted(new StringCell(std::move(text), markup));
    cell->grow(bytes);
    return Value(cell);
}

Ref<ListCell> Run::list(Flavour flavour) {
    return adopted(new ListCell(flavour));
}

Ref<DictCell> Run::dict() {
    return adopted(new DictCell);
}

Value Run::undefined(std::string message) {
    const std::size_t bytes = message.size();
    const Ref cell = adopted(new UndefinedCell(std::move(message)));
    cell->grow(bytes);
    return Value(cell);
}

void Run::out_of_steps() const {
    fail_limit("it takes more than " + std::to_string(limits_.steps) + " steps");
}

void Run::too_deep() const {
    fail_limit("expressions, statements and macros are nested deeper than " +
               std::to_string(limits_.depth) + " levels");
}

void Builder::append(std::string_view bytes, Origin origin) {
    run_.meter().check(bytes.size());
    text_.append(bytes, origin);
    count();
}

void Builder::append(const Text& text, std::size_t begin, std::size_t end) {
    run_.meter().check(end - begin);
    text_.append(text, begin, end);
    count();
}

void Builder::fill(std::size_t count, std::string_view character, Origin origin) {
    if (count > SIZE_MAX / 4 / (character.size() + 1)) run_.meter().check(SIZE_MAX / 2);
    run_.meter().check(count * character.size());
    run_.work(count * character.size());
    std::string filling;
    filling.reserve(count * character.size());
    for (std::size_t i = 0; i < count; ++i) filling.append(character);
    append(filling, origin);
}

void Builder::count() {
    const std::size_t bytes = text_.memory_bytes() - counted_;
    run_.meter().count(bytes);
    counted_ += bytes;
    run_.work(bytes);
}

Value Builder::finish(bool markup) {
    return run_.string(take(), markup);
}

Text Builder::take() {
    run_.meter().uncount(counted_);
    counted_ = 0;
    return std::move(text_);
}

}  // namespace shoal::jinja
