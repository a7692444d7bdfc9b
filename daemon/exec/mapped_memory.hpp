// Anonymous memory straight from the kernel: page-aligned, zeroed, taken as it is touched.
#pragma once

#include <cstddef>
#include <utility>

namespace shoal::exec {

/// Externally synchronised.
class MappedMemory {
  public:
    MappedMemory() noexcept = default;
    /// Throws std::bad_alloc. No bytes: holds nothing. Huge pages are asked for.
    explicit MappedMemory(std::size_t bytes);
    ~MappedMemory();
    MappedMemory(MappedMemory&& other) noexcept { swap(other); }
    MappedMemory& operator=(MappedMemory&& other) noexcept {
        MappedMemory moved(std::move(other));
        swap(moved);
        return *this;
    }

    std::byte* data() const noexcept { return data_; }
    std::size_t bytes() const noexcept { return bytes_; }
    bool empty() const noexcept { return bytes_ == 0; }

  private:
    void swap(MappedMemory& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(bytes_, other.bytes_);
    }

    std::byte* data_ = nullptr;
    std::size_t bytes_ = 0;
};

}  // namespace shoal::exec
