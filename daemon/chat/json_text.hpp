// JSON as text: where a value ends while it arrives, and its parts as the model wrote them.
// Nothing here builds a document, so numbers keep their digits and names their order.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::chat {

/// Deepest nesting of what a model or a client writes.
inline constexpr std::size_t kMaxJsonDepth = 64;
/// Deepest nesting of a call's arguments, and of a tool's parameters: in a conversation they stand
/// below itself, the messages, a message, its calls, the call and its function.
inline constexpr std::size_t kMaxArgumentDepth = kMaxJsonDepth - 6;

/// Follows one object or array, byte by byte. It refuses what cannot become JSON as soon as it
/// sees it, so that text which only looks like a call is not held back for long. What it accepts
/// is balanced; whether words and numbers are right is left to members() and items().
class JsonEnd {
  public:
    enum class State { more, done, bad };

    /// After done or bad nothing more may be fed.
    State feed(char c);

  private:
    enum class Expect { root, value, value_or_end, name, name_or_end, colon, comma_or_end };
    enum class Inside { nothing, string, escape, word };

    State structural(char c);
    State open(char c);
    State close(char c);

    std::string open_;  ///< closing brackets to come, the innermost last
    Expect expect_ = Expect::root;
    Inside inside_ = Inside::nothing;
    bool string_is_name_ = false;
};

struct JsonMember {
    std::string name;
    std::string_view value;  ///< a part of the text, without spaces around it
};

/// The members of an object; nullopt when the text is not one valid JSON object.
std::optional<std::vector<JsonMember>> members(std::string_view text);
/// The items of an array; nullopt when the text is not one valid JSON array.
std::optional<std::vector<std::string_view>> items(std::string_view text);
/// Whether the text is one valid JSON value, not nested deeper than `most_levels`.
bool is_json(std::string_view text, std::size_t most_levels = kMaxJsonDepth);
bool is_json_object(std::string_view text, std::size_t most_levels = kMaxJsonDepth);
/// What a JSON string says; nullopt when the text is not one.
std::optional<std::string> string_value(std::string_view text);
/// The text as a JSON string, with its quotes. Bytes that are not UTF-8 become U+FFFD.
std::string json_string(std::string_view text);

std::string_view trimmed(std::string_view text) noexcept;
inline constexpr std::string_view kSpaces = " \t\r\n";

}  // namespace shoal::chat
