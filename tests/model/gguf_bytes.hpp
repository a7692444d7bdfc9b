// A small GGUF file in memory, and tools to damage it at one field.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "daemon/model/gguf.hpp"
#include "daemon/model/gguf_writer.hpp"

namespace shoal::tests {

/// The bytes of a file. Offsets of fields are found by the names beside them.
class GgufBytes {
  public:
    /// What the writer makes of these keys and tensors, with zeros for data.
    explicit GgufBytes(const model::GgufWriter& writer) : bytes_(writer.header()) {
        bytes_.resize(writer.file_bytes());
    }

    const std::string& bytes() const { return bytes_; }
    std::string& bytes() { return bytes_; }

    /// The beginning of a name. Throws when the name is not there.
    std::size_t find(std::string_view name) const { return checked(bytes_.find(name)); }
    /// One past a name: where a key's type and a tensor's dimension count stand.
    std::size_t after(std::string_view name) const { return find(name) + name.size(); }

    std::size_t key_type(std::string_view key) const { return after(key); }
    std::size_t key_value(std::string_view key) const { return after(key) + 4; }
    std::size_t item_count(std::string_view key) const { return key_value(key) + 4; }
    std::size_t items(std::string_view key) const { return item_count(key) + 8; }

    std::size_t dimension(std::string_view tensor, std::uint32_t number) const {
        return after(tensor) + 4 + std::size_t{8} * (number - 1);
    }
    std::size_t tensor_type(std::string_view tensor) const {
        return dimension(tensor, get<std::uint32_t>(after(tensor)) + 1);
    }
    std::size_t tensor_offset(std::string_view tensor) const { return tensor_type(tensor) + 4; }

    template <class T>
    T get(std::size_t at) const {
        T value = 0;
        for (std::size_t i = 0; i < sizeof(T); ++i) {
            const auto byte = static_cast<unsigned char>(bytes_.at(at + i));
            value = static_cast<T>(value | static_cast<T>(T{byte} << (8 * i)));
        }
        return value;
    }

    template <class T>
    void put(std::size_t at, T value) {
        static_assert(std::is_unsigned_v<T>);
        for (std::size_t i = 0; i < sizeof(T); ++i) {
            bytes_.at(at + i) = static_cast<char>(value >> (8 * i));
        }
    }

    /// Parse all of it as the file "m.gguf".
    model::GgufHeader parse() const { return parse(bytes_.size(), bytes_.size()); }
    /// Parse its first bytes as the beginning of a file of another size.
    model::GgufHeader parse(std::size_t visible, std::uint64_t file_bytes) const {
        // A copy of its own size, so that a sanitizer sees every read beyond it.
        const std::vector<char> copy(bytes_.begin(),
                                     bytes_.begin() + static_cast<std::ptrdiff_t>(visible));
        const auto* data = reinterpret_cast<const std::byte*>(copy.data());
        return model::GgufHeader::parse({data, copy.size()}, file_bytes, "m.gguf");
    }
    /// What parsing it complains about; empty when it does not.
    std::string error() const {
        try {
            parse();
        } catch (const model::ModelError& error) {
            return error.what();
        }
        return {};
    }

  private:
    static std::size_t checked(std::size_t at) {
        if (at == std::string::npos) throw std::logic_error("no such name in the test's file");
        return at;
    }

    std::string bytes_;
};

/// A writer with a key of every type and three tensors: "t.float" (4 x 8, F32), "t.block"
/// (2 x 64, Q8_0) and "t.vector" (8, F32).
inline model::GgufWriter sample_writer() {
    using kernels::DType;
    model::GgufWriter writer;
    writer.set("general.architecture", std::string{"llama"});
    writer.set("general.alignment", std::uint32_t{32});
    writer.set("k.bool", true);
    writer.set("k.u32", std::uint32_t{7});
    writer.set("k.i32", std::int32_t{-7});
    writer.set("k.u64", std::uint64_t{1} << 40);
    writer.set("k.f32", 0.5F);
    writer.set("k.f64", 0.1);
    writer.set("k.string", std::string{"some text"});
    writer.set("k.strings", std::vector<std::string>{"one", "", "three"});
    writer.set("k.floats", std::vector<float>{1, 2.5F});
    writer.set("k.signed", std::vector<std::int32_t>{-1, 2, -3});
    writer.set("k.unsigned", std::vector<std::uint32_t>{1, 2, 3, 4});
    writer.add_tensor("t.float", DType::f32, 8, 4, std::vector<std::byte>(4 * 8 * 4));
    writer.add_tensor("t.block", DType::q8_0, 64, 2, std::vector<std::byte>(2 * 2 * 34));
    writer.add_tensor("t.vector", DType::f32, 8, 1, std::vector<std::byte>(8 * 4));
    return writer;
}

}  // namespace shoal::tests
