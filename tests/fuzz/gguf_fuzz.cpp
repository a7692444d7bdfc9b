// A model file: whatever it says, the reader answers with a header whose tensors lie inside the
// file, or with a ModelError; the same for the description that is read from it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "daemon/model/gguf.hpp"
#include "daemon/model/hparams.hpp"

using namespace shoal::model;

namespace {

void check(bool fact) {
    if (!fact) std::abort();
}

/// Touch every byte that the header's views promise.
std::uint64_t touch(const GgufHeader& header) {
    std::uint64_t sum = 0;
    const auto add = [&sum](std::string_view text) {
        for (const char c : text) sum += static_cast<unsigned char>(c);
    };
    for (const auto& [key, value] : header.metadata()) {
        add(key);
        if (const auto* text = std::get_if<std::string_view>(&value)) add(*text);
        const auto* array = std::get_if<MetaArray>(&value);
        if (array == nullptr) continue;
        if (const auto* texts = std::get_if<std::vector<std::string_view>>(&array->items)) {
            for (const std::string_view text : *texts) add(text);
        }
    }
    return sum;
}

void check_description(const Hparams& h) {
    check(h.n_layers > 0 && h.n_heads % h.n_kv_heads == 0 && h.group() > 0);
    check(h.layer_ff.size() == h.n_layers);
    check(h.rope_dim % 2 == 0 && h.rope_dim <= h.head_dim);
    check(h.inverse_frequencies().size() == h.rope_dim / 2);
}

/// `file_bytes` may be more than the bytes: then they are the beginning of a file.
void parse(std::span<const std::byte> bytes, std::uint64_t file_bytes) {
    try {
        const GgufHeader header = GgufHeader::parse(bytes, file_bytes, "fuzz.gguf");
        touch(header);
        check(header.header_bytes() <= file_bytes);
        std::span<const std::byte> rope_freqs;
        for (const TensorInfo& info : header.tensors()) {
            check(info.cols > 0 && info.rows > 0 && info.bytes > 0);
            check(info.offset >= header.header_bytes() && info.offset <= file_bytes &&
                  info.bytes <= file_bytes - info.offset);
            check(header.find_tensor(info.name) == &info);
            if (info.name == tensor_name::kRopeFreqs && info.offset + info.bytes <= bytes.size()) {
                rope_freqs = bytes.subspan(info.offset, info.bytes);
            }
        }
        check(parameter_count(header) / 2 <= file_bytes);
        check(!quantisation_name(header).empty());
        check_description(read_hparams(header, rope_freqs));
    } catch (const ModelError& error) {
        check(std::string_view{error.what()}.starts_with("fuzz.gguf: "));
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
    parse(bytes, size);
    // The same header of a file with all its data, which inputs are too short to hold.
    parse(bytes, std::uint64_t{1} << 40);
    return 0;
}
