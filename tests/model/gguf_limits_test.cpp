// One case for each field of a header that can be wrong: what is said, and where.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "daemon/model/gguf_limits.hpp"
#include "daemon/model/gguf_names.hpp"
#include "tests/model/gguf_bytes.hpp"

namespace shoal::model::gguf_limits_test {
namespace {

using tests::GgufBytes;
namespace lim = limits;

/// Damages one field and returns the offset that the message must name.
using Damage = std::function<std::size_t(GgufBytes&)>;

struct Case {
    const char* name;
    Damage damage;
    std::string field;  ///< the message's part before " at byte N: "
    std::string what;   ///< and the one after it, as a whole
};

template <class T>
Damage put(std::size_t at, T value) {
    return [=](GgufBytes& file) {
        file.put<T>(at, value);
        return at;
    };
}

template <class T>
Damage put(std::size_t (GgufBytes::*where)(std::string_view) const, const char* name, T value) {
    return [=](GgufBytes& file) {
        const std::size_t at = (file.*where)(name);
        file.put<T>(at, value);
        return at;
    };
}

/// The length of a name or string of which the first byte stands at find(text).
template <class T>
Damage put_length(const char* text, T value) {
    return [=](GgufBytes& file) {
        const std::size_t at = file.find(text) - 8;
        file.put<T>(at, value);
        return at;
    };
}

Damage put_dimension(const char* tensor, std::uint32_t number, std::uint64_t value) {
    return [=](GgufBytes& file) {
        const std::size_t at = file.dimension(tensor, number);
        file.put<std::uint64_t>(at, value);
        return at;
    };
}

/// Overwrites a name by one of the same length; the message names the length's offset.
Damage rename(const char* from, const char* to) {
    return [=](GgufBytes& file) {
        const std::size_t at = file.find(from);
        file.bytes().replace(at, std::strlen(to), to);
        return at - 8;
    };
}

std::string over(std::uint64_t value, std::uint64_t limit) {
    return fmt::format("{} is more than the limit of {}", value, limit);
}

std::string alignment_message(std::uint64_t value) {
    return fmt::format("{} is not a power of two from {} to {}", value, lim::kMinAlignment,
                       lim::kMaxAlignment);
}

std::string unsupported(const char* type) {
    return fmt::format(
        "{} is not supported; supported are F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, "
        "Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, BF16: use the model in one of these",
        type);
}

constexpr const char* kBigEndian = "this is a big-endian GGUF file: convert it to little-endian";

std::vector<Case> file_cases() {
    return {
        {"no magic", put<std::uint32_t>(0, 0x04034b50), "magic",
         "this is a ZIP archive (or a PyTorch file), not a GGUF file: unpack or convert it"},
        {"a format before GGUF", put<std::uint32_t>(0, 0x67676a74), "magic",
         "this is a GGML file from before GGUF: convert the model again"},
        {"a reversed magic", put<std::uint32_t>(0, 0x47475546), "magic", kBigEndian},
        {"a reversed version", put<std::uint32_t>(4, 0x03000000), "version", kBigEndian},
        {"version 0", put<std::uint32_t>(4, 0), "version",
         "0 is not supported, only versions 2 and 3 are: convert the model again"},
        {"version 1", put<std::uint32_t>(4, 1), "version",
         "1 is not supported, only versions 2 and 3 are: convert the model again"},
        {"version 4", put<std::uint32_t>(4, 4), "version",
         "4 is not supported, only versions 2 and 3 are: convert the model again"},
        {"too many tensors", put<std::uint64_t>(8, lim::kMaxTensors + 1), "tensor count",
         over(lim::kMaxTensors + 1, lim::kMaxTensors)},
        {"tensors beyond any number", put<std::uint64_t>(8, ~std::uint64_t{0}), "tensor count",
         over(~std::uint64_t{0}, lim::kMaxTensors)},
        {"too many keys", put<std::uint64_t>(16, lim::kMaxKeys + 1), "key count",
         over(lim::kMaxKeys + 1, lim::kMaxKeys)},
    };
}

std::vector<Case> key_cases() {
    return {
        {"a key that is too long", put_length<std::uint64_t>("k.bool", lim::kMaxKeyBytes + 1),
         "length of key 3", over(lim::kMaxKeyBytes + 1, lim::kMaxKeyBytes)},
        {"a key with a control byte", rename("k.bool", "k.\x01ool"), "name of key 3",
         "'k.\\x01ool' is empty or not printable ASCII"},
        {"a key twice", rename("k.i32", "k.u32"), "name of key 5", "'k.u32' appears twice"},
        {"an unknown value type", put<std::uint32_t>(&GgufBytes::key_type, "k.bool", 13),
         "type of key 'k.bool'", "13 is not a type of metadata"},
        {"a boolean that is neither", put<std::uint8_t>(&GgufBytes::key_value, "k.bool", 2),
         "value of key 'k.bool'", "2 is neither 0 nor 1"},
        {"a string that is too long",
         put_length<std::uint64_t>("some text", lim::kMaxStringBytes + 1),
         "length of the value of key 'k.string'",
         over(lim::kMaxStringBytes + 1, lim::kMaxStringBytes)},
        {"a nested array", put<std::uint32_t>(&GgufBytes::key_value, "k.strings", 9),
         "item type of key 'k.strings'", "arrays of arrays are not supported"},
        {"an unknown item type", put<std::uint32_t>(&GgufBytes::key_value, "k.strings", 77),
         "item type of key 'k.strings'", "77 is not a type of metadata"},
        {"too many items",
         put<std::uint64_t>(&GgufBytes::item_count, "k.signed", lim::kMaxArrayItems + 1),
         "item count of key 'k.signed'", over(lim::kMaxArrayItems + 1, lim::kMaxArrayItems)},
        {"a string item that is too long",
         put_length<std::uint64_t>("three", lim::kMaxStringBytes + 1),
         "length 3 of key 'k.strings'", over(lim::kMaxStringBytes + 1, lim::kMaxStringBytes)},
        {"an alignment of 0", put<std::uint32_t>(&GgufBytes::key_value, "general.alignment", 0),
         "value of key 'general.alignment'", alignment_message(0)},
        {"an alignment that is no power of two",
         put<std::uint32_t>(&GgufBytes::key_value, "general.alignment", 48),
         "value of key 'general.alignment'", alignment_message(48)},
        {"an alignment that is too large",
         put<std::uint32_t>(&GgufBytes::key_value, "general.alignment", lim::kMaxAlignment * 2),
         "value of key 'general.alignment'", alignment_message(lim::kMaxAlignment * 2)},
        {"an alignment of another type",
         [](GgufBytes& file) {
             file.put<std::uint32_t>(file.key_type("general.alignment"), 6);
             return file.key_value("general.alignment");
         },
         "value of key 'general.alignment'", "is not an unsigned integer"},
    };
}

std::vector<Case> tensor_cases() {
    return {
        {"a name that is too long",
         put_length<std::uint64_t>("t.block", lim::kMaxTensorNameBytes + 1), "length of tensor 2",
         over(lim::kMaxTensorNameBytes + 1, lim::kMaxTensorNameBytes)},
        {"a name with a control byte", rename("t.block", "t.b\x7fock"), "name of tensor 2",
         "'t.b\\x7fock' is empty or not printable ASCII"},
        {"a tensor twice", rename("t.block", "t.float"), "name of tensor 2",
         "'t.float' appears twice"},
        {"no dimensions", put<std::uint32_t>(&GgufBytes::after, "t.block", 0),
         "dimension count of tensor 't.block'", "is 0"},
        {"too many dimensions", put<std::uint32_t>(&GgufBytes::after, "t.block", lim::kMaxDims + 1),
         "dimension count of tensor 't.block'", over(lim::kMaxDims + 1, lim::kMaxDims)},
        {"a dimension of 0", put_dimension("t.block", 1, 0), "dimension 1 of tensor 't.block'",
         "is 0"},
        {"a second dimension of 0", put_dimension("t.block", 2, 0),
         "dimension 2 of tensor 't.block'", "is 0"},
        {"dimensions whose product overflows", put_dimension("t.block", 2, std::uint64_t{1} << 58),
         "dimension 2 of tensor 't.block'",
         fmt::format("{} makes the tensor impossibly large", std::uint64_t{1} << 58)},
        {"a dimension that overflows alone", put_dimension("t.block", 1, ~std::uint64_t{0}),
         "dimension 1 of tensor 't.block'",
         fmt::format("{} makes the tensor impossibly large", ~std::uint64_t{0})},
        {"a type that is known and not supported",
         put<std::uint32_t>(&GgufBytes::tensor_type, "t.block", 17), "type of tensor 't.block'",
         unsupported("IQ2_XS")},
        {"another one", put<std::uint32_t>(&GgufBytes::tensor_type, "t.block", 39),
         "type of tensor 't.block'", unsupported("MXFP4")},
        {"a type that means nothing",
         put<std::uint32_t>(&GgufBytes::tensor_type, "t.block", 0xffffffff),
         "type of tensor 't.block'", unsupported("number 4294967295")},
        {"rows that are not whole blocks",
         [](GgufBytes& file) {
             file.put<std::uint64_t>(file.dimension("t.block", 1), 65);
             return file.tensor_type("t.block");
         },
         "type of tensor 't.block'",
         "a row of 65 elements is not a whole number of Q8_0 blocks of 32"},
        {"an offset that is not aligned",
         put<std::uint64_t>(&GgufBytes::tensor_offset, "t.block", 136),
         "offset of tensor 't.block'", "136 is not a multiple of the alignment 32"},
        {"data that overlaps", put<std::uint64_t>(&GgufBytes::tensor_offset, "t.vector", 256),
         "offset of tensor 't.vector'",
         "its data at byte 864 overlaps that of tensor 't.block', which ends at byte 872"},
        {"data in the same place", put<std::uint64_t>(&GgufBytes::tensor_offset, "t.vector", 0),
         "offset of tensor 't.vector'",
         "its data at byte 608 overlaps that of tensor 't.float', which ends at byte 736"},
        {"data beyond the end", put<std::uint64_t>(&GgufBytes::tensor_offset, "t.vector", 320),
         "offset of tensor 't.vector'",
         "32 bytes of data at 320 after the header of 608 bytes reach beyond the file's end at "
         "byte 928: it is damaged, or its download ended early"},
        {"an offset whose sum overflows",
         put<std::uint64_t>(&GgufBytes::tensor_offset, "t.vector", ~std::uint64_t{31}),
         "offset of tensor 't.vector'",
         "32 bytes of data at 18446744073709551584 after the header of 608 bytes reach beyond the "
         "file's end at byte 928: it is damaged, or its download ended early"},
    };
}

void check(const std::vector<Case>& cases) {
    for (const Case& c : cases) {
        CAPTURE(std::string{c.name});
        GgufBytes file(tests::sample_writer());
        const std::size_t at = c.damage(file);
        CHECK(file.error() == fmt::format("m.gguf: {} at byte {}: {}", c.field, at, c.what));
    }
}

}  // namespace

TEST_SUITE("gguf limits") {
    TEST_CASE("a damaged field of the file is named with its offset") {
        check(file_cases());
    }
    TEST_CASE("a damaged key is named with its offset") {
        check(key_cases());
    }
    TEST_CASE("a damaged tensor is named with its offset") {
        check(tensor_cases());
    }

    TEST_CASE("a tensor that the file is too short for is named with what is missing") {
        GgufBytes file(tests::sample_writer());
        file.put<std::uint64_t>(file.dimension("t.vector", 1), 16);
        CHECK(file.error() ==
              fmt::format("m.gguf: offset of tensor 't.vector' at byte {}: 64 bytes of data at 288 "
                          "after the header of 608 bytes reach beyond the file's end at byte 928: "
                          "it is damaged, or its download ended early",
                          file.tensor_offset("t.vector")));
    }

    TEST_CASE("arrays together have a limit beside that of each") {
        GgufWriter writer;
        const std::vector<std::uint32_t> unused(1);
        for (const char* key : {"a.1", "a.2", "a.3", "a.4", "a.5"}) writer.set(key, unused);
        GgufBytes file(writer);
        // The first four take the whole limit, as single bytes.
        static_assert(lim::kMaxArrayItemsTotal == 4 * lim::kMaxArrayItems);
        const std::string items(lim::kMaxArrayItems, '\x2a');
        for (const char* key : {"a.1", "a.2", "a.3", "a.4"}) {
            file.put<std::uint32_t>(file.key_value(key), 0);
            file.put<std::uint64_t>(file.item_count(key), items.size());
            file.bytes().replace(file.items(key), 4, items);
        }
        const std::size_t at = file.item_count("a.5");
        CHECK(file.error() == fmt::format("m.gguf: item count of key 'a.5' at byte {}: all arrays "
                                          "together have more than the limit of {} items",
                                          at, lim::kMaxArrayItemsTotal));
        file.put<std::uint64_t>(at, 0);
        file.bytes().resize(file.items("a.5"));
        CHECK(file.error().empty());
    }

    TEST_CASE("a header has a limit") {
        GgufWriter writer;
        writer.set("long.1", std::string{});
        writer.set("long.2", std::string{});
        writer.set("long.3", std::string{});
        GgufBytes file(writer);
        static_assert(2 * lim::kMaxStringBytes == lim::kMaxHeaderBytes);
        const std::string text(lim::kMaxStringBytes, 'x');
        file.put<std::uint64_t>(file.key_value("long.1"), text.size());
        file.bytes().insert(file.key_value("long.1") + 8, text);
        CHECK(file.error().empty());
        file.put<std::uint64_t>(file.key_value("long.2"), text.size());
        file.bytes().insert(file.key_value("long.2") + 8, text);
        CHECK(file.error() ==
              fmt::format("m.gguf: value of key 'long.2' at byte {}: needs {} bytes, beyond the "
                          "limit of {} bytes for a header",
                          file.key_value("long.2") + 8, lim::kMaxStringBytes,
                          lim::kMaxHeaderBytes));
    }

    TEST_CASE("the largest values that the limits allow are accepted") {
        GgufWriter writer;
        writer.set(std::string(lim::kMaxKeyBytes, 'k'), std::uint32_t{1});
        const std::string name(lim::kMaxTensorNameBytes, 't');
        writer.add_tensor(name, kernels::DType::f32, 1, 1, std::vector<std::byte>(4));
        GgufBytes file(writer);
        CHECK(file.error().empty());
        CHECK(file.parse().find_tensor(name) != nullptr);
    }

    TEST_CASE("a file cut short anywhere is refused with the place where it ends") {
        const GgufBytes file(tests::sample_writer());
        const std::size_t size = file.bytes().size();
        for (std::size_t cut = 0; cut < size; ++cut) {
            CAPTURE(cut);
            CHECK_THROWS_AS(file.parse(cut, cut), ModelError);
            try {
                file.parse(cut, cut);
            } catch (const ModelError& error) {
                const std::string what = error.what();
                CHECK(what.starts_with("m.gguf: "));
                CHECK(what.find(" at byte ") != std::string::npos);
                CHECK(what.find(fmt::format("byte {}: it is damaged, or its download ended early",
                                            cut)) != std::string::npos);
            }
        }
    }

    TEST_CASE("a header alone parses as the file does, and part of one says so") {
        const GgufBytes file(tests::sample_writer());
        const std::uint64_t size = file.bytes().size();
        const std::size_t header = file.parse().header_bytes();
        CHECK(file.parse(header, size).tensors().size() == 3);
        for (std::size_t cut = 0; cut < file.tensor_offset("t.vector") + 8; ++cut) {
            CAPTURE(cut);
            try {
                file.parse(cut, size);
                FAIL("parsed without its end");
            } catch (const ModelError& error) {
                const std::string what = error.what();
                CHECK(what.find(fmt::format("only the first {} bytes of the file are here", cut)) !=
                      std::string::npos);
            }
        }
    }

    TEST_CASE("no single damaged byte leads to anything but a header or an error") {
        const GgufBytes good(tests::sample_writer());
        const std::size_t header = good.parse().header_bytes();
        std::size_t refused = 0;
        for (std::size_t at = 0; at < header; ++at) {
            for (const unsigned flip : {0x01U, 0x80U, 0xffU, 0x20U}) {
                GgufBytes file = good;
                file.bytes()[at] = static_cast<char>(file.bytes()[at] ^ static_cast<char>(flip));
                try {
                    const GgufHeader parsed = file.parse();
                    for (const TensorInfo& info : parsed.tensors()) {
                        CHECK(info.offset + info.bytes <= file.bytes().size());
                    }
                } catch (const ModelError&) {
                    ++refused;
                }
            }
        }
        CHECK(refused > header);
    }

    TEST_CASE("names in messages cannot carry control bytes or fill the screen") {
        CHECK(quote("a\x1b[2Jb\n") == "'a\\x1b[2Jb\\x0a'");
        CHECK(quote(std::string(1000, 'x')).size() < 100);
    }
}

}  // namespace shoal::model::gguf_limits_test
