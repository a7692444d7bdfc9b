#include "daemon/http/json_input.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace shoal::http {
namespace {

/// How much of the parser's own words an error repeats: they quote the text, which may be long.
constexpr std::size_t kQuotedParserBytes = 200;

/// Sees everything in the text and builds nothing.
class Survey : public nlohmann::json_sax<Json> {
  public:
    const std::string& problem() const noexcept { return problem_; }

    bool null() override { return value(); }
    bool boolean(bool) override { return value(); }
    bool number_integer(number_integer_t) override { return value(); }
    bool number_unsigned(number_unsigned_t) override { return value(); }
    bool number_float(number_float_t, const string_t&) override { return value(); }
    bool string(string_t&) override { return value(); }
    bool binary(binary_t&) override { return value(); }
    bool start_object(std::size_t) override { return value() && enter(); }
    bool start_array(std::size_t) override { return value() && enter(); }
    bool end_object() override { return names_.pop_back(), true; }
    bool end_array() override { return names_.pop_back(), true; }
    bool key(string_t& name) override {
        if (++name_count_ > kMaxJsonNames) {
            return fail(fmt::format("has more than {} names", kMaxJsonNames));
        }
        if (names_.back().size() == kMaxJsonNamesOfOne) {
            return fail(fmt::format("has an object of more than {} names", kMaxJsonNamesOfOne));
        }
        if (names_.back().insert(name).second) return true;
        return fail(fmt::format("has \"{}\" twice", name.substr(0, kQuotedParserBytes)));
    }
    bool parse_error(std::size_t, const std::string&, const Json::exception& error) override {
        // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
        std::string_view what = error.what();
        if (const auto end = what.find("] "); end != what.npos) what.remove_prefix(end + 2);
        return fail(fmt::format("is not valid JSON: {}", what.substr(0, kQuotedParserBytes)));
    }

  private:
    bool fail(std::string problem) {
        if (problem_.empty()) problem_ = std::move(problem);
        return false;
    }
    bool value() {
        return ++values_ <= kMaxJsonValues ||
               fail(fmt::format("has more than {} values", kMaxJsonValues));
    }
    bool enter() {
        names_.emplace_back();
        return names_.size() <= kMaxJsonDepth ||
               fail(fmt::format("is nested deeper than {} levels", kMaxJsonDepth));
    }

    std::string problem_;
    std::size_t values_ = 0, name_count_ = 0;
    std::vector<std::set<std::string>> names_;  ///< of each object that is open; arrays have none
};

}  // namespace

std::optional<ApiError> read_json(std::string_view text, Json& object) {
    Survey survey;
    if (!Json::sax_parse(text, &survey)) return bad_field({}, "the body " + survey.problem());
    object = Json::parse(text);
    if (!object.is_object()) return bad_field({}, "the body is not a JSON object");
    return std::nullopt;
}

}  // namespace shoal::http
