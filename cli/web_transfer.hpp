// What comes of one request for the rest of a file, as libcurl tells it.
#pragma once

#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace shoal::cli {

/// True for 64 hexadecimal digits.
bool is_sha256(std::string_view text) noexcept;

/// Writes to a descriptor that it does not own. Nothing of it throws: what its functions throw is
/// kept. Owned by one thread.
class WebTransfer {
  public:
    struct Callbacks {
        std::function<void(std::uint64_t done, std::uint64_t total)> progress;
        /// A whole file begins, which goes on only where this text still names it; may be empty.
        std::function<void(const std::string& validator)> begins;
    };

    /// `have`: bytes that are in the file, and were not asked for.
    WebTransfer(int file, std::uint64_t have, std::filesystem::path folder, Callbacks callbacks);

    /// A line of a response's headers; a status line begins another response.
    void header(std::string_view line) noexcept;
    /// False: enough, for one of the two reasons below.
    [[nodiscard]] bool body(std::string_view bytes) noexcept;
    [[nodiscard]] bool tell() noexcept;

    long status() const noexcept { return status_; }
    std::uint64_t bytes() const noexcept { return at_; }
    std::uint64_t total() const noexcept { return total_; }  ///< 0: not known
    /// Of the whole file, if any of the responses told it.
    const std::string& sha256() const noexcept { return sha256_; }
    /// What is wrong that trying again does not mend, for a person; empty: nothing.
    const std::string& why() const noexcept { return why_; }
    /// What a callback threw.
    std::exception_ptr thrown() const noexcept { return thrown_; }

  private:
    void take_field(const std::string& name, std::string_view value);
    void begin(std::string_view bytes);
    void look_for_room();
    void write(std::string_view bytes);

    const int file_;
    const std::filesystem::path folder_;
    const Callbacks callbacks_;
    std::uint64_t at_;
    bool begun_ = false;
    // Of the latest response.
    long status_ = 0;
    std::uint64_t total_ = 0;
    std::optional<std::uint64_t> from_;
    std::string etag_, modified_;
    std::string sha256_, why_;
    std::exception_ptr thrown_;
};

}  // namespace shoal::cli
