// Encodes frames of records as MessagePack: [version, type, id, {field number: value}], and behind
// these the number of the attempt, where frames have one and it is not 0. Private to the .cpp files
// of messages.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <msgpack.hpp>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "mesh/messages/record.hpp"

namespace shoal::mesh::messages {

struct ByteStream {
    std::vector<std::byte> bytes;
    void write(const char* data, std::size_t size) {
        const auto* first = reinterpret_cast<const std::byte*>(data);
        bytes.insert(bytes.end(), first, first + size);
    }
};

/// Writes a record's fields; notes the first that is beyond its limit.
class Writer {
  public:
    explicit Writer(ByteStream& stream) : stream_(stream), packer_(stream) {}

    msgpack::packer<ByteStream>& packer() noexcept { return packer_; }
    const std::string& beyond() const noexcept { return beyond_; }

    template <Record T>
    void put(const T& record, std::size_t = kNoLimit, std::size_t = kNoLimit) {
        std::uint32_t count = 0;
        fields([&](auto&&...) { ++count; }, record);
        packer_.pack_map(count);
        fields([&](unsigned key, const char* name, const auto& value, std::size_t limit = kNoLimit,
                   std::size_t each = kNoLimit) { put_field(key, name, value, limit, each); },
               record);
    }

  private:
    template <typename T>
    [[gnu::noinline]] void put_field(unsigned key, const char* name, const T& value,
                                     std::size_t limit, std::size_t each) {
        packer_.pack_unsigned_int(key);
        name_ = name;
        put(value, limit, each);
    }
    template <std::integral T>
    void put(const T& value, std::size_t, std::size_t) {
        packer_.pack(value);
    }
    // The library would try each float as an integer first, which is undefined at 2^64: so they
    // are written here, a double's marker and its bytes from the highest down.
    template <std::floating_point T>
    void put(const T& value, std::size_t, std::size_t) {
        constexpr char kFloat64 = '\xcb';
        const auto bits = std::bit_cast<std::uint64_t>(static_cast<double>(value));
        stream_.write(&kFloat64, 1);
        for (int shift = 56; shift >= 0; shift -= 8) {
            const auto byte = static_cast<char>(static_cast<std::uint8_t>(bits >> shift));
            stream_.write(&byte, 1);
        }
    }
    template <typename T>
    requires std::is_enum_v<T>
    void put(const T& value, std::size_t, std::size_t) {
        packer_.pack_unsigned_int(static_cast<unsigned>(value));
    }
    void put(const std::string& text, std::size_t limit, std::size_t) {
        if (!within(text.size(), limit, "bytes")) return packer_.pack_str(0), void();
        packer_.pack_str(static_cast<std::uint32_t>(text.size()));
        packer_.pack_str_body(text.data(), static_cast<std::uint32_t>(text.size()));
    }
    void put(const std::vector<std::byte>& bytes, std::size_t limit, std::size_t) {
        if (!within(bytes.size(), limit, "bytes")) return packer_.pack_bin(0), void();
        packer_.pack_bin(static_cast<std::uint32_t>(bytes.size()));
        packer_.pack_bin_body(reinterpret_cast<const char*>(bytes.data()),
                              static_cast<std::uint32_t>(bytes.size()));
    }
    template <std::size_t N>
    void put(const std::array<std::uint8_t, N>& bytes, std::size_t, std::size_t) {
        packer_.pack_bin(N);
        packer_.pack_bin_body(reinterpret_cast<const char*>(bytes.data()), N);
    }
    template <typename T>
    void put(const std::vector<T>& list, std::size_t limit, std::size_t each) {
        if (!within(list.size(), limit, "entries")) return packer_.pack_array(0), void();
        packer_.pack_array(static_cast<std::uint32_t>(list.size()));
        for (const T& element : list) put(element, each, kNoLimit);
    }
    void put(const std::map<std::int32_t, float>& map, std::size_t limit, std::size_t) {
        if (!within(map.size(), limit, "entries")) return packer_.pack_map(0), void();
        packer_.pack_map(static_cast<std::uint32_t>(map.size()));
        for (const auto& [key, value] : map) {
            packer_.pack(key);
            put(value, kNoLimit, kNoLimit);
        }
    }

    bool within(std::size_t size, std::size_t limit, const char* unit) {
        if (size <= limit && size <= kMaxFrameBytes) return true;
        if (beyond_.empty()) {
            beyond_ = std::string(name_) + " has " + std::to_string(size) + " " + unit +
                      ", a message carries at most " +
                      std::to_string(std::min(limit, kMaxFrameBytes));
        }
        return false;
    }

    ByteStream& stream_;
    msgpack::packer<ByteStream> packer_;
    const char* name_ = "";
    std::string beyond_;
};

/// The frame's bytes, or in `beyond` the limit that it passes.
template <typename Frame>
std::vector<std::byte> encode_frame(const Frame& frame, std::string& beyond) {
    ByteStream stream;
    Writer writer(stream);
    std::uint64_t attempt = 0;
    if constexpr (OfAttempt<Frame>) attempt = frame.attempt;
    writer.packer().pack_array(attempt == 0 ? 4 : 5);
    writer.packer().pack(kVersion);
    writer.packer().pack(static_cast<std::uint64_t>(frame.body.index()));
    writer.packer().pack(frame.id);
    std::visit([&](const auto& body) { writer.put(body); }, frame.body);
    if (attempt != 0) writer.packer().pack(attempt);
    beyond = writer.beyond();
    if (beyond.empty() && stream.bytes.size() > kMaxFrameBytes) {
        beyond = "the message has " + std::to_string(stream.bytes.size()) + " bytes, at most " +
                 std::to_string(kMaxFrameBytes) + " are allowed";
    }
    return std::move(stream.bytes);
}

}  // namespace shoal::mesh::messages
