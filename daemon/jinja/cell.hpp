// What values that do not fit into 16 bytes point at, and the account of the memory they take.
// Internal to this folder.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace shoal::jinja {

class Meter;

/// Counted by its references. Without a meter it is constant: shared by threads, of the caller's
/// input or of a parsed template. With one it belongs to one rendering, hence to one thread.
class Cell {
  public:
    Cell() = default;
    virtual ~Cell();
    Cell(const Cell&) = delete;
    Cell& operator=(const Cell&) = delete;

    /// From now on its memory is counted by `meter`, which outlives it: `bytes` to begin with.
    void adopt(Meter& meter, std::size_t bytes);
    /// Counts more. Throws Failure at the meter's limit.
    void grow(std::size_t bytes);
    void shrink(std::size_t bytes) noexcept;
    bool constant() const noexcept { return meter_ == nullptr; }

    /// Lets go of other cells, at the end of a rendering: cells may be in a circle.
    virtual void drop_references() noexcept {}

    void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept {
        if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) bury();
    }

  private:
    friend class Meter;
    void bury() noexcept;
    void leave() noexcept;

    std::atomic<std::uint32_t> references_{0};
    Meter* meter_ = nullptr;
    std::size_t bytes_ = 0;
    Cell* previous_ = nullptr;  ///< neighbours among all cells of the meter
    Cell* next_ = nullptr;      ///< or the next one to be destroyed
};

/// Bytes alive, and the cells that hold them. Owned by one rendering.
class Meter {
  public:
    explicit Meter(std::size_t limit_bytes) noexcept : limit_bytes_(limit_bytes) {}
    /// Frees the cells that are left, which hold each other.
    ~Meter();
    Meter(const Meter&) = delete;
    Meter& operator=(const Meter&) = delete;

    /// Throws Failure when `bytes` more would exceed the limit; counts nothing.
    void check(std::size_t bytes) const;
    /// For bytes that no cell holds yet.
    void count(std::size_t bytes) {
        check(bytes);
        alive_bytes_ += bytes;
    }
    void uncount(std::size_t bytes) noexcept { alive_bytes_ -= bytes; }
    std::size_t alive_bytes() const noexcept { return alive_bytes_; }

  private:
    friend class Cell;
    std::size_t limit_bytes_;
    std::size_t alive_bytes_ = 0;
    Cell* cells_ = nullptr;
};

/// A reference to a cell.
template <class T>
class Ref {
  public:
    Ref() = default;
    explicit Ref(T* cell) noexcept : cell_(cell) {
        if (cell_ != nullptr) cell_->retain();
    }
    Ref(const Ref& other) noexcept : Ref(other.cell_) {}
    Ref(Ref&& other) noexcept : cell_(std::exchange(other.cell_, nullptr)) {}
    Ref& operator=(Ref other) noexcept {
        std::swap(cell_, other.cell_);
        return *this;
    }
    ~Ref() {
        if (cell_ != nullptr) cell_->release();
    }

    T* get() const noexcept { return cell_; }
    T* operator->() const noexcept { return cell_; }
    T& operator*() const noexcept { return *cell_; }
    explicit operator bool() const noexcept { return cell_ != nullptr; }

  private:
    T* cell_ = nullptr;
};

}  // namespace shoal::jinja
