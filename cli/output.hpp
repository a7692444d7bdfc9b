// Standard output for text that arrives piece by piece.
#pragma once

#include <string_view>

namespace shoal::cli {

/// Writes at once and without a buffer, so that the user sees every token. Owned by one thread.
class Output {
  public:
    /// `signals`: a descriptor that becomes readable when the user wants to stop; a reader that
    /// does not read cannot hold us then. -1: none.
    explicit Output(int signals);

    /// What comes after the reader has gone or a signal has arrived is dropped.
    /// Throws Error when the text cannot be written, as on a full disk.
    void write(std::string_view text);
    /// The reader has gone.
    bool closed() const noexcept { return closed_; }
    /// The descriptor to poll for the reader's end, -1 where that cannot be told.
    int watched() const noexcept { return watched_; }
    void mark_closed() noexcept { closed_ = true; }
    /// The last character written, '\n' before the first.
    char last() const noexcept { return last_; }

  private:
    int signals_;
    int watched_ = -1;
    bool closed_ = false;
    char last_ = '\n';
};

}  // namespace shoal::cli
