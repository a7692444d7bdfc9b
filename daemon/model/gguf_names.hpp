// The names of GGUF's numbers, for messages and status.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace shoal::model {

/// "IQ2_XS" for a tensor type number that is defined somewhere, whether or not it can be read
/// here; empty for a number that means nothing.
std::string_view tensor_type_name(std::uint32_t type) noexcept;

/// The types that can be read, for messages: "F32, F16, BF16, ...".
std::string supported_tensor_types();

/// "Q4_K_M" for a value of general.file_type; empty when unknown.
std::string_view file_type_name(std::uint64_t file_type) noexcept;

/// True for printable ASCII without spaces, at least one character: what keys and tensor names
/// consist of.
bool is_plain_name(std::string_view text) noexcept;

/// `text` in quotes with control bytes escaped and cut to a readable length: for text that comes
/// from a file and goes to a terminal or a log.
std::string quote(std::string_view text);

}  // namespace shoal::model
