// Decodes what record_writer.hpp encodes, whatever comes: within bounds, and with the place of what
// is wrong. Private to the .cpp files of messages.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <map>
#include <msgpack.hpp>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "mesh/messages/record.hpp"
#include "mesh/wire/codec.hpp"

namespace shoal::mesh::messages {

using wire::DecodeError;
using wire::DecodeResult;
using Reason = DecodeError::Reason;

/// Runs over the bytes before the unpacker does. Each element takes a byte at least, so claims
/// that add up to more than there are bytes are false: without this check a few bytes make the
/// unpacker reserve gigabytes.
class Claims : public msgpack::null_visitor {
  public:
    explicit Claims(std::size_t bytes) noexcept : limit_(std::min(bytes, kMaxObjects)) {}

    bool start_array(std::uint32_t count) { return enter(count); }
    bool start_map(std::uint32_t count) { return enter(std::uint64_t{count} * 2); }
    bool end_array() { return --depth_, true; }
    bool end_map() { return --depth_, true; }
    bool visit_ext(const char*, std::uint32_t) { return refuse(Reason::bad_value); }
    void parse_error(std::size_t, std::size_t) { refuse(Reason::bad_value); }
    void insufficient_bytes(std::size_t, std::size_t) { refuse(Reason::truncated); }

    std::optional<Reason> refused() const noexcept { return refused_; }

  private:
    bool enter(std::uint64_t count) noexcept {
        claimed_ += count;  // Cannot wrap: the first claim beyond the limit ends the parse.
        if (claimed_ > limit_) {
            return refuse(limit_ == kMaxObjects ? Reason::too_large : Reason::truncated);
        }
        return ++depth_ <= kMaxDepth || refuse(Reason::too_large);
    }
    bool refuse(Reason reason) noexcept {
        if (!refused_) refused_ = reason;
        return false;
    }

    std::size_t limit_;
    std::uint64_t claimed_ = 0;
    std::uint32_t depth_ = 0;
    std::optional<Reason> refused_;
};

/// Reads the fields of one record; the first thing wrong ends it. What needs not be a template is
/// none, as there are many records.
class Reader {
  public:
    /// A field of what `outer` reads; null: a whole message.
    Reader(const Reader* outer, const char* name, std::optional<DecodeError>& error) noexcept
        : outer_(outer), name_(name), error_(error) {}

    template <Record T>
    void take(const msgpack::object& object, T& record, std::size_t = kNoLimit,
              std::size_t = kNoLimit) {
        Found found{};
        if (!find(object, found)) return;
        fields(
            [&](unsigned key, const char* name, auto& value, std::size_t limit = kNoLimit,
                std::size_t each = kNoLimit) {
                take_field(std::exchange(found[key], nullptr), name, value, limit, each);
            },
            record);
        check_unknown(found);
    }

  private:
    using Found = std::array<const msgpack::object*, kKeysEnd>;

    [[gnu::noinline]] bool find(const msgpack::object& object, Found& found) {
        if (object.type != msgpack::type::MAP) return fail("is not a map"), false;
        const msgpack::object_map& map = object.via.map;
        for (std::uint32_t i = 0; i < map.size; ++i) {
            const msgpack::object& key = map.ptr[i].key;
            if (key.type != msgpack::type::POSITIVE_INTEGER) {
                return fail("a key is no number"), false;
            }
            if (key.via.u64 >= kKeysEnd) continue;
            if (found[key.via.u64] != nullptr) return fail("a key comes twice"), false;
            found[key.via.u64] = &map.ptr[i].val;
        }
        return true;
    }
    [[gnu::noinline]] void check_unknown(const Found& found) {
        for (std::size_t key = 0; key < kFirstOptionalKey; ++key) {
            if (found[key] == nullptr) continue;
            return fail("field " + std::to_string(key) +
                        " is unknown here: the sender runs a newer version");
        }
    }
    template <typename T>
    [[gnu::noinline]] void take_field(const msgpack::object* object, const char* name, T& value,
                                      std::size_t limit, std::size_t each) {
        if (object == nullptr || error_) return;
        Reader(this, name, error_).take(*object, value, limit, each);
    }

    std::string path() const { return outer_ == nullptr ? name_ : outer_->path() + "." + name_; }
    [[gnu::noinline]] void fail(std::string_view what, Reason reason = Reason::bad_value) {
        if (!error_) error_ = DecodeError{reason, path().append(": ").append(what)};
    }
    void too_long(std::size_t size, std::size_t limit) {
        fail(std::to_string(size) + " long, at most " + std::to_string(limit), Reason::too_large);
    }

