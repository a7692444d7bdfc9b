// An established connection of the data plane: frames in both directions, without blocking.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "mesh/exchange/port.hpp"
#include "mesh/exchange/zmtp/handshake.hpp"
#include "mesh/exchange/zmtp/seal.hpp"
#include "mesh/exchange/zmtp/socket.hpp"

namespace shoal::mesh::exchange::zmtp {

/// Memory of a frame; `bytes` is the part of it that is in use.
struct WireFrame final : Buffer {
    explicit WireFrame(std::size_t size) : memory(new std::byte[size]), capacity(size) {}
    std::unique_ptr<std::byte[]> memory;
    std::size_t capacity;
};

/// Frames whose memory is used again, since to get it from the system costs more than to send it.
/// Externally synchronised, as the frames are.
class FramePool {
  public:
    /// `bytes` is all that was asked for, not set.
    std::shared_ptr<WireFrame> take(std::size_t size);

  private:
    std::vector<std::shared_ptr<WireFrame>> frames_;
};

/// Bytes on their way to one or several peers; `owner` keeps them. Of a frame that is being sealed
/// only the first `ready` are final yet.
struct Outgoing {
    std::shared_ptr<const void> owner;
    std::span<const std::byte> bytes;
    std::size_t ready = 0;
};
/// The frame as a message, in place. Requires: a WireFrame of kMaxHeadBytes more.
std::shared_ptr<Outgoing> as_message(const Frame& frame);

/// What comes over a socket, message by message and command by command.
class Reader {
  public:
    /// Nothing longer than `longest` is taken. `received` came already.
    Reader(std::size_t longest, Bytes received);

    /// Messages are sealed frames from here on, of who has this key.
    void open_with(const SealKey& key, std::uint64_t counter);
    const Opener* opener() const noexcept { return opener_.get(); }
    std::uint64_t bytes() const noexcept { return bytes_; }  ///< read since the start

    enum class Result : std::uint8_t {
        nothing,  ///< nothing more for now
        message,
        command,
        ended,      ///< the other end is gone
        malformed,  ///< nothing that follows can be understood
        forged,     ///< a message that its sender did not seal for this place
    };
    /// The next one, whose body is body() until the next call.
    Result next(int socket);
    std::span<std::byte> body() const noexcept { return body_->bytes; }
    /// The last body; the caller's to keep.
    Frame take() noexcept { return std::move(body_); }

  private:
    Result fill(int socket);
    Result parse();
    Result complete();

    const std::size_t longest_;
    std::unique_ptr<Opener> opener_;
    Bytes buffer_;  ///< read ahead: [begin_, end_)
    std::size_t begin_ = 0, end_ = 0;
    FramePool pool_;
    std::shared_ptr<WireFrame> body_;  ///< of the frame that is being read
    bool in_body_ = false, is_command_ = false;
    std::size_t there_ = 0;  ///< of body_
    std::uint64_t bytes_ = 0;
};

/// What is to go over a socket, in order.
class Writer {
  public:
    void push(std::shared_ptr<const Outgoing> what);
    /// Sends what the socket takes and is ready; false when the connection is broken.
    [[nodiscard]] bool flush(int socket);
    std::size_t queued() const noexcept { return queue_.size(); }
    std::size_t queued_bytes() const noexcept { return queued_bytes_; }  ///< of what is queued
    std::uint64_t bytes() const noexcept { return bytes_; }              ///< sent since the start

  private:
    struct Entry {
        std::shared_ptr<const Outgoing> what;
        std::size_t sent = 0;
    };
    std::deque<Entry> queue_;
    std::size_t queued_bytes_ = 0;
    std::uint64_t bytes_ = 0;
};

/// Owned by one thread at a time.
struct Connection {
    Socket socket;
    Introduction introduction;
    Reader reader;
    Writer writer;
    /// Whom we called: its rank. Who called us subscribes instead, to `topics`.
    std::optional<std::uint32_t> rank;
    std::set<std::string, std::less<>> topics;
    bool unread = false;  ///< there may be more than its descriptor tells: the reader reads ahead

    void send_command(std::string_view name, std::span<const std::byte> data);
    void send_message(std::span<const std::byte> body);
};

}  // namespace shoal::mesh::exchange::zmtp
