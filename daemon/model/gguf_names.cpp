#include "daemon/model/gguf_names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/types.hpp"

namespace shoal::model {
namespace {

using Entry = std::pair<std::uint32_t, std::string_view>;

// Numbers above 96 are those of the ik_llama.cpp fork, which publishes files of its own.
constexpr std::array kTensorTypes = {
    Entry{0, "F32"},         Entry{1, "F16"},         Entry{2, "Q4_0"},
    Entry{3, "Q4_1"},        Entry{4, "Q4_2"},        Entry{5, "Q4_3"},
    Entry{6, "Q5_0"},        Entry{7, "Q5_1"},        Entry{8, "Q8_0"},
    Entry{9, "Q8_1"},        Entry{10, "Q2_K"},       Entry{11, "Q3_K"},
    Entry{12, "Q4_K"},       Entry{13, "Q5_K"},       Entry{14, "Q6_K"},
    Entry{15, "Q8_K"},       Entry{16, "IQ2_XXS"},    Entry{17, "IQ2_XS"},
    Entry{18, "IQ3_XXS"},    Entry{19, "IQ1_S"},      Entry{20, "IQ4_NL"},
    Entry{21, "IQ3_S"},      Entry{22, "IQ2_S"},      Entry{23, "IQ4_XS"},
    Entry{24, "I8"},         Entry{25, "I16"},        Entry{26, "I32"},
    Entry{27, "I64"},        Entry{28, "F64"},        Entry{29, "IQ1_M"},
    Entry{30, "BF16"},       Entry{31, "Q4_0_4_4"},   Entry{32, "Q4_0_4_8"},
    Entry{33, "Q4_0_8_8"},   Entry{34, "TQ1_0"},      Entry{35, "TQ2_0"},
    Entry{36, "IQ4_NL_4_4"}, Entry{37, "IQ4_NL_4_8"}, Entry{38, "IQ4_NL_8_8"},
    Entry{39, "MXFP4"},      Entry{40, "NVFP4"},      Entry{41, "Q1_0"},
    Entry{133, "Q6_0"},      Entry{134, "IQ1_BN"},    Entry{135, "IQ2_BN"},
    Entry{137, "IQ2_K"},     Entry{138, "IQ3_K"},     Entry{139, "IQ4_K"},
    Entry{140, "IQ5_K"},     Entry{141, "IQ6_K"},     Entry{144, "IQ4_KS"},
    Entry{145, "IQ2_KS"},    Entry{146, "IQ4_KSS"},   Entry{152, "IQ5_KS"},
    Entry{153, "IQ2_KT"},    Entry{154, "IQ3_KT"},    Entry{155, "IQ4_KT"},
    Entry{156, "IQ3_KS"},    Entry{157, "IQ2_KL"},    Entry{158, "IQ1_KT"},
};

constexpr std::array kFileTypes = {
    Entry{0, "F32"},      Entry{1, "F16"},     Entry{2, "Q4_0"},    Entry{3, "Q4_1"},
    Entry{7, "Q8_0"},     Entry{8, "Q5_0"},    Entry{9, "Q5_1"},    Entry{10, "Q2_K"},
    Entry{11, "Q3_K_S"},  Entry{12, "Q3_K_M"}, Entry{13, "Q3_K_L"}, Entry{14, "Q4_K_S"},
    Entry{15, "Q4_K_M"},  Entry{16, "Q5_K_S"}, Entry{17, "Q5_K_M"}, Entry{18, "Q6_K"},
    Entry{19, "IQ2_XXS"}, Entry{20, "IQ2_XS"}, Entry{21, "Q2_K_S"}, Entry{22, "IQ3_XS"},
    Entry{23, "IQ3_XXS"}, Entry{24, "IQ1_S"},  Entry{25, "IQ4_NL"}, Entry{26, "IQ3_S"},
    Entry{27, "IQ3_M"},   Entry{28, "IQ2_S"},  Entry{29, "IQ2_M"},  Entry{30, "IQ4_XS"},
    Entry{31, "IQ1_M"},   Entry{32, "BF16"},   Entry{36, "TQ1_0"},  Entry{37, "TQ2_0"},
    Entry{38, "MXFP4"},
};

template <std::size_t N>
std::string_view lookup(const std::array<Entry, N>& table, std::uint64_t number) noexcept {
    const auto entry = std::find_if(table.begin(), table.end(),
                                    [number](const Entry& e) { return e.first == number; });
    return entry == table.end() ? std::string_view{} : entry->second;
}

}  // namespace

std::string_view tensor_type_name(std::uint32_t type) noexcept {
    return lookup(kTensorTypes, type);
}

std::string supported_tensor_types() {
    std::string list;
    for (const auto& [number, type_name] : kTensorTypes) {
        if (!kernels::is_known(static_cast<kernels::DType>(number))) continue;
        if (!list.empty()) list += ", ";
        list += type_name;
    }
    return list;
}

std::string_view file_type_name(std::uint64_t file_type) noexcept {
    return lookup(kFileTypes, file_type);
}

bool is_plain_name(std::string_view text) noexcept {
    return !text.empty() &&
           std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

std::string quote(std::string_view text) {
    constexpr std::size_t kMaxShown = 80;
    std::string out = "'";
    for (const char c : text.substr(0, kMaxShown)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x20 && byte < 0x7f) {
            out += c;
        } else {
            out += fmt::format("\\x{:02x}", byte);
        }
    }
    if (text.size() > kMaxShown) out += "...";
    out += '\'';
    return out;
}

}  // namespace shoal::model
