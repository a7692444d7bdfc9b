#include <nlohmann/json.hpp>
#include <vector>

#include "daemon/jinja/json_text.hpp"

namespace shoal::jinja {
namespace {

using nlohmann::json;

/// How much of the parser's own words an error repeats: they quote the text, which may be long.
constexpr std::size_t kQuotedParserBytes = 200;

/// Builds values while the text is read.
class Reader : public nlohmann::json_sax<json> {
  public:
    Reader(Origin origin, Run* run) noexcept : origin_(origin), run_(run) {}

    const std::string& problem() const noexcept { return problem_; }
    Value take() { return std::move(whole_); }

    bool null() override { return add(Value::none()); }
    bool boolean(bool value) override { return add(Value::boolean(value)); }
    bool number_integer(number_integer_t value) override { return add(Value::integer(value)); }
    bool number_unsigned(number_unsigned_t value) override {
        if (value > INT64_MAX) return fail("an integer is beyond 64 bits");
        return add(Value::integer(static_cast<std::int64_t>(value)));
    }
    bool number_float(number_float_t value, const string_t& digits) override {
        // What is too long for an integer comes here, too.
        if (digits.find_first_of(".eE") == digits.npos) return fail("an integer is beyond 64 bits");
        return add(Value::real(value));
    }
    bool string(string_t& value) override { return add(string_value(std::move(value))); }
    bool binary(binary_t&) override { return false; }
    bool start_object(std::size_t) override {
        return open(Value(run_ != nullptr ? run_->dict() : Ref(new DictCell)));
    }
    bool start_array(std::size_t) override {
        return open(Value(run_ != nullptr ? run_->list() : Ref(new ListCell(Flavour::list))));
    }
    bool key(string_t& name) override {
        open_.back().name = string_value(std::move(name));
        return true;
    }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }
    bool parse_error(std::size_t, const std::string&, const json::exception& error) override {
        // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
        std::string_view what = error.what();
        if (const auto end = what.find("] "); end != what.npos) what.remove_prefix(end + 2);
        return fail(std::string(what.substr(0, kQuotedParserBytes)));
    }

  private:
    struct Open {
        Value container, name;
    };

    bool fail(std::string problem) {
        problem_ = std::move(problem);
        return false;
    }
    Value string_value(std::string bytes) {
        if (run_ == nullptr) return Value::string(std::move(bytes), origin_);
        return run_->string(Text(std::move(bytes), origin_));
    }
    bool add(Value value) {
        if (open_.empty()) {
            whole_ = std::move(value);
            return true;
        }
        Open& inner = open_.back();
        if (inner.container.is(Value::Kind::dict)) {
            inner.container.dict_cell().set(std::move(inner.name), std::move(value));
        } else {
            inner.container.list_cell().push(std::move(value));
        }
        return true;
    }
    bool open(Value container) {
        if (open_.size() == kMaxJsonDepth) {
            return fail("it is nested deeper than " + std::to_string(kMaxJsonDepth) + " levels");
        }
        open_.push_back({std::move(container), {}});
        return true;
    }
    bool close() {
        const Value closed = std::move(open_.back().container);
        open_.pop_back();
        return add(closed);
    }

    const Origin origin_;
    Run* const run_;
    std::string problem_;
    std::vector<Open> open_;
    Value whole_;
};

}  // namespace

Value value_of_json(std::string_view text, Origin origin, Run* run) {
    Reader reader(origin, run);
    if (!json::sax_parse(text, &reader)) {
        throw JsonError("this is not JSON for a chat template: " + reader.problem());
    }
    return reader.take();
}

Value Value::from_json(std::string_view text, Origin origin) {
    return value_of_json(text, origin, nullptr);
}

}  // namespace shoal::jinja