    void take(const msgpack::object& object, bool& value, std::size_t, std::size_t) {
        if (object.type != msgpack::type::BOOLEAN) return fail("is not a boolean");
        value = object.via.boolean;
    }
    template <std::unsigned_integral T>
    void take(const msgpack::object& object, T& value, std::size_t, std::size_t) {
        if (object.type != msgpack::type::POSITIVE_INTEGER ||
            object.via.u64 > std::numeric_limits<T>::max()) {
            return fail("is no number from 0 to " + std::to_string(std::numeric_limits<T>::max()));
        }
        value = static_cast<T>(object.via.u64);
    }
    void take(const msgpack::object& object, std::int32_t& value, std::size_t, std::size_t) {
        using Limits = std::numeric_limits<std::int32_t>;
        const bool positive =
            object.type == msgpack::type::POSITIVE_INTEGER && object.via.u64 <= Limits::max();
        const bool negative =
            object.type == msgpack::type::NEGATIVE_INTEGER && object.via.i64 >= Limits::min();
        if (!positive && !negative) return fail("is not a 32-bit integer");
        value = static_cast<std::int32_t>(object.via.i64);
    }
    template <std::floating_point T>
    void take(const msgpack::object& object, T& value, std::size_t, std::size_t) {
        // Other writers may send a float without a fraction as an integer.
        double wide = 0;
        switch (object.type) {
            case msgpack::type::FLOAT32:
            case msgpack::type::FLOAT64:
                wide = object.via.f64;
                break;
            case msgpack::type::POSITIVE_INTEGER:
                wide = static_cast<double>(object.via.u64);
                break;
            case msgpack::type::NEGATIVE_INTEGER:
                wide = static_cast<double>(object.via.i64);
                break;
            default:
                return fail("is not a number");
        }
        // Compared in double: converting a double beyond float's range is undefined.
        if (!(std::abs(wide) <= static_cast<double>(std::numeric_limits<T>::max()))) {
            return fail("is not a finite number");
        }
        value = static_cast<T>(wide);
    }
    template <typename T>
    requires std::is_enum_v<T>
    void take(const msgpack::object& object, T& value, std::size_t, std::size_t) {
        if (object.type != msgpack::type::POSITIVE_INTEGER ||
            object.via.u64 < static_cast<std::uint64_t>(EnumRange<T>::first) ||
            object.via.u64 > static_cast<std::uint64_t>(EnumRange<T>::last)) {
            return fail("is not one of the known values");
        }
        value = static_cast<T>(object.via.u64);
    }
    void take(const msgpack::object& object, std::vector<std::byte>& bytes, std::size_t limit,
              std::size_t) {
        if (object.type != msgpack::type::BIN) return fail("is not binary");
        if (object.via.bin.size > limit) return too_long(object.via.bin.size, limit);
        const auto* first = reinterpret_cast<const std::byte*>(object.via.bin.ptr);
        bytes.assign(first, first + object.via.bin.size);
    }
    template <std::size_t N>
    void take(const msgpack::object& object, std::array<std::uint8_t, N>& bytes, std::size_t,
              std::size_t) {
        if (object.type != msgpack::type::BIN || object.via.bin.size != N) {
            return fail("is not " + std::to_string(N) + " bytes");
        }
        std::copy_n(reinterpret_cast<const std::uint8_t*>(object.via.bin.ptr), N, bytes.begin());
    }
    void take(const msgpack::object& object, std::string& text, std::size_t limit, std::size_t) {
        if (object.type != msgpack::type::STR) return fail("is not a string");
        if (object.via.str.size > limit) return too_long(object.via.str.size, limit);
        text.assign(object.via.str.ptr, object.via.str.size);
    }
    template <typename T>
    void take(const msgpack::object& object, std::vector<T>& list, std::size_t limit,
              std::size_t each) {
        if (object.type != msgpack::type::ARRAY) return fail("is not an array");
        const msgpack::object_array& array = object.via.array;
        if (array.size > limit) return too_long(array.size, limit);
        list.resize(array.size);
        for (std::uint32_t i = 0; i < array.size && !error_; ++i) {
            take(array.ptr[i], list[i], each, kNoLimit);
        }
    }
    void take(const msgpack::object& object, std::map<std::int32_t, float>& map, std::size_t limit,
              std::size_t) {
        if (object.type != msgpack::type::MAP) return fail("is not a map");
        const msgpack::object_map& entries = object.via.map;
        if (entries.size > limit) return too_long(entries.size, limit);
        for (std::uint32_t i = 0; i < entries.size && !error_; ++i) {
            std::int32_t key = 0;
            float value = 0;
            take(entries.ptr[i].key, key, kNoLimit, kNoLimit);
            take(entries.ptr[i].val, value, kNoLimit, kNoLimit);
            if (!map.emplace(key, value).second) return fail("a key comes twice");
        }
    }

