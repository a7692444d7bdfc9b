// The walk over a GGUF header: internal to this folder, behind GgufHeader::parse and GgufWriter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/model/gguf.hpp"

namespace shoal::model {

/// Types of metadata values. Source: the GGUF specification, gguf_metadata_value_type.
enum class MetaType : std::uint32_t {
    u8 = 0,
    i8 = 1,
    u16 = 2,
    i16 = 3,
    u32 = 4,
    i32 = 5,
    f32 = 6,
    boolean = 7,
    string = 8,
    array = 9,
    u64 = 10,
    i64 = 11,
    f64 = 12,
};

/// Everything a header says. All views point into the parsed bytes.
struct ParsedGguf {
    /// One key as it stands in the file: its type and its value's bytes, for copying unchanged.
    struct Entry {
        std::string_view key;
        MetaType type;
        std::span<const std::byte> value;
    };

    std::map<std::string, MetaValue, std::less<>> metadata;
    std::vector<Entry> entries;  ///< in file order
    std::vector<TensorInfo> tensors;
    std::map<std::string, std::size_t, std::less<>> tensor_index;
    std::uint64_t header_bytes = 0;
};

/// Throws ModelError; the arguments are those of GgufHeader::parse.
ParsedGguf parse_gguf(std::span<const std::byte> bytes, std::uint64_t file_bytes,
                      const std::string& name);

}  // namespace shoal::model
