// A descriptor that one thread makes readable and another polls.
#pragma once

namespace shoal::mesh::exchange {

/// Thread-safe.
class Event {
  public:
    /// Throws std::system_error when the process has no descriptor left.
    Event();
    ~Event();
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;

    /// Readable from here on.
    void signal() const noexcept;
    /// Not readable any more.
    void clear() const noexcept;
    int descriptor() const noexcept { return descriptor_; }

  private:
    int descriptor_;
};

}  // namespace shoal::mesh::exchange