    const Reader* const outer_;
    const char* const name_;
    std::optional<DecodeError>& error_;
};

inline DecodeError refusal(Reason reason) {
    switch (reason) {
        case Reason::truncated:
            return {reason, "the message ends too early"};
        case Reason::too_large:
            return {reason, "the message is nested too deeply or has too many elements"};
        case Reason::wrong_version:
        case Reason::unknown_type:
        case Reason::bad_value:
        case Reason::no_memory:
            break;
    }
    return {Reason::bad_value, "the bytes are not MessagePack"};
}

inline std::optional<DecodeError> check_bytes(std::span<const std::byte> bytes) {
    if (bytes.size() > kMaxFrameBytes) {
        return DecodeError{Reason::too_large, std::to_string(bytes.size()) + " bytes, at most " +
                                                  std::to_string(kMaxFrameBytes) + " are allowed"};
    }
    if (bytes.empty()) return refusal(Reason::truncated);
    Claims claims(bytes.size());
    std::size_t used = 0;
    const bool whole =
        msgpack::parse(reinterpret_cast<const char*>(bytes.data()), bytes.size(), used, claims);
    if (!whole || claims.refused()) return refusal(claims.refused().value_or(Reason::bad_value));
    if (used != bytes.size()) {
        return DecodeError{Reason::bad_value, "bytes follow after the end of the message"};
    }
    return std::nullopt;
}

/// Fills `variant` with the alternative numbered `index` and reads it.
template <typename Variant, std::size_t... I>
bool take_body(const msgpack::object& object, std::uint64_t index, const char* name,
               Variant& variant, std::optional<DecodeError>& error, std::index_sequence<I...>) {
    const auto take = [&](auto& body) {
        Reader(nullptr, name, error).take(object, body);
        return true;
    };
    return ((index == I && take(variant.template emplace<I>())) || ...);
}

template <typename Frame, typename Names>
DecodeResult<Frame> decode_frame(std::span<const std::byte> bytes, const Names& names) {
    if (auto error = check_bytes(bytes)) return *std::move(error);
    const auto size = static_cast<std::uint32_t>(bytes.size());
    const msgpack::unpack_limit limit(kMaxArrayEntries, kMaxMapEntries, size, size, 0,
                                      kMaxDepth + 1);
    const auto by_reference = [](msgpack::type::object_type, std::size_t, void*) { return true; };
    const msgpack::object_handle handle = msgpack::unpack(
        reinterpret_cast<const char*>(bytes.data()), bytes.size(), by_reference, nullptr, limit);
    const msgpack::object& root = handle.get();
    constexpr std::uint32_t kMost = OfAttempt<Frame> ? 5 : 4;
    if (root.type != msgpack::type::ARRAY || root.via.array.size < 4 ||
        root.via.array.size > kMost) {
        return DecodeError{Reason::bad_value,
                           "the message is not an array of " + std::to_string(kMost)};
    }
    const std::span parts(root.via.array.ptr, root.via.array.size);
    constexpr std::size_t kBody = 3;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        if (i != kBody && parts[i].type != msgpack::type::POSITIVE_INTEGER) {
            return DecodeError{Reason::bad_value, "the message's head has something not a number"};
        }
    }
    if (parts[0].via.u64 != kVersion) {
        return DecodeError{Reason::wrong_version, "version " + std::to_string(parts[0].via.u64) +
                                                      ", this side speaks " +
                                                      std::to_string(kVersion)};
    }
    const std::uint64_t type = parts[1].via.u64;
    if (type >= names.size()) {
        return DecodeError{Reason::unknown_type, "message type " + std::to_string(type)};
    }
    Frame frame;
    frame.id = parts[2].via.u64;
    if constexpr (OfAttempt<Frame>) {
        if (parts.size() == kMost) frame.attempt = parts[4].via.u64;
    }
    std::optional<DecodeError> error;
    using Body = decltype(frame.body);
    take_body(parts[kBody], type, names[type], frame.body, error,
              std::make_index_sequence<std::variant_size_v<Body>>());
    if (error) return *std::move(error);
    return frame;
}

template <typename Frame, typename Names>
DecodeResult<Frame> decode_safely(std::span<const std::byte> bytes, const Names& names) noexcept {
    try {
        return decode_frame<Frame>(bytes, names);
    } catch (const msgpack::size_overflow&) {
        return DecodeError{Reason::too_large, "too large"};
    } catch (const std::bad_alloc&) {
        return DecodeError{Reason::no_memory, "no memory"};  // A short text needs none.
    } catch (const std::exception&) {
        return DecodeError{Reason::bad_value, "not decodable"};
    }
}

}  // namespace shoal::mesh::messages