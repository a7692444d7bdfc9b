#include "daemon/model/gguf_parser.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "daemon/model/gguf_cursor.hpp"
#include "daemon/model/gguf_limits.hpp"
#include "daemon/model/gguf_names.hpp"

namespace shoal::model {

static_assert(limits::kMaxHeaderBytes + limits::kMaxAlignment <= kMaxHeaderFileBytes);

namespace {

/// Enough of a file that is none of ours to see what it is.
constexpr std::size_t kBeginning = 512;

/// What people download instead of a model, and what to do.
const char* what_else(std::string_view beginning) noexcept {
    if (beginning.starts_with("version https://git-lfs")) {
        return "this is a Git LFS pointer, not the model: run 'git lfs pull' in its repository, or "
               "download the file itself";
    }
    const std::size_t text = beginning.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
    if (text != std::string_view::npos && beginning[text] == '<') {
        return "this is a web page, not the model: its address led to a page, perhaps one to log "
               "in; download the file itself";
    }
    if (beginning.starts_with("PK\x03\x04")) {
        return "this is a ZIP archive (or a PyTorch file), not a GGUF file: unpack or convert it";
    }
    return "not a GGUF file: it does not begin with \"GGUF\"";
}

/// Fewest bytes that one array item can take in the file; 0 for a type that cannot be an item.
constexpr std::uint32_t item_bytes(MetaType type) noexcept {
    switch (type) {
        case MetaType::u8:
        case MetaType::i8:
        case MetaType::boolean:
            return 1;
        case MetaType::u16:
        case MetaType::i16:
            return 2;
        case MetaType::u32:
        case MetaType::i32:
        case MetaType::f32:
            return 4;
        case MetaType::u64:
        case MetaType::i64:
        case MetaType::f64:
        case MetaType::string:
            return 8;  // a string's length alone
        case MetaType::array:
            return 0;
    }
    return 0;
}

/// Parses one header; used once.
class Parser {
  public:
    Parser(std::span<const std::byte> bytes, std::uint64_t file_bytes, const std::string& name)
        : cursor_(bytes, file_bytes, name) {}

    ParsedGguf parse();

  private:
    void magic_and_version();
    void entry(std::uint64_t number);
    MetaType value_type(const Field& field);
    MetaValue value(MetaType type, const Field& field);
    MetaArray array(Field field);
    template <class Item, class Read>
    MetaArray items(std::uint64_t count, Field field, Read read);
    bool boolean(const Field& field);
    std::int64_t signed_number(MetaType type, const Field& field);
    std::uint64_t unsigned_number(MetaType type, const Field& field);
    double real_number(MetaType type, const Field& field);

    void tensor(std::uint64_t number);
    void dimensions(TensorInfo& info, Field field);
    void type_and_size(TensorInfo& info, Field field);
    std::uint64_t alignment();
    void place_tensors();
    void refuse_overlaps();

