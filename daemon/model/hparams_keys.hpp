// Reading a description's keys within bounds. Internal to this folder.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/model/gguf.hpp"

namespace shoal::model {

/// The keys "<architecture>.<...>" of one header, which must outlive it. All functions throw
/// ModelError, which names the key, when it is missing, of another type or beyond its bounds.
class Keys {
  public:
    Keys(const GgufHeader& header, std::string_view architecture);

    bool has(std::string_view key) const { return header_.find(full(key)) != nullptr; }

    /// A natural number from 1 to a limit; an array when all its items are this number.
    std::uint32_t count(std::string_view key, std::uint32_t limit) const;
    std::uint32_t count_or(std::string_view key, std::uint32_t limit, std::uint32_t fallback) const;
    /// Such a number for each layer: an array, or one for all.
    std::vector<std::uint32_t> counts(std::string_view key, std::uint32_t limit,
                                      std::uint32_t layers) const;

    std::uint64_t number(std::string_view key) const { return header_.get_uint(full(key)); }

    /// A float above 0 and up to a limit.
    double positive(std::string_view key, double limit) const;
    double positive_or(std::string_view key, double limit, double fallback) const;

    std::string_view text_or(std::string_view key, std::string_view fallback) const;

    /// True when the key is there with anything but this number (or truth value).
    bool differs_from(std::string_view key, double neutral) const;

    /// Throws ModelError: "<file>: key '<architecture>.<key>' <what>".
    [[noreturn]] void fail(std::string_view key, std::string_view what) const;

  private:
    std::string full(std::string_view key) const { return prefix_ + std::string{key}; }
    const MetaArray* array(std::string_view key) const;
    std::uint64_t same(std::string_view key, const MetaArray& each) const;

    const GgufHeader& header_;
    std::string prefix_;
};

}  // namespace shoal::model
