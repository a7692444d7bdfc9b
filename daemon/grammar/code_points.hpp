// Sets of Unicode code points, and the byte sequences of UTF-8 that they stand for.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::grammar {

inline constexpr char32_t kLastCodePoint = 0x10FFFF;

struct CodePointRange {
    char32_t first, last;  ///< both belong to it

    friend bool operator==(const CodePointRange&, const CodePointRange&) = default;
};

/// Sorted ranges that neither overlap nor touch, without surrogates, which UTF-8 cannot say.
/// Externally synchronised.
class CodePointSet {
  public:
    CodePointSet() = default;
    explicit CodePointSet(std::vector<CodePointRange> ranges);

    static CodePointSet all() { return CodePointSet({{0, kLastCodePoint}}); }

    const std::vector<CodePointRange>& ranges() const noexcept { return ranges_; }
    bool empty() const noexcept { return ranges_.empty(); }
    bool contains(char32_t code_point) const noexcept;

    CodePointSet complement() const;
    CodePointSet without(const CodePointSet& other) const;
    CodePointSet with(const CodePointSet& other) const;

  private:
    std::vector<CodePointRange> ranges_;
};

/// One to four ranges of bytes, one after the other.
struct ByteSequence {
    struct Range {
        std::uint8_t first, last;
    };
    std::array<Range, 4> bytes;
    std::size_t length;
};

/// The sequences whose union is the UTF-8 of all code points in the set, in ascending order.
std::vector<ByteSequence> utf8_sequences(const CodePointSet& set);

/// Appends the UTF-8 of a code point. Requires: at most kLastCodePoint, not a surrogate.
void append_utf8(char32_t code_point, std::string& text);

/// The code point at `at`, which then stands behind it; malformed bytes yield kNotUtf8 and move by
/// one. Requires: at < text.size().
inline constexpr char32_t kNotUtf8 = 0xFFFFFFFF;
char32_t next_code_point(std::string_view text, std::size_t& at) noexcept;

}  // namespace shoal::grammar