    Cursor cursor_;
    ParsedGguf out_;
    std::uint64_t array_items_left_ = limits::kMaxArrayItemsTotal;
    std::uint64_t alignment_at_ = 0;
    std::vector<std::uint64_t> offset_field_at_;  ///< where each tensor's offset is written
};

ParsedGguf Parser::parse() {
    magic_and_version();
    const auto tensors = cursor_.number_up_to(limits::kMaxTensors, Field{"tensor count"});
    const auto keys = cursor_.number_up_to(limits::kMaxKeys, Field{"key count"});
    for (std::uint64_t i = 1; i <= keys; ++i) entry(i);
    for (std::uint64_t i = 1; i <= tensors; ++i) tensor(i);
    place_tensors();
    return std::move(out_);
}

void Parser::magic_and_version() {
    const Field magic{"magic"};
    switch (cursor_.number<std::uint32_t>(magic)) {
        case 0x46554747:
            break;        // "GGUF"
        case 0x47475546:  // "FUGG"
            cursor_.fail(magic, 0, "this is a big-endian GGUF file: convert it to little-endian");
        case 0x67676d6c:  // "lmgg" and the other forms before GGUF
        case 0x67676d66:
        case 0x67676a74:
            cursor_.fail(magic, 0, "this is a GGML file from before GGUF: convert the model again");
        default:
            cursor_.fail(magic, 0, what_else(cursor_.beginning(kBeginning)));
    }
    const Field version{"version"};
    const std::uint64_t at = cursor_.offset();
    const auto number = cursor_.number<std::uint32_t>(version);
    if (number >= limits::kMinVersion && number <= limits::kMaxVersion) return;
    if ((number & 0xffff) == 0 && number != 0) {
        cursor_.fail(version, at, "this is a big-endian GGUF file: convert it to little-endian");
    }
    cursor_.fail(version, at,
                 fmt::format("{} is not supported, only versions {} and {} are: convert the model "
                             "again",
                             number, limits::kMinVersion, limits::kMaxVersion));
}

void Parser::entry(std::uint64_t number) {
    Field field{"name", "key", number};
    const std::uint64_t at = cursor_.offset();
    const std::string_view key = cursor_.string(limits::kMaxKeyBytes, field);
    if (!is_plain_name(key)) {
        cursor_.fail(field, at, quote(key) + " is empty or not printable ASCII");
    }
    if (out_.metadata.contains(key)) {
        cursor_.fail(field, at, quote(key) + " appears twice");
    }
    field.name = key;
    field.part = "type";
    const MetaType type = value_type(field);
    field.part = "value";
    const std::uint64_t value_at = cursor_.offset();
    if (key == "general.alignment") alignment_at_ = value_at;
    out_.metadata.emplace(key, value(type, field));
    out_.entries.push_back({key, type, cursor_.since(value_at)});
}

MetaType Parser::value_type(const Field& field) {
    const std::uint64_t at = cursor_.offset();
    const auto number = cursor_.number<std::uint32_t>(field);
    if (number > static_cast<std::uint32_t>(MetaType::f64)) {
        cursor_.fail(field, at, fmt::format("{} is not a type of metadata", number));
    }
    return static_cast<MetaType>(number);
}

MetaValue Parser::value(MetaType type, const Field& field) {
    switch (type) {
        case MetaType::boolean:
            return boolean(field);
        case MetaType::i8:
        case MetaType::i16:
        case MetaType::i32:
        case MetaType::i64:
            return signed_number(type, field);
        case MetaType::u8:
        case MetaType::u16:
        case MetaType::u32:
        case MetaType::u64:
            return unsigned_number(type, field);
        case MetaType::f32:
        case MetaType::f64:
            return real_number(type, field);
        case MetaType::string:
            return cursor_.string(limits::kMaxStringBytes, field);
        case MetaType::array:
            break;
    }
    return array(field);
}

bool Parser::boolean(const Field& field) {
    const std::uint64_t at = cursor_.offset();
    const auto number = cursor_.number<std::uint8_t>(field);
    if (number > 1) cursor_.fail(field, at, fmt::format("{} is neither 0 nor 1", number));
    return number == 1;
}

std::int64_t Parser::signed_number(MetaType type, const Field& field) {
    switch (type) {
        case MetaType::i8:
            return std::bit_cast<std::int8_t>(cursor_.number<std::uint8_t>(field));
        case MetaType::i16:
            return std::bit_cast<std::int16_t>(cursor_.number<std::uint16_t>(field));
        case MetaType::i32:
            return std::bit_cast<std::int32_t>(cursor_.number<std::uint32_t>(field));
        default:
            return std::bit_cast<std::int64_t>(cursor_.number<std::uint64_t>(field));
    }
}

std::uint64_t Parser::unsigned_number(MetaType type, const Field& field) {
    switch (type) {
        case MetaType::u8:
            return cursor_.number<std::uint8_t>(field);
        case MetaType::u16:
            return cursor_.number<std::uint16_t>(field);
        case MetaType::u32:
            return cursor_.number<std::uint32_t>(field);
        default:
            return cursor_.number<std::uint64_t>(field);
    }
}

double Parser::real_number(MetaType type, const Field& field) {
    if (type == MetaType::f32) {
        return static_cast<double>(std::bit_cast<float>(cursor_.number<std::uint32_t>(field)));
    }
    return std::bit_cast<double>(cursor_.number<std::uint64_t>(field));
}

template <class Item, class Read>
MetaArray Parser::items(std::uint64_t count, Field field, Read read) {
    std::vector<Item> list;
    list.reserve(count);
    field.part = "item";
    for (std::uint64_t i = 1; i <= count; ++i) {
        field.item = i;
        list.push_back(read(field));
    }
    return {std::move(list)};
}

MetaArray Parser::array(Field field) {
    field.part = "item type";
    const std::uint64_t type_at = cursor_.offset();
    const MetaType type = value_type(field);
    if (type == MetaType::array) {
        cursor_.fail(field, type_at, "arrays of arrays are not supported");
    }
    field.part = "item count";
    const std::uint64_t count_at = cursor_.offset();
    const auto count = cursor_.number_up_to(limits::kMaxArrayItems, field);
    if (count > array_items_left_) {
        cursor_.fail(field, count_at,
                     fmt::format("all arrays together have more than the limit of {} items",
                                 limits::kMaxArrayItemsTotal));
    }
    array_items_left_ -= count;
    // Known to fit the file before anything is allocated for it.
    field.part = "items";
    cursor_.need(count * item_bytes(type), field);

    switch (type) {
        case MetaType::boolean:
            return items<bool>(count, field, [&](const Field& f) { return boolean(f); });
        case MetaType::f32:
        case MetaType::f64:
            return items<double>(count, field,
                                 [&](const Field& f) { return real_number(type, f); });
        case MetaType::string:
            return items<std::string_view>(count, field, [&](const Field& f) {
                return cursor_.string(limits::kMaxStringBytes, f);
            });
        case MetaType::i8:
        case MetaType::i16:
        case MetaType::i32:
        case MetaType::i64:
            return items<std::int64_t>(count, field,
                                       [&](const Field& f) { return signed_number(type, f); });
        default:
            return items<std::uint64_t>(count, field,
                                        [&](const Field& f) { return unsigned_number(type, f); });
    }
}

void Parser::tensor(std::uint64_t number) {
    Field field{"name", "tensor", number};
    const std::uint64_t at = cursor_.offset();
    const std::string_view name = cursor_.string(limits::kMaxTensorNameBytes, field);
    if (!is_plain_name(name)) {
        cursor_.fail(field, at, quote(name) + " is empty or not printable ASCII");
    }
    if (out_.tensor_index.contains(name)) {
        cursor_.fail(field, at, quote(name) + " appears twice");
    }
    field.name = name;
    TensorInfo info{std::string{name}, kernels::DType::f32, 0, 1, 0, 0};
    dimensions(info, field);
    type_and_size(info, field);
    field.part = "offset";
    offset_field_at_.push_back(cursor_.offset());
    info.offset = cursor_.number<std::uint64_t>(field);
    out_.tensor_index.emplace(name, out_.tensors.size());
    out_.tensors.push_back(std::move(info));
}

void Parser::dimensions(TensorInfo& info, Field field) {
    field.part = "dimension count";
    const std::uint64_t count_at = cursor_.offset();
    const auto count = cursor_.number_up_to(limits::kMaxDims, field);
    if (count == 0) cursor_.fail(field, count_at, "is 0");
    field.part = "dimension";
    std::uint64_t elements = 1;
    for (std::uint32_t i = 0; i < count; ++i) {
        field.item = i + 1;
        const std::uint64_t at = cursor_.offset();
        const auto size = cursor_.number<std::uint64_t>(field);
        if (size == 0) cursor_.fail(field, at, "is 0");
        // Half of the range, so that sizes in bytes can be computed from it without care.
        if (size > (std::numeric_limits<std::uint64_t>::max() >> 4) / elements) {
            cursor_.fail(field, at, fmt::format("{} makes the tensor impossibly large", size));
        }
        elements *= size;
        if (i == 0) {
            info.cols = size;
        } else {
            info.rows *= size;
            if (i > 1) info.matrices *= size;
        }
    }
}

void Parser::type_and_size(TensorInfo& info, Field field) {
    field.part = "type";
    const std::uint64_t at = cursor_.offset();
    const auto number = cursor_.number<std::uint32_t>(field);
    info.type = static_cast<kernels::DType>(number);
    if (!kernels::is_known(info.type)) {
        const std::string_view known = tensor_type_name(number);
        cursor_.fail(field, at,
                     fmt::format("{} is not supported; supported are {}: use the model in one of "
                                 "these",
                                 known.empty() ? fmt::format("number {}", number) : known,
                                 supported_tensor_types()));
    }
    const kernels::BlockShape block = kernels::block_shape(info.type);
    if (info.cols % block.elements != 0) {
        cursor_.fail(field, at,
                     fmt::format("a row of {} elements is not a whole number of {} blocks of {}",
                                 info.cols, tensor_type_name(number), block.elements));
    }
    // At most 4 bytes an element, and the element count leaves 4 bits: no overflow.
    static_assert(kernels::block_shape(kernels::DType::f32).bytes == 4);
    info.bytes = info.cols / block.elements * block.bytes * info.rows;
}

std::uint64_t Parser::alignment() {
    const auto found = out_.metadata.find("general.alignment");
    if (found == out_.metadata.end()) return limits::kDefaultAlignment;
    const Field field{"value", "key", 0, "general.alignment"};
    const auto* value = std::get_if<std::uint64_t>(&found->second);
    if (value == nullptr) cursor_.fail(field, alignment_at_, "is not an unsigned integer");
    if (!std::has_single_bit(*value) || *value < limits::kMinAlignment ||
        *value > limits::kMaxAlignment) {
        cursor_.fail(field, alignment_at_,
                     fmt::format("{} is not a power of two from {} to {}", *value,
                                 limits::kMinAlignment, limits::kMaxAlignment));
    }
    return *value;
}

void Parser::place_tensors() {
    const std::uint64_t align = alignment();
    const std::uint64_t end = cursor_.offset();
    if (out_.tensors.empty()) {
        out_.header_bytes = end;
        return;
    }
    out_.header_bytes = (end + align - 1) / align * align;
    for (std::size_t i = 0; i < out_.tensors.size(); ++i) {
        TensorInfo& info = out_.tensors[i];
        Field field{"offset", "tensor", i + 1, info.name};
        if (info.offset % align != 0) {
            cursor_.fail(
                field, offset_field_at_[i],
                fmt::format("{} is not a multiple of the alignment {}", info.offset, align));
        }
        const std::uint64_t file_bytes = cursor_.file_bytes();
        if (out_.header_bytes > file_bytes || info.offset > file_bytes - out_.header_bytes ||
            info.bytes > file_bytes - out_.header_bytes - info.offset) {
            cursor_.fail(field, offset_field_at_[i],
                         fmt::format("{} bytes of data at {} after the header of {} bytes reach "
                                     "beyond the file's end at byte {}: it is damaged, or its "
                                     "download ended early",
                                     info.bytes, info.offset, out_.header_bytes, file_bytes));
        }
        info.offset += out_.header_bytes;
    }
    refuse_overlaps();
}

void Parser::refuse_overlaps() {
    std::vector<std::size_t> order(out_.tensors.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [this](std::size_t a, std::size_t b) {
        return out_.tensors[a].offset < out_.tensors[b].offset;
    });
    for (std::size_t i = 1; i < order.size(); ++i) {
        const TensorInfo& before = out_.tensors[order[i - 1]];
        const TensorInfo& info = out_.tensors[order[i]];
        if (info.offset < before.offset + before.bytes) {
            cursor_.fail(
                Field{"offset", "tensor", order[i] + 1, info.name}, offset_field_at_[order[i]],
                fmt::format("its data at byte {} overlaps that of tensor {}, which ends "
                            "at byte {}",
                            info.offset, quote(before.name), before.offset + before.bytes));
        }
    }
}

}  // namespace

ParsedGguf parse_gguf(std::span<const std::byte> bytes, std::uint64_t file_bytes,
                      const std::string& name) {
    return Parser(bytes, file_bytes, name).parse();
}

}  // namespace shoal::model
