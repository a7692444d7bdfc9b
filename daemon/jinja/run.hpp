// One rendering: what it has used of its limits, and where it is. Internal to this folder.
#pragma once

#include <ctime>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/jinja/cells.hpp"
#include "daemon/jinja/limits.hpp"
#include "daemon/jinja/utf8.hpp"

namespace shoal::jinja {

/// Owned by one rendering. Everything here throws Failure at its limit.
class Run {
  public:
    Run(const Limits& limits, const std::tm& now) noexcept
        : limits_(limits), now_(now), meter_(limits.memory_bytes) {}

    void step(std::uint64_t count = 1) {
        if (count > limits_.steps - steps_) out_of_steps();
        steps_ += count;
    }
    /// Steps for touching so many bytes.
    void work(std::size_t bytes) { step(bytes / 32); }

    Meter& meter() noexcept { return meter_; }
    const Limits& limits() const noexcept { return limits_; }
    const std::tm& now() const noexcept { return now_; }

    Value string(Text text, bool markup = false);
    /// The template's own words.
    Value string(std::string_view bytes) {
        return string(Text(std::string(bytes), Origin::written));
    }
    Ref<ListCell> list(Flavour flavour = Flavour::list);
    Ref<DictCell> dict();
    /// An undefined value that fails with these words when it is used.
    Value undefined(std::string message);
    /// Counts a cell that this folder made otherwise.
    template <class T>
    Ref<T> adopted(T* cell) {
        Ref<T> out(cell);
        cell->adopt(meter_, sizeof(T));
        return out;
    }

    /// Where the template is, for the error.
    std::uint32_t line = 0;

    /// One level deeper, as long as it lives.
    class Level {
      public:
        explicit Level(Run& run) : run_(run) {
            if (run.depth_ == run.limits_.depth) run.too_deep();
            ++run.depth_;
        }
        ~Level() { --run_.depth_; }
        Level(const Level&) = delete;
        Level& operator=(const Level&) = delete;

      private:
        Run& run_;
    };

  private:
    [[noreturn]] void out_of_steps() const;
    [[noreturn]] void too_deep() const;

    const Limits limits_;
    const std::tm now_;
    std::uint64_t steps_ = 0;
    std::uint32_t depth_ = 0;
    Meter meter_;
};

/// Text that grows: every append is checked before it is done.
class Builder {
  public:
    explicit Builder(Run& run) noexcept : run_(run) {}
    ~Builder() { run_.meter().uncount(counted_); }
    Builder(const Builder&) = delete;
    Builder& operator=(const Builder&) = delete;

    void append(std::string_view bytes, Origin origin = Origin::written);
    void append(const Text& text, std::size_t begin, std::size_t end);
    void append(const Text& text) { append(text, 0, text.size()); }
    void append(const Value& string) { append(string.text()); }
    /// Each code point as `replace` has it: replace(char32_t, std::string& by) is true when `by`,
    /// which comes empty, is to stand in its place.
    template <class Replace>
    void append_replaced(const Text& text, Replace&& replace);
    /// `count` times the same character.
    void fill(std::size_t count, std::string_view character, Origin origin = Origin::written);

    const Text& text() const noexcept { return text_; }
    /// A string value. Nothing may be appended any more.
    Value finish(bool markup = false);
    Text take();

  private:
    void count();

    Run& run_;
    Text text_;
    std::size_t counted_ = 0;
};

template <class Replace>
void Builder::append_replaced(const Text& text, Replace&& replace) {
    std::string by;
    text.for_each_run([&](std::string_view run, Origin origin) {
        std::size_t kept = 0;  // from there on nothing was replaced
        for (std::size_t i = 0; i < run.size();) {
            const std::size_t length = utf8::length_at(run, i);
            by.clear();
            if (replace(utf8::at(run, i), by)) {
                append(run.substr(kept, i - kept), origin);
                append(by, origin);
                kept = i + length;
            }
            i += length;
        }
        append(run.substr(kept), origin);
    });
}

}  // namespace shoal::jinja
