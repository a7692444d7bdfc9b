#include "daemon/model/gguf_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>

#include "daemon/model/gguf_limits.hpp"
#include "daemon/model/gguf_names.hpp"
#include "daemon/model/gguf_parser.hpp"
#include "mesh/disk/whole_file.hpp"

namespace shoal::model {
namespace {

constexpr std::uint32_t kAlignment = limits::kDefaultAlignment;
/// Bytes of a tensor made and written at a time: large enough to be made by several threads.
constexpr std::uint64_t kChunkBytes = std::uint64_t{16} << 20;
/// What the umask leaves of it.
constexpr mode_t kFileMode = 0666;

template <class T>
void put(std::string& out, T value) {
    static_assert(std::is_unsigned_v<T>);
    for (std::size_t i = 0; i < sizeof(T); ++i) out += static_cast<char>(value >> (8 * i));
}

void put(std::string& out, std::string_view text) {
    put(out, std::uint64_t{text.size()});
    out += text;
}

void put_type(std::string& out, MetaType type) {
    put(out, static_cast<std::uint32_t>(type));
}

/// The type number of a value and its bytes.
MetaType encode(std::string& out, bool value) {
    put(out, static_cast<std::uint8_t>(value));
    return MetaType::boolean;
}
MetaType encode(std::string& out, std::uint16_t value) {
    put(out, value);
    return MetaType::u16;
}
MetaType encode(std::string& out, std::uint32_t value) {
    put(out, value);
    return MetaType::u32;
}
MetaType encode(std::string& out, std::int32_t value) {
    put(out, static_cast<std::uint32_t>(value));
    return MetaType::i32;
}
MetaType encode(std::string& out, std::uint64_t value) {
    put(out, value);
    return MetaType::u64;
}
MetaType encode(std::string& out, float value) {
    put(out, std::bit_cast<std::uint32_t>(value));
    return MetaType::f32;
}
MetaType encode(std::string& out, double value) {
    put(out, std::bit_cast<std::uint64_t>(value));
    return MetaType::f64;
}
MetaType encode(std::string& out, const std::string& value) {
    put(out, std::string_view{value});
    return MetaType::string;
}
template <class Item>
MetaType encode(std::string& out, const std::vector<Item>& items) {
    std::string unused;
    put_type(out, encode(unused, Item{}));
    put(out, std::uint64_t{items.size()});
    for (const Item& item : items) encode(out, item);
    return MetaType::array;
}

std::uint64_t padding(std::uint64_t offset) noexcept {
    return (kAlignment - offset % kAlignment) % kAlignment;
}

}  // namespace

void GgufWriter::set(std::string key, Value value) {
    if (!is_plain_name(key) || key.size() > limits::kMaxKeyBytes) {
        throw ModelError(
            fmt::format("key {} cannot be written: it must be 1 to {} characters of "
                        "printable ASCII",
                        quote(key), limits::kMaxKeyBytes));
    }
    if (key == "general.alignment" && value != Value{std::uint32_t{kAlignment}}) {
        throw ModelError(
            fmt::format("key {} cannot be written: files are always aligned to {} "
                        "bytes",
                        quote(key), kAlignment));
    }
    std::string body;
    const MetaType type = std::visit([&](const auto& v) { return encode(body, v); }, value);
    std::string encoded;
    put_type(encoded, type);
    set_encoded(std::move(key), encoded + body);
}

void GgufWriter::set_encoded(std::string key, std::string encoded) {
    const auto [it, is_new] = entry_index_.emplace(key, entries_.size());
    if (is_new) {
        entries_.push_back({std::move(key), std::move(encoded)});
    } else {
        entries_[it->second].encoded = std::move(encoded);
    }
}

void GgufWriter::copy_metadata(const GgufFile& file) {
    copy_metadata(file.header_bytes(), file.bytes(), file.header().name());
}

void GgufWriter::copy_metadata(std::span<const std::byte> bytes, std::uint64_t file_bytes,
                               const std::string& name) {
    const ParsedGguf parsed = parse_gguf(bytes, file_bytes, name);
    for (const ParsedGguf::Entry& entry : parsed.entries) {
        if (entry.key == "general.alignment") continue;
        std::string encoded;
        put_type(encoded, entry.type);
        encoded.append(reinterpret_cast<const char*>(entry.value.data()), entry.value.size());
        set_encoded(std::string{entry.key}, std::move(encoded));
    }
}

void GgufWriter::add_tensor_rows(std::string name, kernels::DType type, std::uint64_t cols,
                                 std::uint64_t rows, Fill fill, std::uint64_t matrices) {
    const auto fail = [&](std::string_view what) {
        throw ModelError(fmt::format("tensor {} cannot be written: {}", quote(name), what));
    };
    if (!is_plain_name(name) || name.size() > limits::kMaxTensorNameBytes) {
        fail(fmt::format("its name must be 1 to {} characters of printable ASCII",
                         limits::kMaxTensorNameBytes));
    }
    if (tensor_names_.contains(name)) fail("there is one of that name already");
    if (!kernels::is_known(type)) {
        fail(fmt::format("type {} is not supported", static_cast<std::uint32_t>(type)));
    }
    constexpr std::uint64_t kMaxElements = std::uint64_t{1} << 60;
    if (cols == 0 || rows == 0 || cols > kMaxElements / rows) {
        fail(fmt::format("{} rows of {} columns are no tensor", rows, cols));
    }
    if (matrices == 0 || rows % matrices != 0) {
        fail(fmt::format("{} rows are not {} matrices", rows, matrices));
    }
    if (const auto block = kernels::block_shape(type).elements; cols % block != 0) {
        fail(fmt::format("rows of {} elements are not whole {} blocks of {}", cols,
                         kernels::name(type), block));
    }
    tensor_names_.insert(name);
    tensors_.push_back({std::move(name), type, cols, rows, matrices, std::move(fill)});
}

// The last tensor.
void GgufWriter::take_back() {
    tensor_names_.erase(tensors_.back().name);
    tensors_.pop_back();
}

void GgufWriter::add_tensor(std::string name, kernels::DType type, std::uint64_t cols,
                            std::uint64_t rows, std::span<const std::byte> data) {
    // Shared, because a std::function must be copyable.
    const auto copy = std::make_shared<std::vector<std::byte>>(data.begin(), data.end());
    add_tensor_rows(std::move(name), type, cols, rows, nullptr);
    Tensor& tensor = tensors_.back();
    if (tensor.bytes() != data.size()) {
        const std::string what =
            fmt::format("tensor {} cannot be written: {} bytes of data instead of {}",
                        quote(tensor.name), data.size(), tensor.bytes());
        take_back();
        throw ModelError(what);
    }
    const std::size_t row_bytes = data.size() / static_cast<std::size_t>(rows);
    tensor.fill = [copy, row_bytes](std::uint64_t first, std::uint64_t, std::span<std::byte> out) {
        std::memcpy(out.data(), copy->data() + first * row_bytes, out.size());
    };
}

std::string GgufWriter::header() const {
    std::string out = "GGUF";
    put(out, limits::kMaxVersion);
    put(out, std::uint64_t{tensors_.size()});
    put(out, std::uint64_t{entries_.size()});
    for (const Entry& entry : entries_) {
        put(out, std::string_view{entry.key});
        out += entry.encoded;
    }
    std::uint64_t offset = 0;
    for (const Tensor& tensor : tensors_) {
        put(out, std::string_view{tensor.name});
        put(out, std::uint32_t{tensor.matrices != 1 ? 3U : tensor.rows != 1 ? 2U : 1U});
        put(out, tensor.cols);
        if (tensor.rows != 1) put(out, tensor.rows / tensor.matrices);
        if (tensor.matrices != 1) put(out, tensor.matrices);
        put(out, static_cast<std::uint32_t>(tensor.type));
        put(out, offset);
        offset += tensor.bytes();
        offset += padding(offset);
    }
    if (!tensors_.empty()) out.append(padding(out.size()), '\0');
    return out;
}

std::uint64_t GgufWriter::file_bytes() const {
    std::uint64_t bytes = header().size();
    for (const Tensor& tensor : tensors_) bytes += tensor.bytes() + padding(tensor.bytes());
    return bytes;
}

void GgufWriter::write(const std::filesystem::path& path) const {
    disk::WholeFile file(path, kFileMode);
    const auto append = [&](const std::vector<std::byte>& bytes) {
        file.append({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    };
    file.append(header());
    std::vector<std::byte> buffer;
    for (const Tensor& tensor : tensors_) {
        const std::uint64_t row_bytes = tensor.bytes() / tensor.rows;
        const std::uint64_t chunk_rows = std::max<std::uint64_t>(1, kChunkBytes / row_bytes);
        for (std::uint64_t first = 0; first < tensor.rows; first += chunk_rows) {
            const std::uint64_t count = std::min(chunk_rows, tensor.rows - first);
            buffer.resize(count * row_bytes);
            tensor.fill(first, count, buffer);
            append(buffer);
        }
        buffer.assign(padding(tensor.bytes()), std::byte{0});
        append(buffer);
    }
    file.replace();
}

}  // namespace shoal::model
